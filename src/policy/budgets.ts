// Owns what an operation takes of the budgets of the roles held: rows, embeddings, probes, for each row that it gives
// and altogether. Pure; the counting is `proxy/budgets.ts`'s. What nobody could count is refused.

import type { FieldMask } from '../core/decision.js'
import {
  type CollectionUse,
  type FieldUse,
  isTemporary,
  type Operation,
  type Output,
} from '../core/operation.js'
import type { CompiledRole } from './compile.js'
import { covers, type Pattern } from './glob.js'
import { describeOperation } from './reasons.js'
import { writtenRows } from './risks.js'

/** One entry of a role's `budget`. */
export interface BudgetRule {
  /** `roles.reader.budget[0]`. */
  readonly rule: string
  readonly role: string
  readonly collections: readonly Pattern[]
  readonly rows: number | undefined
  readonly vectors: number | undefined
  readonly probes: number | undefined
  /** Part of each collection's rows, up to 1. */
  readonly share: number | undefined
  readonly perMs: number
}

/** What one operation takes of one budget. */
export interface Claim {
  readonly rule: string
  readonly kind: 'rows' | 'vectors' | 'probes' | 'share'
  /** What is counted: the same under a changed limit. */
  readonly counter: string
  /** Undefined for a share, which is of the rows of `collection`. */
  readonly limit: number | undefined
  readonly share?: { readonly of: number; readonly collection: string }
  readonly perMs: number
  /** Taken whatever comes. */
  readonly fixed: number
  /** Taken with each row that is given. */
  readonly perRow: number
}

export interface BudgetRefusal {
  readonly rule: string
  readonly reason: string
  readonly hint: string
}

/** The claims of one operation, or why it cannot be counted. `masks`: those that apply to what leaves. */
export function claimsOf(
  roles: readonly CompiledRole[],
  operation: Operation,
  masks: readonly FieldMask[],
): readonly Claim[] | BudgetRefusal {
  const claims: Claim[] = []
  for (const budget of roles.flatMap((role) => role.budgets)) {
    const read = readOf(budget, operation)
    if (read.length === 0) continue
    const taken = takenOf(budget, operation, masks)
    if ('reason' in taken) return taken
    const add = (kind: Claim['kind'], limit: number | undefined, collection?: string): void => {
      const { fixed, perRow } = taken[kind === 'share' ? 'rows' : kind]
      if (fixed === 0 && perRow === 0) return
      const share = collection === undefined ? {} : { share: { of: budget.share ?? 0, collection } }
      const counter = counterOf(budget, kind, collection)
      const { rule, perMs } = budget
      claims.push({ rule, kind, counter, limit, perMs, fixed, perRow, ...share })
    }
    if (budget.rows !== undefined) add('rows', budget.rows)
    if (budget.vectors !== undefined) add('vectors', budget.vectors)
    if (budget.probes !== undefined) add('probes', budget.probes)
    if (budget.share !== undefined) for (const one of read) add('share', undefined, one)
  }
  return claims
}

function counterOf(budget: BudgetRule, kind: Claim['kind'], collection?: string): string {
  const patterns = budget.collections.map(({ source }) => source).sort()
  return JSON.stringify([
    budget.role,
    kind,
    patterns,
    budget.perMs,
    ...(collection ? [collection] : []),
  ])
}

/** The collections of the budget whose rows the operation looks at. A plan shows none. */
function readOf(budget: BudgetRule, operation: Operation): readonly string[] {
  const found = operation.collections.filter(
    ({ collection, access, action }) =>
      access !== 'none' && action !== 'describe_collection' && isOf(budget, collection),
  )
  return [...new Set(found.map(({ collection }) => collection))]
}

function isOf({ collections }: BudgetRule, name: string): boolean {
  return collections.some((pattern) => covers(pattern, name))
}

interface Amount {
  readonly fixed: number
  readonly perRow: number
}

type Taken = Readonly<Record<'rows' | 'vectors' | 'probes', Amount>>

