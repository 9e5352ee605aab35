// Owns when a session hears of the absolute end of its grant, and of that end coming.

import type { Clock } from '../core/clock.js'

const EXPIRY_WARNING_MS = 5 * 60_000
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Rings `warn` five minutes before the end, and `end` at it. */
export class GrantTimer {
  readonly #endsAt: number
  readonly #clock: Clock
  readonly #rings: { readonly warn: () => void; readonly end: () => void }
  #expiry: NodeJS.Timeout | undefined
  #warning: NodeJS.Timeout | undefined

  constructor(
    endsAt: number,
    clock: Clock,
    rings: { readonly warn: () => void; readonly end: () => void },
  ) {
    this.#endsAt = endsAt
    this.#clock = clock
    this.#rings = rings
    this.#arm()
  }

  stop(): void {
    clearTimeout(this.#expiry)
    clearTimeout(this.#warning)
  }

  #arm(): void {
    const left = this.#endsAt - this.#clock.now()
    if (left <= 0) return this.#rings.end()
    if (left > LONGEST_TIMER_MS) {
      this.#expiry = setTimeout(() => this.#arm(), LONGEST_TIMER_MS)
      return
    }
    // Not looked at again when it fires: a wall clock that was set back must not lengthen a grant.
    this.#expiry = setTimeout(() => this.#rings.end(), left)
    clearTimeout(this.#warning)
    if (left > EXPIRY_WARNING_MS)
      this.#warning = setTimeout(() => this.#rings.warn(), left - EXPIRY_WARNING_MS)
  }
}
