// Owns the budgets of one data plane: which parts a request needs, and what is given up for it. Parts are at hand or
// waited for; what an operation took is settled when it is over, however it ends. It must never let more through than
// its parts hold.

import { randomBytes } from 'node:crypto'
import type { Authority } from '../core/authority.js'
import type { Obligations, RowLimit } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import type { Claim } from '../policy/budgets.js'
import { ALL, BudgetPool, type Part } from './budget-pool.js'
import { leftWords, pastWords } from './budget-words.js'

/** One person on one target, whose sessions share their budgets. */
export interface Owner {
  readonly principal: string
  readonly target: string
}

/** A claim whose limit is known. */
export type Sized = Claim & { readonly limit: number }

/** One operation as it asks: its claims, and the most rows that it can give. */
export interface Ask {
  readonly claims: readonly Sized[]
  readonly rows: number
  /** It can be made to end earlier. */
  readonly flexible: boolean
  /** Nothing else ends it: it needs a limit. */
  readonly open: boolean
}

/** Parts of one operation, until it is over. */
export interface Grant {
  readonly limit?: RowLimit
  /** So many rows were given to the client. */
  settle(rows: number): void
  /** It did not run. */
  release(): void
}

/** A budget that an operation would pass. */
export class BudgetExceeded extends VgateError {
  readonly rule: string

  constructor(rule: string, message: string, hint: string) {
    super('VGATE_LIMIT_EXCEEDED', message, { hint })
    this.rule = rule
  }
}

interface Whose {
  /** Sessions that are open, the newest last. */
  readonly sessions: Set<string>
  /** May still say what was taken. */
  last: string
  readonly pools: Map<string, BudgetPool>
}

/** All budgets of a data plane. */
export class Budgets {
  readonly #authority: Authority
  readonly #report: (event: string, error: unknown) => void
  /** What tells this data plane's parts from another's, and from those of the process before it. */
  readonly #holder = randomBytes(12).toString('hex')
  readonly #owners = new Map<string, Whose>()

  constructor(authority: Authority, report: (event: string, error: unknown) => void) {
    this.#authority = authority
    this.#report = report
  }

  /** A session of the owner may ask for parts. */
  join(owner: Owner, session: string): void {
    const whose = this.#whose(owner, session)
    whose.sessions.add(session)
    whose.last = session
  }

  /** The session ends. With the last one everything is settled; what cannot be stays held. */
  async leave(owner: Owner, session: string): Promise<void> {
    const whose = this.#whose(owner, session)
    whose.sessions.delete(session)
    if (whose.sessions.size > 0) return
    whose.last = session
    const settled = await Promise.allSettled([...whose.pools.values()].map((pool) => pool.settle()))
    for (const one of settled)
      if (one.status === 'rejected') this.#report('budget.settle_failed', one.reason)
  }

  close(): void {
    for (const { pools } of this.#owners.values()) for (const pool of pools.values()) pool.close()
  }

  /** Parts for every operation, or for none. At once where all are at hand; rejects with a BudgetExceeded. */
  reserve(owner: Owner, asks: readonly Ask[]): readonly Grant[] | Promise<readonly Grant[]> {
    for (const ask of asks) for (const claim of ask.claims) demandPossible(ask, claim)
    const taken: Part[] = []
    for (const ask of asks) {
      for (const claim of ask.claims) {
        const { want } = needOf(ask, claim)
        const part = want === ALL ? undefined : this.#pool(owner, claim).take(want)
        if (part === undefined) {
          for (const one of taken) one.settle(0)
          return this.#wait(owner, asks)
        }
        taken.push(part)
      }
    }
    return this.#granted(owner, asks, taken)
  }

  async #wait(owner: Owner, asks: readonly Ask[]): Promise<readonly Grant[]> {
    const taken: Part[] = []
    try {
      for (const ask of asks) {
        for (const claim of ask.claims) {
          const { min, want } = needOf(ask, claim)
          const pool = this.#pool(owner, claim)
          const part = await pool.reserve(min, want)
          if (part === undefined) throw exceeded(ask, claim, min, pool)
          taken.push(part)
        }
      }
      return this.#granted(owner, asks, taken)
    } catch (error) {
      for (const one of taken) one.settle(0)
      throw error
    }
  }

