// Owns what a refused caller is told to do next: take another role, or ask somebody.

import type { Principal } from '../core/principal.js'
import { groupsWith, mayTake } from './access.js'
import type { CompiledPolicy, CompiledRole } from './compile.js'

/** Names the roles that would let it through, and whom to ask. `helps` tells whether one role alone would. */
export function hintFor(
  policy: CompiledPolicy,
  request: { readonly principal: Principal; readonly target: string; readonly contact?: string },
  helps: (role: CompiledRole) => boolean,
): string {
  const { principal, target, contact } = request
  const offered = [...policy.roles.values()]
    .map((role) => ({ role, groups: groupsWith(policy, role.name, target) }))
    .filter(({ role, groups }) => groups.length > 0 && helps(role))
  if (offered.length === 0) {
    const nobody = `no role of the policy allows this on ${target}`
    return contact === undefined ? nobody : `${nobody}; ask ${contact}`
  }
  const own = offered.find(({ role }) => mayTake(policy, principal, role.name, target))
  if (own !== undefined) {
    return `your role ${own.role.name} would allow it: \`vgate connect ${target} --role ${own.role.name}\``
  }
  const names = offered.map(({ role }) => role.name)
  const roles = `${names.length === 1 ? 'the role' : 'one of the roles'} ${names.join(', ')} would allow it`
  const groups = [...new Set(offered.flatMap((offer) => offer.groups))]
  return `${roles}; ask ${contact ?? `somebody of ${groups.join(', ')}`}`
}
