// Owns how often one caller may ask: a token bucket each, and a limit on how many are remembered.

import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'

export interface RateLimit {
  /** Takes one token of `caller`. Throws VGATE_LIMIT_EXCEEDED, with the seconds to wait in the hint. */
  take(caller: string): void
}

/** `burst` at once, then `perSecond`. The least recently seen of 10,000 callers is forgotten first. */
export function createRateLimit(options: {
  readonly burst: number
  readonly perSecond: number
  readonly clock: Clock
}): RateLimit {
  const { burst, perSecond, clock } = options
  const buckets = new LRUCache<string, { tokens: number; at: number }>({ max: 10_000 })
  return {
    take(caller) {
      const now = clock.now()
      const bucket = buckets.get(caller) ?? { tokens: burst, at: now }
      // A clock set back must neither fill nor empty a bucket.
      const gained = (Math.max(0, now - bucket.at) / 1000) * perSecond
      bucket.tokens = Math.min(burst, bucket.tokens + gained)
      bucket.at = now
      buckets.set(caller, bucket)
      if (bucket.tokens < 1) {
        const wait = Math.ceil((1 - bucket.tokens) / perSecond)
        throw new VgateError('VGATE_LIMIT_EXCEEDED', 'too many requests', {
          hint: `try again in ${wait} s`,
        })
      }
      bucket.tokens -= 1
    },
  }
}