function takenOf(
  budget: BudgetRule,
  operation: Operation,
  masks: readonly FieldMask[],
): Taken | BudgetRefusal {
  const { gathers = 0, rows, outputs } = operation.returns
  if (gathers === 'unbounded') {
    return {
      rule: budget.rule,
      reason: `${describeOperation(operation)} would gather a number of rows that nobody can count into one value`,
      hint: 'gather from a subquery with LIMIT',
    }
  }
  const copied = copiedRows(budget, operation)
  if (copied === undefined) {
    return {
      rule: budget.rule,
      reason: `${describeOperation(operation)} would copy a number of rows that nobody can count out of what ${budget.rule} covers`,
      hint: 'copy with LIMIT, or name the keys',
    }
  }
  const uses = operation.fields.filter((use) => use.vector && isOf(budget, use.collection))
  const leaving = outputs.filter((output) => leavesWith(budget, output, masks))
  const plain = leaving.filter(({ kind }) => kind === 'column').length
  const made = leaving.filter(({ kind }) => kind === 'derived' || kind === 'whole').length
  const gives = rows === 0 ? 0 : 1
  return {
    rows: { fixed: gathers + copied, perRow: gives },
    vectors: {
      // An embedding inside of a value that gathers rows is as many.
      fixed: (plain + made) * gathers + copied * toldIn(uses),
      perRow: (plain + made) * gives,
    },
    probes: {
      fixed: probesOf(uses, operation, budget) + made * gathers,
      // What is made of an embedding may hold a distance to another vector in each row.
      perRow: made * gives,
    },
  }
}

/**
 * Rows that end up in collections outside of the budget; undefined where nobody knows how many. Rows that are found by
 * comparing them with those of the budget count as what is copied out of it.
 */
function copiedRows(budget: BudgetRule, operation: Operation): number | undefined {
  const copies = operation.fields.some(
    (use) => use.how === 'copied' && isOf(budget, use.collection),
  )
  const reads = operation.collections.some(
    ({ access, action, collection }) =>
      access === 'read' && action !== 'describe_collection' && isOf(budget, collection),
  )
  if (!copies && !reads) return 0
  const writes = operation.collections.filter(
    ({ access }) => access === 'write' || access === 'admin',
  )
  const within = writes.filter(({ collection }) => isOf(budget, collection))
  const into = writes.filter(
    (use) => !isOf(budget, use.collection) && (copies || !within.some((one) => standsOn(use, one))),
  )
  // What is defined by what is read has no effect that says how much.
  if (copies && into.some(({ access, effect }) => access === 'admin' && effect.kind === 'none'))
    return undefined
  const rows = writtenRows(into)
  return Number.isFinite(rows) ? rows : undefined
}

/** Whether a write may be one with that: of a parent, a part or a view of what is written there. */
function standsOn(use: CollectionUse, written: CollectionUse): boolean {
  const { action, effect, collection } = use
  return (
    !isTemporary(collection) &&
    action === written.action &&
    JSON.stringify(effect) === JSON.stringify(written.effect)
  )
}

/** Ways to use an embedding that tell of it in rows that are copied, beside distances to the caller's own vectors. */
const TELLING: readonly FieldUse['how'][] = [
  'copied',
  'predicate',
  'equality',
  'join',
  'group',
  'order',
  'derived',
  'whole',
  'exists',
]

/** Embeddings that each copied row may hold or tell of. */
function toldIn(uses: readonly FieldUse[]): number {
  const told = uses.filter(({ how }) => TELLING.includes(how))
  return new Set(told.map(({ collection, field }) => JSON.stringify([collection, field]))).size
}

/** An embedding of the budget leaves with it, and no mask hides it. */
function leavesWith(budget: BudgetRule, output: Output, masks: readonly FieldMask[]): boolean {
  if (output.kind === 'score') return false
  return output.sources.some(
    (source) =>
      source.vector &&
      isOf(budget, source.collection) &&
      !masks.some((mask) => hides(mask, source.collection, source.field)),
  )
}

function hides(mask: FieldMask, collection: string, field: string): boolean {
  return (
    mask.collection === collection &&
    mask.field === field &&
    mask.path === undefined &&
    mask.transforms.some(({ kind }) => kind !== 'detect')
  )
}

/** Each different distance is a probe, wherever it stands; so is a search, and a condition on the embedding itself. */
function probesOf(
  uses: readonly FieldUse[],
  { returns: { outputs }, probes = [] }: Operation,
  budget: BudgetRule,
): number {
  const scores = outputs.filter(
    ({ kind, sources }) =>
      kind === 'score' && sources.some((one) => one.vector && isOf(budget, one.collection)),
  ).length
  const distances = probes.filter(({ collection }) => isOf(budget, collection)).length
  const searches = countOf(uses, ['nearest', 'order', 'cutoff'])
  const conditions = countOf(uses, ['predicate', 'equality', 'exists', 'join', 'group'])
  return Math.max(scores, distances, Math.min(1, searches)) + conditions
}

function countOf(uses: readonly FieldUse[], hows: readonly FieldUse['how'][]): number {
  return uses.filter(({ how }) => hows.includes(how)).length
}
