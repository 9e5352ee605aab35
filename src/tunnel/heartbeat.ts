// Owns the judgement whether the other end of a tunnel is alive: when to ask, when it counts as lost, and that a
// machine that slept asks at once. Pure: time is an argument. Must never call a peer lost without having asked it.

/** How often a quiet peer is asked. */
export const HEARTBEAT_MS = 15_000
/** Silence after which the peer counts as lost. */
export const SILENCE_MS = 45_000
/** How often to call `tick`. */
export const TICK_MS = 5_000
/** A tick this much late means that the machine, or the process, stood still. */
export const JUMP_MS = 10_000
/** How long a peer may take to answer after that. */
export const PROBE_MS = 2_000

/** Both clocks in milliseconds: `steady` never jumps and may stand still in sleep; `wall` jumps and does not. */
export interface Now {
  readonly steady: number
  readonly wall: number
}

export interface Pulse {
  readonly verdict: 'quiet' | 'ask' | 'lost'
  /** Milliseconds until the next `tick`. */
  readonly next: number
}

export class Heartbeat {
  #heard = true
  #heardAt: number
  #askedAt: number
  #last: Now
  #next = TICK_MS
  #probing = false

  constructor(now: Now) {
    this.#heardAt = now.steady
    this.#askedAt = now.steady
    this.#last = now
  }

  /** Something came from the peer. Cheap: called for every message. */
  heard(): void {
    this.#heard = true
  }

  /** Call it `next` milliseconds after the last one. On `ask` send a PING; on `lost` close without ceremony. */
  tick(now: Now): Pulse {
    const late =
      Math.max(now.wall - this.#last.wall, now.steady - this.#last.steady) - this.#next > JUMP_MS
    this.#last = now
    // After a jump only what comes from now on counts, and silence before it does not: both ends may have slept.
    if (late) {
      this.#heard = false
      this.#heardAt = now.steady
      this.#askedAt = now.steady
      this.#probing = true
      return this.#answer('ask', PROBE_MS)
    }
    if (this.#heard) {
      this.#heardAt = now.steady
      this.#heard = false
      this.#probing = false
    } else if (this.#probing || now.steady - this.#heardAt > SILENCE_MS) {
      return this.#answer('lost', TICK_MS)
    }
    if (now.steady - this.#askedAt < HEARTBEAT_MS) return this.#answer('quiet', TICK_MS)
    this.#askedAt = now.steady
    return this.#answer('ask', TICK_MS)
  }

  #answer(verdict: Pulse['verdict'], next: number): Pulse {
    this.#next = next
    return { verdict, next }
  }
}