  #granted(owner: Owner, asks: readonly Ask[], taken: readonly Part[]): readonly Grant[] {
    let next = 0
    return asks.map((ask) => {
      const parts = ask.claims.map((claim) => {
        const part = taken[next]
        next += 1
        if (part === undefined) throw new Error('a claim without its part')
        return { claim, part }
      })
      return this.#grant(owner, ask, parts)
    })
  }

  #grant(
    owner: Owner,
    { rows, flexible, open }: Ask,
    parts: readonly { readonly claim: Sized; readonly part: Part }[],
  ): Grant {
    let most = rows
    let binding = open ? parts.find(({ claim }) => claim.perRow > 0)?.claim : undefined
    for (const { claim, part } of parts) {
      if (claim.perRow === 0) continue
      const fits = Math.floor((part.amount - claim.fixed) / claim.perRow)
      if (!flexible || fits >= most) continue
      most = fits
      binding = claim
    }
    for (const { claim, part } of parts)
      part.shrink(claim.perRow === 0 ? claim.fixed : claim.fixed + claim.perRow * most)
    const over = (amount: (claim: Sized) => number) => (): void => {
      for (const { claim, part } of parts) part.settle(amount(claim))
    }
    const limit = binding === undefined ? {} : { limit: this.#limit(owner, binding, most) }
    return {
      ...limit,
      settle: (given) => over(({ fixed, perRow }) => fixed + perRow * given)(),
      release: over(() => 0),
    }
  }

  #limit(owner: Owner, claim: Sized, rows: number): RowLimit {
    const says = pastWords(claim, rows, this.#pool(owner, claim).left)
    return { rows, rule: claim.rule, because: 'limit', says }
  }

  #whose({ principal, target }: Owner, session: string): Whose {
    // None of these names can hold a NUL.
    const key = `${principal}\u0000${target}`
    let whose = this.#owners.get(key)
    if (whose === undefined) {
      whose = { sessions: new Set(), last: session, pools: new Map() }
      this.#owners.set(key, whose)
    }
    return whose
  }

  #pool(owner: Owner, { counter, limit, perMs }: Sized): BudgetPool {
    const whose = this.#whose(owner, '')
    let pool = whose.pools.get(counter)
    if (pool === undefined) {
      const lease: ConstructorParameters<typeof BudgetPool>[0]['lease'] = (asked, settles) => {
        const session = [...whose.sessions].at(-1)
        if (session !== undefined)
          return this.#authority.leaseBudget({
            ...asked,
            session,
            ...(settles ? { settle: true } : {}),
          })
        if (settles)
          return this.#authority.leaseBudget({ ...asked, session: whose.last, settle: true })
        return Promise.reject(new VgateError('VGATE_NOT_FOUND', 'the session is over'))
      }
      const report = (error: unknown): void => this.#report('budget.settle_failed', error)
      pool = new BudgetPool({ holder: this.#holder, counter, lease, report }, { limit, perMs })
      whose.pools.set(counter, pool)
    }
    pool.adopt({ limit, perMs })
    return pool
  }
}

/** The obligations with the smaller of two row limits. */
export function limitedBy(obligations: Obligations, limit: RowLimit | undefined): Obligations {
  const before = obligations.rowLimit
  if (limit === undefined || (before !== undefined && before.rows <= limit.rows)) return obligations
  return { ...obligations, rowLimit: limit }
}

/** What an operation needs at least, and at most. */
function needOf({ rows, flexible }: Ask, claim: Claim): { min: number; want: number } {
  const { fixed, perRow } = claim
  if (perRow === 0) return { min: fixed, want: fixed }
  const least = flexible ? Math.min(1, rows) : rows
  const want = Number.isFinite(rows) ? fixed + perRow * rows : ALL
  return { min: fixed + perRow * least, want: Math.min(ALL, want) }
}

/** Nobody has to be asked whether more than the whole budget is left. */
function demandPossible(ask: Ask, claim: Sized): void {
  const { min } = needOf(ask, claim)
  if (min > claim.limit) throw exceeded(ask, claim, min, undefined)
}

function exceeded(
  ask: Ask,
  claim: Sized,
  needed: number,
  pool: BudgetPool | undefined,
): BudgetExceeded {
  const { message, hint } = leftWords(claim, needed, pool?.left, ask.flexible)
  return new BudgetExceeded(claim.rule, message, hint)
}
