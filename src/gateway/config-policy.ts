// Owns loading the policy that vgate.yaml names, against the providers, targets and databases that there are.

import { readFileSync, statSync } from 'node:fs'
import type { LoadedPolicy } from '../control/settings.js'
import { VgateError } from '../core/errors.js'
import { MAX_CONFIG_LENGTH } from '../core/strict-yaml.js'
import { KNOWN_ACTIONS } from '../databases/list.js'
import { compilePolicy } from '../policy/compile.js'
import { loadPolicy } from '../policy/schema.js'
import type { GatewayConfig } from './config.js'
import { type ConfigCheck, issuesOf } from './config-check.js'

/** The policy, or undefined and its issues in `check`. `file` is as written; `shown` is how messages name it. */
export function loadConfiguredPolicy(
  file: string,
  shown: string,
  check: ConfigCheck,
  providers: readonly string[],
  targets: readonly string[],
): LoadedPolicy | undefined {
  const source = check.text(['policy'], file)
  if (source === undefined) return undefined
  try {
    return compileSource(source, shown, providers, targets)
  } catch (error) {
    check.adopt(issuesOf(error))
    return undefined
  }
}

/** The policy of a running gateway, read anew. Throws a ConfigError, or VGATE_CONFIG_INVALID when there is no file. */
export function reloadPolicy(
  config: Pick<GatewayConfig, 'policyFile' | 'providers' | 'targets'>,
): LoadedPolicy {
  const { policyFile, providers, targets } = config
  return compileSource(
    readSmallFile(policyFile),
    policyFile,
    providers.map((provider) => provider.name),
    [...targets.keys()],
  )
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

function compileSource(
  source: string,
  shown: string,
  peopleProviders: readonly string[],
  targets: readonly string[],
): LoadedPolicy {
  const compiled = compilePolicy(loadPolicy(source, shown), {
    actions: [...KNOWN_ACTIONS],
    peopleProviders,
    targets,
  })
  return { source, hash: compiled.hash, compiled }
}
