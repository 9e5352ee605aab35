// Owns whether a caller may see all of what it writes. Where not, the database's messages about it are withheld: they
// quote rows ("Failing row contains (…)", "Key (ssn)=(…) already exists").

import { CATALOG, type CollectionUse, isTemporary, type Operation } from '../core/operation.js'
import type { CompiledRole, Condition } from './compile.js'
import { covers } from './glob.js'
import { conditionMet, permittingRule } from './match.js'

const NO_RISKS = { whole: new Set<never>(), byUse: new Map() }

/**
 * Whether it writes a collection of which these roles mask something, whatever of it the operation names, or that they
 * may not read. Where nobody knows what is written (triggers of a view), what is read for it counts as well.
 */
export function writesHidden(
  roles: readonly CompiledRole[],
  denials: readonly Condition[],
  operation: Operation,
): boolean {
  const masks = roles.flatMap((role) => role.masks)
  const open = operation.collections.some(
    ({ access, effect }) => access === 'write' && effect.kind === 'unknown',
  )
  return operation.collections.some(
    ({ access, collection }) =>
      ((open && collection !== CATALOG) || access === 'write' || access === 'admin') &&
      (masks.some((rule) => rule.collections.some((pattern) => covers(pattern, collection))) ||
        !(isTemporary(collection) || mayRead(roles, denials, collection))),
  )
}

function mayRead(
  roles: readonly CompiledRole[],
  denials: readonly Condition[],
  collection: string,
): boolean {
  const use: CollectionUse = { collection, access: 'read', action: 'get', effect: { kind: 'none' } }
  const read: Operation = {
    name: 'get',
    access: 'read',
    collections: [use],
    fields: [],
    returns: { rows: 1, outputs: [] },
    risks: [],
    functions: [],
    text: '',
  }
  return (
    permittingRule(roles, read, use) !== undefined &&
    !denials.some((rule) => conditionMet(rule, read, NO_RISKS))
  )
}
