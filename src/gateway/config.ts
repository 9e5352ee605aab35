// Owns reading vgate.yaml and the policy it names into one frozen configuration. It must never start with a guess:
// whatever is wrong is told, all of it, with line and column.

import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import type { ControlSettings, LoadedPolicy } from '../control/settings.js'
import { type Clock, systemClock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { Secret } from '../core/secret.js'
import { ConfigError, inFileOrder, readStrictYaml } from '../core/strict-yaml.js'
import { diskFiles } from '../secrets/files.js'
import type { SecretReference } from '../secrets/reference.js'
import type { SecretDeps, SecretFiles } from '../secrets/resolve.js'
import type { PostgresSettings } from '../store/postgres.js'
import { createConfigCheck } from './config-check.js'
import { loadConfiguredPolicy } from './config-policy.js'
import { configSchema, type ListenAddress } from './config-schema.js'
import { readStore } from './config-store.js'
import { readTargets } from './config-targets.js'
import { readWorkloads } from './config-workloads.js'

export interface GatewayLimits {
  readonly connectionsPerSession: number
  readonly sessionsPerPrincipal: number
  /** Milliseconds. */
  readonly handshakeMs: number
  /** Longest message in either direction; statements are capped lower (core DEFAULT_LIMITS). */
  readonly messageBytes: number
}

/** The configuration as the gateway uses it. Paths are absolute, durations milliseconds, sizes bytes. */
export interface GatewayConfig extends ControlSettings {
  /** The file it came from. */
  readonly file: string
  readonly listen: ListenAddress
  /** PEM texts; absent on loopback without TLS. */
  readonly tls?: { readonly cert: string; readonly key: Secret<string> }
  readonly data: string
  /** Absent: the embedded store, in `data`. */
  readonly store?: PostgresSettings
  /** Reference to the master key; absent: a file beside the data directory. */
  readonly keys?: SecretReference
  readonly durability: 'standard' | 'strict'
  readonly limits: GatewayLimits
  readonly policyFile: string
  /** How the references of this configuration are resolved. */
  readonly secretDeps: SecretDeps
}

export interface CheckedConfig {
  readonly config: GatewayConfig
  readonly policy: LoadedPolicy
  /** For people, one sentence each. */
  readonly warnings: readonly string[]
}

export interface CheckOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly files?: SecretFiles
  readonly clock?: Clock
}

function readConfigFile(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new VgateError('VGATE_CONFIG_INVALID', `${file} cannot be read`, {
      hint: 'name the file with --config, or write ./vgate.yaml',
      cause,
    })
  }
}

/**
 * Reads and checks a configuration and its policy; writes nothing. Throws a ConfigError (exit 11) that lists every
 * problem with line and column, or VGATE_CONFIG_INVALID when the file cannot be read.
 */
export function checkConfig(file: string, options: CheckOptions = {}): CheckedConfig {
  const path = resolve(file)
  const baseDir = dirname(path)
  const secretDeps: SecretDeps = {
    baseDir,
    env: options.env ?? process.env,
    files: options.files ?? diskFiles,
  }
  const document = readStrictYaml(readConfigFile(path), file, configSchema)
  const { value } = document
  const check = createConfigCheck(document, secretDeps)

  const providers = check.providers()
  const workloads = readWorkloads(value.identity.providers, check)
  const names = providers.map((provider) => provider.name)
  const tls = check.listenTls()
  const publicUrl = check.publicUrl()
  const targets = readTargets(value.targets, check)
  if (value.gateway.keys !== undefined) check.secret(['gateway', 'keys'], value.gateway.keys)
  const store = readStore(value.store, check, secretDeps)
  const workloadNames = workloads.map((provider) => provider.name)
  const administrators = check.groups('administrators', names, workloadNames)
  const auditors = check.groups('auditors', names, workloadNames)
  const policyFile = resolve(baseDir, value.policy)
  // Named from where the person stands, as the configuration itself is.
  const shown = isAbsolute(value.policy) ? value.policy : join(dirname(file), value.policy)
  const policy = loadConfiguredPolicy(
    value.policy,
    shown,
    check,
    names,
    Object.keys(value.targets),
    workloads,
    (options.clock ?? systemClock).now(),
  )
  if (check.issues.length > 0 || policy === undefined)
    throw new ConfigError(inFileOrder(check.issues))

  const config: GatewayConfig = {
    file: path,
    listen: value.gateway.listen,
    ...(tls === undefined ? {} : { tls }),
    publicUrl,
    data: resolve(baseDir, value.gateway.data),
    ...(store === undefined ? {} : { store }),
    ...(value.gateway.keys === undefined ? {} : { keys: value.gateway.keys }),
    administrators,
    auditors,
    providers,
    workloads,
    targets,
    durability: value.recordings.durability,
    sessionsPerPrincipal: value.limits.sessionsPerPrincipal,
    limits: {
      connectionsPerSession: value.limits.connectionsPerSession,
      sessionsPerPrincipal: value.limits.sessionsPerPrincipal,
      handshakeMs: value.limits.handshake,
      messageBytes: value.limits.messageBytes,
    },
    policyFile,
    secretDeps,
  }
  return { config: deepFreeze(config), policy, warnings: check.warnings }
}

function deepFreeze<T>(value: T): T {
  // Only what was built here: an environment or a secret belongs to somebody else.
  const ours =
    Array.isArray(value) || (value !== null && Object.getPrototypeOf(value) === Object.prototype)
  if (typeof value !== 'object' || value === null || !ours || Object.isFrozen(value)) return value
  for (const [name, member] of Object.entries(value)) if (name !== 'secretDeps') deepFreeze(member)
  return Object.freeze(value)
}

/** Where the parts of the data directory are. */
export function dataPaths(data: string): {
  readonly recordings: string
  readonly audit: string
  readonly keys: string
} {
  return {
    recordings: join(data, 'recordings'),
    audit: join(data, 'audit'),
    keys: join(data, 'keys'),
  }
}

/** Makes the data directory and its parts, 0700; rights that were wider are taken back. Throws VGATE_CONFIG_INVALID. */
export function prepareDataDirectory(data: string): void {
  try {
    for (const path of [data, ...Object.values(dataPaths(data))]) {
      mkdirSync(path, { recursive: true, mode: 0o700 })
      chmodSync(path, 0o700)
    }
  } catch (cause) {
    throw new VgateError('VGATE_CONFIG_INVALID', `gateway.data: ${data} cannot be prepared`, {
      hint: 'the directory must belong to the user that runs the gateway',
      cause,
    })
  }
}
