// Owns how one rule meets one operation: which uses an allow permits, and what a deny or a hold matches.

import {
  type Access,
  CATALOG,
  type CollectionUse,
  isTemporary,
  type Operation,
  type Risk,
} from '../core/operation.js'
import type { AllowRule, CompiledRole, Condition } from './compile.js'
import { covers, isEverything, permits } from './glob.js'

const RANK: Readonly<Record<Access, number>> = { none: 0, read: 1, write: 2, admin: 3 }

/** admin ⊇ write ⊇ read. */
export function atLeast(access: Access, needed: Access): boolean {
  return RANK[access] >= RANK[needed]
}

/** Stands for access that an operation needs beyond its collections, such as an advisory lock. */
const NO_COLLECTION = ''

/**
 * What must be allowed for the operation to run: every use of a collection, and the operation's own access where it
 * is more than any of theirs. Reading nothing (`SELECT 1`) needs no rule.
 */
export function neededUses(operation: Operation): CollectionUse[] {
  const uses = operation.collections.filter((use) => use.access !== 'none')
  const highest = uses.some((use) => atLeast(use.access, operation.access))
  if (highest || operation.access === 'none') return uses
  if (operation.access === 'read' && uses.length === 0) return uses
  const own: CollectionUse = {
    collection: NO_COLLECTION,
    access: operation.access,
    action: operation.name,
    effect: { kind: 'none' },
  }
  return [...uses, own]
}

/** The first rule of the roles that permits this use. The catalogue is not asked about here. */
export function permittingRule(
  roles: readonly CompiledRole[],
  operation: Operation,
  use: CollectionUse,
): AllowRule | undefined {
  for (const role of roles) {
    const rule = role.allow.find((allow) => rulePermits(allow, operation, use))
    if (rule !== undefined) return rule
  }
  return undefined
}

function rulePermits(rule: AllowRule, operation: Operation, use: CollectionUse): boolean {
  const inside = rule.collections.some((pattern) =>
    use.collection === NO_COLLECTION ? isEverything(pattern) : permits(pattern, use.collection),
  )
  if (!inside) return false
  if (rule.access !== undefined) return atLeast(rule.access, use.access)
  if (rule.operations === undefined) return false
  // The operation's name speaks for its main uses only: `insert` must not permit what an INSERT … SELECT reads.
  const main = use.access === operation.access
  return rule.operations.has(use.action) || (main && rule.operations.has(operation.name))
}

/**
 * Whether the catalogue may be used like this: whoever may use the target reads it, nobody writes it. What is the
 * session's own is everybody's: what is copied into it is judged as it is read.
 */
export function catalogueUse(use: CollectionUse): 'permitted' | 'refused' | 'not the catalogue' {
  if (isTemporary(use.collection)) return 'permitted'
  if (use.collection !== CATALOG) return 'not the catalogue'
  return use.access === 'read' ? 'permitted' : 'refused'
}

/** The risks of an operation as a whole and of each of its uses. */
export interface Risks {
  readonly whole: ReadonlySet<Risk>
  readonly byUse: ReadonlyMap<CollectionUse, ReadonlySet<Risk>>
}

/** True when a deny's or a hold's conditions are all met, by at least one use where they speak of uses. */
export function conditionMet(condition: Condition, operation: Operation, risks: Risks): boolean {
  if (operation.collections.length === 0) {
    return (
      (condition.collections === undefined || condition.collections.some(isEverything)) &&
      actionMet(condition, operation.name) &&
      accessMet(condition, operation.access) &&
      riskMet(condition, risks.whole)
    )
  }
  return operation.collections.some(
    (use) =>
      collectionMet(condition, use) &&
      (actionMet(condition, use.action) || actionMet(condition, operation.name)) &&
      accessMet(condition, use.access) &&
      riskMet(condition, risks.whole, risks.byUse.get(use)),
  )
}

/**
 * The catalogue is meant only where it is named, so that a broad rule does not stop a client from starting; so is what
 * a session has of its own.
 */
function collectionMet(condition: Condition, use: CollectionUse): boolean {
  if (condition.collections !== undefined) {
    return condition.collections.some((pattern) => covers(pattern, use.collection))
  }
  if (isTemporary(use.collection)) return false
  return use.collection !== CATALOG || use.access !== 'read'
}

function actionMet(condition: Condition, action: string): boolean {
  return condition.operations === undefined || condition.operations.has(action)
}

/** Who refuses reading refuses writing as well: the higher access includes the lower. */
function accessMet(condition: Condition, access: Access): boolean {
  return condition.access === undefined || atLeast(access, condition.access)
}

function riskMet(
  condition: Condition,
  ...found: readonly (ReadonlySet<Risk> | undefined)[]
): boolean {
  const { risks } = condition
  if (risks === undefined) return true
  return found.some((set) => set !== undefined && [...set].some((risk) => risks.has(risk)))
}
