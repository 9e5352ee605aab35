// Owns how many requests one person has made in the last span of a role's rate, over all sessions. Exact: in no span
// of that length are there more than the rate allows.

import { VgateError } from '../core/errors.js'
import type { Rate } from '../core/units.js'

/** A role that allows so many requests. */
export interface RatedRole {
  readonly name: string
  readonly rate: Rate
}

/** After so many requests those who made none for long are forgotten. */
const SWEEP_EVERY = 1_000

/** All rates of a data plane. `now` never goes back. */
export class Rates {
  readonly #now: () => number
  readonly #spans = new Map<string, Span>()
  #taken = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** Counts `count` operations of one request against every role, or against none and answers why. */
  take(
    whose: { readonly principal: string; readonly target: string },
    roles: readonly RatedRole[],
    count: number,
  ): { readonly error: VgateError; readonly rule: string } | undefined {
    const now = this.#now()
    const spans = roles.map((role) => this.#span(whose, role))
    for (const [index, role] of roles.entries()) {
      const waitMs = spans[index]?.wait(count, now) ?? 0
      if (waitMs > 0) return exceeded(role, count, waitMs)
    }
    for (const span of spans) span.take(count, now)
    this.#taken += 1
    if (this.#taken % SWEEP_EVERY === 0)
      for (const [key, span] of this.#spans) if (span.isOver(now)) this.#spans.delete(key)
    return undefined
  }

  #span(
    { principal, target }: { readonly principal: string; readonly target: string },
    { name, rate }: RatedRole,
  ): Span {
    const key = `${principal}\u0000${target}\u0000${name}`
    const known = this.#spans.get(key)
    if (known?.rate === rate) return known
    // A changed policy counts what was made before it.
    const span = new Span(rate, known)
    this.#spans.set(key, span)
    return span
  }
}

/** The moments of the last requests, as many as the rate allows. */
class Span {
  readonly rate: Rate
  readonly #moments: Float64Array
  /** Where the oldest stands. */
  #oldest = 0

  constructor(rate: Rate, before: Span | undefined) {
    this.rate = rate
    this.#moments = new Float64Array(rate.count).fill(Number.NEGATIVE_INFINITY)
    for (const moment of before?.ordered().slice(-rate.count) ?? []) this.take(1, moment)
  }

  /** Milliseconds until `count` more fit; Infinity where they never do. */
  wait(count: number, now: number): number {
    if (count > this.rate.count) return Number.POSITIVE_INFINITY
    if (count === 0) return 0
    // So many of the oldest have to be over.
    const last = this.#moments[(this.#oldest + count - 1) % this.rate.count] ?? now
    return Math.max(0, last + this.rate.perMs - now)
  }

  take(count: number, now: number): void {
    for (let taken = 0; taken < count; taken += 1) {
      this.#moments[this.#oldest] = now
      this.#oldest = (this.#oldest + 1) % this.rate.count
    }
  }

  isOver(now: number): boolean {
    const newest = this.#moments[(this.#oldest + this.rate.count - 1) % this.rate.count] ?? now
    return newest + this.rate.perMs <= now
  }

  ordered(): Float64Array {
    const ordered = new Float64Array(this.rate.count)
    for (let index = 0; index < this.rate.count; index += 1)
      ordered[index] = this.#moments[(this.#oldest + index) % this.rate.count] ?? 0
    return ordered
  }
}

function exceeded(
  { name, rate }: RatedRole,
  count: number,
  waitMs: number,
): { readonly error: VgateError; readonly rule: string } {
  const rule = `roles.${name}.limits.rate`
  const allowed = `${rate.count} ${rate.count === 1 ? 'request' : 'requests'} in ${rate.perMs / 1000} s`
  const never = !Number.isFinite(waitMs)
  const message = never
    ? `${count} statements in one message are more than the ${allowed} that ${rule} allows`
    : `more than the ${allowed} that ${rule} allows`
  const hint = never
    ? `send at most ${rate.count} in one message`
    : `try again in ${(Math.ceil(waitMs / 100) / 10).toFixed(1)} s`
  return { error: new VgateError('VGATE_LIMIT_EXCEEDED', message, { hint }), rule }
}
