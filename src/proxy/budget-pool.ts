// Owns this data plane's part of one budget: leased in chunks ahead of the operations that need it, settled behind them.
// It must never give out more than it holds; what it cannot settle stays held.

import type { BudgetLease, BudgetStanding } from '../core/budget.js'
import { VgateError } from '../core/errors.js'

/** A chunk is this part of the limit: what may lie idle in one data plane while others have none. */
const CHUNKS = 20
/** What was taken is said after this long, and what nobody needs is given back. */
export const SETTLE_MS = 1_000
/** Who finds less than wanted, and others who may give something back, waits so long for them. */
export const PATIENCE_MS = 5_000
/** An authority that is silent for longer is none. */
export const ANSWER_MS = 5_000
/** More than any limit. */
export const ALL = Number.MAX_SAFE_INTEGER

/** A limit and its time, as the policy has them now. */
export interface Terms {
  readonly limit: number
  readonly perMs: number
}

export interface PoolDeps {
  readonly holder: string
  readonly counter: string
  /** Asks the authority. Rejects when it cannot be asked. `settle`: nothing more is wanted. */
  readonly lease: (lease: BudgetLease, settle: boolean) => Promise<BudgetStanding>
  readonly report: (error: unknown) => void
}

/** What an operation may take. */
export interface Part {
  /** Settled at most once: so much of it was taken. */
  settle(taken: number): void
  /** What it will not need goes back at once. */
  shrink(amount: number): void
  readonly amount: number
}

interface Waiter {
  readonly min: number
  readonly want: number
  /** `parked`: the authority has answered, and others here may give something back; `late`: nobody did in time. */
  state: 'new' | 'asked' | 'answered' | 'parked' | 'late'
  readonly timer: NodeJS.Timeout
  readonly resolve: (part: Part | undefined) => void
  readonly reject: (error: unknown) => void
}

/** One budget. */
export class BudgetPool {
  readonly #deps: PoolDeps
  #terms: Terms
  /** As the authority said last: covers what is in use, what was taken and is not said yet, and what is free. */
  #hold = 0
  #inUse = 0
  /** Altogether, and what of it the authority knows. */
  #taken = 0
  #said = 0
  #seq = 0
  #standing: BudgetStanding = { hold: 0, taken: 0, others: 0 }
  #waiters: Waiter[] = []
  #syncing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Something was wanted since the last settling. */
  #busy = false
  /** The last message may have come or not: what the authority holds for us is not known. */
  #unsure = false
  #reported = false

  constructor(deps: PoolDeps, terms: Terms) {
    this.#deps = deps
    this.#terms = terms
  }

  /** What nobody has taken or is about to take, as far as it is known here; when more is free again. */
  get left(): { readonly amount: number; readonly inUse: number; readonly freesAt?: number } {
    const { taken, others, freesAt } = this.#standing
    const inUse = this.#inUse + others
    const amount = Math.max(0, this.#terms.limit - taken - this.#unsaid - inUse)
    return { amount, inUse, ...(freesAt === undefined ? {} : { freesAt }) }
  }

  /** A new policy: what was leased under the old one is given back before anything more is taken. */
  adopt(terms: Terms): void {
    if (terms.limit === this.#terms.limit && terms.perMs === this.#terms.perMs) return
    this.#terms = terms
    this.#hold = Math.min(this.#hold, this.#inUse + this.#unsaid)
  }

  /** `want` at once where it is at hand; undefined: `reserve` it. */
  take(want: number): Part | undefined {
    if (want > this.#free || this.#waiters.length > 0) return undefined
    const part = this.#give(want)
    // The next chunk is on its way before this one is empty.
    if (this.#free < this.#chunk / 4 && !this.#exhausted) this.#sync(false).catch(() => undefined)
    return part
  }

  /** At least `min` and at most `want`; undefined where so much is not left. Rejects when nobody can be asked. */
  reserve(min: number, want: number): Promise<Part | undefined> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        min,
        want,
        state: 'new',
        timer: setTimeout(() => {
          if (waiter.state === 'parked') waiter.state = 'late'
          this.#serve()
        }, PATIENCE_MS),
        resolve,
        reject,
      }
      this.#waiters.push(waiter)
      this.#serve()
    })
  }

  /** Says what was taken and gives back what is free. Rejects when it cannot; then it stays held. */
  async settle(): Promise<void> {
    await this.#syncing?.catch(() => undefined)
    await this.#sync(true)
  }

  /** Nothing more is settled behind. */
  close(): void {
    clearTimeout(this.#timer)
  }

  get #unsaid(): number {
    return this.#taken - this.#said
  }

