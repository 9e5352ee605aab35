// Owns how the policy names a group: `provider:name`, or a bare name while exactly one provider of people exists.

import { nearestName } from '../core/nearest.js'

/** The group with its provider. Call it only for a name without a `groupProblem`. */
export function qualifiedGroup(group: string, providers: readonly string[]): string {
  return group.includes(':') ? group : `${providers[0] ?? ''}:${group}`
}

/** What is wrong with a group's name where only people count, or undefined. `workloads` are named in the message. */
export function groupProblem(
  group: string,
  providers: readonly string[],
  workloads: readonly string[] = [],
): { readonly message: string; readonly hint: string } | undefined {
  const colon = group.indexOf(':')
  if (colon === -1) {
    if (providers.length === 1) return undefined
    return {
      message: `got a bare group name while there are ${providers.length} providers of people, expected provider:name`,
      hint: providers.length === 0 ? 'configure a provider' : `providers: ${providers.join(', ')}`,
    }
  }
  const provider = group.slice(0, colon)
  if (group.slice(colon + 1) === '') {
    return { message: 'got no group after the provider, expected provider:name', hint: 'name it' }
  }
  if (providers.includes(provider)) return undefined
  if (workloads.includes(provider)) {
    return {
      message: `"${provider}" is a provider of workloads, which neither approve, own nor administer`,
      hint: `providers of people: ${providers.join(', ')}`,
    }
  }
  const near = nearestName(provider, providers)
  return {
    message: `unknown provider "${provider}"`,
    hint:
      near === undefined
        ? `providers of people: ${providers.join(', ')}`
        : `did you mean "${near}"?`,
  }
}
