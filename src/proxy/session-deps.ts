// Owns what a session of the data plane is given when it is opened: what sessions share, and how its own parts are made.

import type { Recording } from '../audit/writer.js'
import type { AdapterLimits, ProtocolFamily } from '../core/adapter.js'
import type { Authority, SessionLease } from '../core/authority.js'
import type { Clock } from '../core/clock.js'
import type { MaskerFactory } from '../core/masker.js'
import type { CompiledPolicy } from '../policy/compile.js'
import type { Budgets } from './budgets.js'
import type { Pace } from './pace.js'
import type { LeaseCredential, SideQueries } from './side-queries.js'
import type { UpstreamConnection } from './upstream.js'

export interface SessionDependencies {
  readonly authority: Authority
  readonly clock: Clock
  readonly family: ProtocolFamily
  readonly limits: AdapterLimits
  readonly connectionsPerSession: number
  readonly handshakeMs: number
  readonly durability: 'standard' | 'strict'
  readonly masker: MaskerFactory
  readonly pace: Pace
  readonly budgets: Budgets
  readonly compilePolicy: (policy: {
    readonly source: string
    readonly hash: string
  }) => CompiledPolicy
  readonly openRecording: (session: string) => Recording
  readonly sideQueries: (lease: SessionLease, credential: LeaseCredential) => Promise<SideQueries>
  readonly dial: (
    lease: SessionLease,
    parameters: Readonly<Record<string, string>>,
    credential: LeaseCredential,
  ) => Promise<UpstreamConnection>
  /** For unexpected failures; never given data. */
  readonly report: (event: string, error: unknown) => void
}
