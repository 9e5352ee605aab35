// Owns loading the policy that vgate.yaml names, against the providers, targets and databases that there are.

import { readFileSync, statSync } from 'node:fs'
import type { LoadedPolicy, WorkloadSettings } from '../control/settings.js'
import { VgateError } from '../core/errors.js'
import { MAX_CONFIG_LENGTH } from '../core/strict-yaml.js'
import { KNOWN_ACTIONS } from '../databases/list.js'
import { policyWarnings } from '../policy/check-who.js'
import { type CompileOptions, compilePolicy } from '../policy/compile.js'
import { loadPolicy, type PolicyDocument } from '../policy/schema.js'
import type { GatewayConfig } from './config.js'
import { type ConfigCheck, issuesOf } from './config-check.js'

/** The policy, or undefined and its issues in `check`. `file` is as written; `shown` is how messages name it. `now`: milliseconds since the epoch, for rules that end. */
export function loadConfiguredPolicy(
  file: string,
  shown: string,
  check: ConfigCheck,
  providers: readonly string[],
  targets: readonly string[],
  workloads: readonly WorkloadSettings[],
  now: number,
): LoadedPolicy | undefined {
  const source = check.text(['policy'], file)
  if (source === undefined) return undefined
  try {
    const options = optionsOf(providers, workloads, targets)
    const { document, policy } = compileSource(source, shown, options)
    check.warn(
      policyWarnings(document, policy.compiled, options, now).map((text) => `${shown}: ${text}`),
    )
    return policy
  } catch (error) {
    check.adopt(issuesOf(error))
    return undefined
  }
}

/** The policy of a running gateway, read anew. Throws a ConfigError, or VGATE_CONFIG_INVALID when there is no file. */
export function reloadPolicy(
  config: Pick<GatewayConfig, 'policyFile' | 'providers' | 'workloads' | 'targets'>,
): LoadedPolicy {
  const { policyFile, providers, workloads, targets } = config
  const options = optionsOf(
    providers.map((provider) => provider.name),
    workloads,
    [...targets.keys()],
  )
  return compileSource(readSmallFile(policyFile), policyFile, options).policy
}

function readSmallFile(file: string): string {
  try {
    const stat = statSync(file)
    if (stat.isFile() && stat.size <= MAX_CONFIG_LENGTH) return readFileSync(file, 'utf8')
  } catch {
    // The system's error says no more than this to a person.
    throw new VgateError('VGATE_CONFIG_INVALID', `${file} cannot be read`)
  }
  throw new VgateError(
    'VGATE_CONFIG_INVALID',
    `${file} is not a file of at most ${MAX_CONFIG_LENGTH} bytes`,
  )
}

function optionsOf(
  peopleProviders: readonly string[],
  workloadProviders: readonly WorkloadSettings[],
  targets: readonly string[],
): CompileOptions {
  return { actions: [...KNOWN_ACTIONS], peopleProviders, workloadProviders, targets }
}

function compileSource(
  source: string,
  shown: string,
  options: CompileOptions,
): { readonly document: PolicyDocument; readonly policy: LoadedPolicy } {
  const document = loadPolicy(source, shown)
  const compiled = compilePolicy(document, options)
  return { document, policy: { source, hash: compiled.hash, compiled } }
}
