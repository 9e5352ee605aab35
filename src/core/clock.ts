// Owns the clock port: time is an argument everywhere below the top level.

/** Milliseconds since the Unix epoch. Tests pass a fake. */
export interface Clock {
  now(): number
}

/** The machine's wall clock. */
export const systemClock: Clock = { now: () => Date.now() }
