// Owns coming back to a gateway that was lost: how long to wait before each try, how long to go on, and which refusals
// end it. Must never try at the same moment as everybody else, and never go past the grant's end.

import { VgateError } from '../core/errors.js'

/** No try comes sooner, so that a gateway that starts again meets its tunnels spread over time. */
export const SHORTEST_WAIT_MS = 200
export const LONGEST_WAIT_MS = 10_000
/** The first wait lies between the shortest one and this; each next ceiling is twice as high. */
const FIRST_CEILING_MS = 1_000
export const GIVE_UP_MS = 30_000

/** What may be otherwise in a moment. Everything else is an answer. */
const PASSING: readonly string[] = [
  'VGATE_GATEWAY_UNREACHABLE',
  'VGATE_STORE_UNAVAILABLE',
  'VGATE_RECORDING_UNAVAILABLE',
  'VGATE_UPSTREAM_FAILED',
  // The gateway may still count the tunnel that was lost.
  'VGATE_LIMIT_EXCEEDED',
]

/** Milliseconds before try number `attempt` (0 is the first); `random` in [0, 1). */
export function waitBefore(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_CEILING_MS * 2 ** Math.min(attempt, 16))
  return SHORTEST_WAIT_MS + random * (ceiling - SHORTEST_WAIT_MS)
}

/** How long to go on, from VGATE_RECONNECT in whole seconds; 0 never tries. Throws VGATE_USAGE for anything else. */
export function giveUpMs(setting: string | undefined): number {
  if (setting === undefined || setting === '') return GIVE_UP_MS
  if (/^\d{1,5}$/.test(setting)) return Number(setting) * 1000
  throw new VgateError('VGATE_USAGE', 'VGATE_RECONNECT is not a number of seconds', {
    hint: 'for instance 30, or 0 to end with the first loss',
  })
}

export interface RedialOptions<T> {
  /** One try. */
  readonly dial: () => Promise<T>
  /** Milliseconds since the epoch. */
  readonly until: number
  /** The loss was found because this machine slept: the first try comes at once. */
  readonly atOnce: boolean
  readonly now: () => number
  readonly random: () => number
  readonly signal: AbortSignal
}

/**
 * Tries until it works. Rejects with VGATE_GATEWAY_UNREACHABLE and the last failure when the time is over, or with the first answer that is one
 * (denied, revoked, logged out …). When aborted it resolves with undefined.
 */
export async function redial<T>(
  lost: VgateError,
  options: RedialOptions<T>,
): Promise<T | undefined> {
  let failure = lost
  for (let attempt = 0; ; attempt += 1) {
    const wait = attempt === 0 && options.atOnce ? 0 : waitBefore(attempt, options.random())
    if (options.now() + wait >= options.until) throw gaveUp(failure)
    await pause(wait, options.signal)
    if (options.signal.aborted) return undefined
    try {
      return await options.dial()
    } catch (error) {
      if (!(error instanceof VgateError) || !PASSING.includes(error.code)) throw error
      failure = error
    }
  }
}

function gaveUp(failure: VgateError): VgateError {
  if (failure.code === 'VGATE_GATEWAY_UNREACHABLE') return failure
  const message = `the gateway did not come back: ${failure.message}`
  return new VgateError('VGATE_GATEWAY_UNREACHABLE', message, { cause: failure })
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
  })
}
