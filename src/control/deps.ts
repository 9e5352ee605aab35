// Owns what the control plane is handed when it is made, and how it writes people into the audit log.

import type { LogRecord, RecordedPrincipal } from '../audit/records.js'
import type { SigningKey } from '../core/api.js'
import type { Clock } from '../core/clock.js'
import type { Principal } from '../core/principal.js'
import type { IdentityVerifier } from '../identity/oidc.js'
import type { Tokens } from '../identity/tokens.js'
import type { WorkloadVerifier } from '../identity/workload.js'
import type { Store } from '../store/store.js'
import type { ControlAuthority } from './authority.js'
import type { Requests } from './requests.js'
import type { SessionIndex } from './session-indexer.js'
import type { ControlSettings, LoadedPolicy } from './settings.js'

/** The audit log as the control plane sees it. A rejection means: what the event speaks of must not happen. */
export interface AuditPort {
  append(body: LogRecord, options?: { readonly sync?: boolean }): Promise<void>
}

/** The part of pino that is used. Untrusted text stands only under a fixed key. */
export interface ControlLogger {
  info(fields: Readonly<Record<string, unknown>>): void
  error(fields: Readonly<Record<string, unknown>>): void
}

export interface ControlDeps {
  readonly config: ControlSettings
  /** The policy in force; asked anew for each request. */
  readonly policy: () => LoadedPolicy
  readonly store: Store
  readonly tokens: Tokens
  /** Verifiers by the name of their provider. */
  readonly providers: ReadonlyMap<string, IdentityVerifier>
  /** Of workloads, by the name of their provider. */
  readonly workloads: ReadonlyMap<string, WorkloadVerifier>
  readonly audit: AuditPort
  /** Public keys of recordings and audit log, oldest first. */
  readonly signingKeys: () => readonly SigningKey[]
  readonly recordings: { readonly directory: string }
  readonly requests: Requests
  /** How far the index over recordings is behind. */
  readonly index: Pick<SessionIndex, 'behind'>
  /** Ends live sessions. */
  readonly revokeSessions: ControlAuthority['revokeSessions']
  readonly clock: Clock
  readonly logger: ControlLogger
  /** Of vgate itself. */
  readonly version: string
}

/** A principal as records name it. */
export function recordedPrincipal(principal: Principal): RecordedPrincipal {
  const { id, kind, name, provider } = principal
  return { id, kind, name, provider }
}

/** Milliseconds since the epoch as ISO 8601. */
export function isoTime(at: number): string {
  return new Date(at).toISOString()
}
