// Owns what the audit log says of short-lived database users. Never a password, nor what could stand for one.

import type { RecordedPrincipal } from './records.js'

export type UserRecord =
  | {
      /** One is about to be made for a grant. */
      readonly type: 'user.minted'
      readonly user: string
      readonly target: string
      readonly grant: string
      readonly session: string
      readonly principal: RecordedPrincipal
      readonly memberOf: readonly string[]
      /** ISO 8601, UTC. */
      readonly validUntil: string
    }
  | {
      /** It is gone; or it could not be made, or not be dropped now, and why. */
      readonly type: 'user.dropped' | 'user.not_minted' | 'user.not_dropped'
      readonly user: string
      readonly target?: string
      readonly grant?: string
      readonly message?: string
    }
