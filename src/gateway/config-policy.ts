// Owns loading the policy that vgate.yaml names, against the providers, targets and databases that there are.

import type { LoadedPolicy, WorkloadSettings } from '../control/settings.js'
import { KNOWN_ACTIONS } from '../databases/list.js'
import { policyWarnings } from '../policy/check-who.js'
import { compilePolicy } from '../policy/compile.js'
import { loadPolicy } from '../policy/schema.js'
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
    const document = loadPolicy(source, shown)
    const options = {
      actions: [...KNOWN_ACTIONS],
      peopleProviders: providers,
      workloadProviders: workloads,
      targets,
    }
    const compiled = compilePolicy(document, options)
    check.warn(policyWarnings(document, compiled, options, now).map((text) => `${shown}: ${text}`))
    return { source, hash: compiled.hash, compiled }
  } catch (error) {
    check.adopt(issuesOf(error))
    return undefined
  }
}
