// Owns what the control plane needs of the configuration. `gateway` reads vgate.yaml into it; nothing here names a
// key's place in a file.

import type { TargetSpec } from '../core/authority.js'
import type { CompiledPolicy } from '../policy/compile.js'
import type { SecretReference } from '../secrets/reference.js'

export interface ProviderSettings {
  readonly name: string
  readonly type: 'oidc'
  readonly issuer: string
  readonly clientId: string
  readonly scopes: readonly string[]
  readonly groupsClaim: string
  readonly nameClaim: string
}

/** An issuer of workloads' tokens. */
export interface WorkloadSettings {
  readonly name: string
  readonly issuer: string
  readonly audience: string
  readonly groupsClaim: string
  readonly nameClaim: string
}

export interface TargetSettings {
  readonly spec: TargetSpec
  readonly credential: { readonly username: string; readonly password: SecretReference }
}

export interface ControlSettings {
  /** Issuer of vgate's own tokens. */
  readonly publicUrl: string
  /** Groups as `provider:name`. */
  readonly administrators: readonly string[]
  readonly auditors: readonly string[]
  /** Of people. */
  readonly providers: readonly ProviderSettings[]
  readonly workloads: readonly WorkloadSettings[]
  readonly targets: ReadonlyMap<string, TargetSettings>
  readonly sessionsPerPrincipal: number
}

/** The policy in force: its text, which travels to where it is enforced, and its compiled form. */
export interface LoadedPolicy {
  readonly source: string
  readonly hash: string
  readonly compiled: CompiledPolicy
}