  get #free(): number {
    return this.#hold - this.#inUse - this.#unsaid
  }

  get #chunk(): number {
    return Math.ceil(this.#terms.limit / CHUNKS)
  }

  get #exhausted(): boolean {
    const { hold, taken, others } = this.#standing
    return hold + taken + others >= this.#terms.limit
  }

  #give(amount: number): Part {
    this.#inUse += amount
    this.#busy = true
    this.#arm()
    let left = amount
    let settled = false
    return {
      get amount() {
        return left
      },
      shrink: (to) => {
        if (settled || to >= left) return
        this.#inUse -= left - to
        left = to
      },
      settle: (taken) => {
        if (settled) return
        settled = true
        this.#inUse -= left
        this.#taken += taken
        this.#arm()
        this.#unpark()
      },
    }
  }

  /** Serves who waits: first who wants a number, then who wants all that is left. */
  #serve(): void {
    const waiters = this.#waiters.sort((a, b) => Number(a.want === ALL) - Number(b.want === ALL))
    this.#waiters = []
    for (const waiter of waiters) {
      const { min, want, state } = waiter
      if (want !== ALL && want <= this.#free) this.#answer(waiter, want)
      else if (state !== 'answered' && state !== 'late') this.#waiters.push(waiter)
      else if (this.#inUse > 0 && state === 'answered') {
        waiter.state = 'parked'
        this.#waiters.push(waiter)
      } else this.#answer(waiter, min <= this.#free ? Math.min(want, this.#free) : undefined)
    }
    if (this.#waiters.some(({ state }) => state === 'new')) this.#sync(false).catch(() => undefined)
  }

  #answer({ timer, resolve }: Waiter, amount: number | undefined): void {
    clearTimeout(timer)
    resolve(amount === undefined ? undefined : this.#give(amount))
  }

  /** Something was given back: those who wait for that look again. */
  #unpark(): void {
    const parked = this.#waiters.filter(({ state }) => state === 'parked')
    if (parked.length === 0) return
    for (const waiter of parked) waiter.state = 'new'
    this.#serve()
  }

  /** Says how it stands, in one message at a time. With `idle` nothing is held ahead. */
  #sync(idle: boolean): Promise<void> {
    this.#syncing ??= this.#say(idle)
      .catch((error: unknown) => {
        const asked = this.#waiters.filter(({ state }) => state === 'asked')
        this.#waiters = this.#waiters.filter(({ state }) => state !== 'asked')
        for (const { timer, reject } of asked) {
          clearTimeout(timer)
          reject(error)
        }
        throw error
      })
      .finally(() => {
        this.#syncing = undefined
        if (this.#waiters.length > 0) this.#serve()
      })
    return this.#syncing
  }

  async #say(idle: boolean): Promise<void> {
    const { holder, counter } = this.#deps
    const wanted = this.#waiters.reduce((sum, { want }) => sum + want, 0)
    for (const waiter of this.#waiters) if (waiter.state === 'new') waiter.state = 'asked'
    const terms = this.#terms
    const taken = this.#taken
    const keep = this.#inUse
    const ahead = idle && wanted === 0 ? 0 : this.#chunk
    const hold = Math.min(ALL, keep + wanted + ahead)
    // What is given back is not given out while the message is on its way, nor when nobody knows that it came.
    this.#hold = Math.min(this.#hold, hold + this.#unsaid)
    const settles = hold <= this.#hold - this.#unsaid
    this.#seq += 1
    this.#unsure = true
    this.#arm()
    const asked = { holder, counter, seq: this.#seq, taken, keep, hold, ...terms }
    const standing = await inTime(this.#deps.lease(asked, settles))
    for (const waiter of this.#waiters) if (waiter.state === 'asked') waiter.state = 'answered'
    this.#unsure = false
    this.#reported = false
    this.#said = taken
    this.#standing = standing
    this.#hold = standing.hold
    // A policy that came meanwhile gives no more than is in use.
    if (terms !== this.#terms) this.#hold = Math.min(this.#hold, this.#inUse + this.#unsaid)
  }

  /** Behind the operations: what was taken is said, and what was not wanted for a while is given back. */
  #arm(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      const idle = !this.#busy
      this.#busy = false
      if (idle && !this.#unsure && this.#unsaid === 0 && this.#free <= 0) return
      this.#arm()
      this.#sync(idle).catch((error: unknown) => {
        if (!this.#reported) this.#deps.report(error)
        this.#reported = true
      })
    }, SETTLE_MS)
    this.#timer.unref()
  }
}

/** Rejects when the answer does not come in time. A message that is late then changes nothing. */
async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_resolve, reject) => {
    const what = 'what is left of a budget could not be found out in time'
    const error = new VgateError('VGATE_STORE_UNAVAILABLE', what, { hint: 'try again in a moment' })
    timer = setTimeout(() => reject(error), ANSWER_MS)
  })
  try {
    return await Promise.race([answer, silence])
  } finally {
    clearTimeout(timer)
  }
}
