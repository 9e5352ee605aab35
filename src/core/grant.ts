// Owns the words for what a principal may do, until when.

export interface Grant {
  readonly id: string
  readonly principal: string
  readonly target: string
  /** Role names of the policy. */
  readonly roles: readonly string[]
  readonly reason?: string
  readonly ticket?: string
  /** Milliseconds since the epoch. */
  readonly startsAt: number
  /** Absolute; checked on every operation. */
  readonly endsAt: number
  /** An approver narrowed it to these collections (patterns); absent: what its roles allow. */
  readonly collections?: readonly string[]
  /** The access request that it was given for, where a second person had to approve. */
  readonly request?: string
}

export type CloseReason =
  | 'expired'
  | 'revoked'
  | 'stopped'
  | 'gateway_lost'
  | 'upstream_lost'
  | 'error'
