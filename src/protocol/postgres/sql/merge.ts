// Owns MERGE: each WHEN by what it does to which rows. Rows that were matched are as many as the join proves, else all.

import type { Effect } from '../../../core/operation.js'
import type { TriggerEvent } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { type Binding, conjuncts, noteCondition } from './condition.js'
import { evaluate } from './expression.js'
import { readRange } from './from.js'
import { resolveOperator } from './names.js'
import type { Query } from './query.js'
import { type Item, type Range, Scope } from './scope.js'
import {
  noteTelling,
  noteWritten,
  reachTarget,
  readTarget,
  type Target,
  targetOf,
} from './target.js'
import { guessesOf, Writing } from './telling.js'
import {
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  names,
  tagOf,
  text,
} from './tree.js'
import {
  addItem,
  assignments,
  deleteAction,
  keyEffect,
  most,
  noteSteps,
  returning,
  updateAction,
} from './write.js'

interface Merge {
  readonly target: Target
  readonly analysis: Analysis
  /** What a WHEN may name, by whether the row has a match. */
  readonly scopes: Readonly<Record<'both' | 'source' | 'target', Scope>>
  /** Rows that the source has at most. */
  readonly sourceRows: number
}

const SEEN: Readonly<Record<string, keyof Merge['scopes']>> = {
  MERGE_WHEN_MATCHED: 'both',
  MERGE_WHEN_NOT_MATCHED_BY_TARGET: 'source',
  MERGE_WHEN_NOT_MATCHED_BY_SOURCE: 'target',
}

/** A MERGE; its columns are those of RETURNING. `scope` holds its common tables. */
export function merge(fields: Fields, scope: Scope, analysis: Analysis): Query {
  const clauses = list(fields['mergeWhenClauses']).map((each) =>
    expectNode(each, 'MergeWhenClause'),
  )
  const target = targetOf(fields['relation'], eventsOf(clauses), scope, analysis)
  const source = readRange(fields['sourceRelation'], new Scope(scope), analysis)
  const scopes = scopesOf(scope, target.item, source)
  const sourceRows = source.rows(() => Number.POSITIVE_INFINITY)
  const found: Merge = { target, analysis, scopes, sourceRows }
  // It is read to be joined, whatever is then done.
  readTarget(target, analysis)
  const bindings = conditions(fields['joinCondition'], scopes.both, found, 'join')
  // Looked at where a WHEN writes what was matched: only then its keys are written.
  let known: Effect | undefined
  const matched = (): Effect => {
    known ??= matchedEffect(fields['joinCondition'], bindings, found)
    return known
  }
  const rows = clauses
    .map((each) => clause(each, matched, found))
    .reduce((sum, one) => sum + one, 0)
  const all = new Scope(scope)
  all.add(source)
  return returning(fields['returningClause'], target, all, rows, analysis)
}

const EVENTS: Readonly<Record<string, TriggerEvent>> = {
  CMD_INSERT: 'insert',
  CMD_UPDATE: 'update',
  CMD_DELETE: 'delete',
}

function eventsOf(clauses: readonly Fields[]): readonly TriggerEvent[] {
  const found = clauses.flatMap((each) => EVENTS[text(each['commandType'])] ?? [])
  return [...new Set(found)]
}

function scopesOf(outer: Scope, item: Item, source: Range): Merge['scopes'] {
  const [both, one, other] = [new Scope(outer), new Scope(outer), new Scope(outer)]
  addItem(both, item)
  both.add(source)
  one.add(source)
  addItem(other, item)
  return { both, source: one, target: other }
}

function conditions(
  value: unknown,
  scope: Scope,
  { analysis }: Merge,
  how: 'join' | 'predicate',
): readonly Binding[] {
  return conjuncts(value).flatMap((each) => noteCondition(each, scope, analysis, how) ?? [])
}

/** How many rows of the target the join can match: those of named keys, or one for each row of the source. */
function matchedEffect(join: unknown, bindings: readonly Binding[], found: Merge): Effect {
  const { target, analysis, sourceRows } = found
  const named = keyEffect(target, bindings, analysis)
  if (named !== undefined) return named
  const keyed =
    target.item.mark !== undefined && Number.isFinite(sourceRows) && joinsKeys(join, found)
  return keyed ? { kind: 'ids', count: sourceRows } : { kind: 'all' }
}

/** Whether a whole key of the target is compared with what names one row each: columns of a list of exact constants. */
function joinsKeys(join: unknown, { target, analysis, scopes }: Merge): boolean {
  const { item, table } = target
  const columns = new Set<string>()
  for (const each of conjuncts(join)) {
    if (tagOf(each) !== 'A_Expr') continue
    const fields = expectNode(each, 'A_Expr')
    const { lexpr, rexpr } = fields
    const equal = fields['kind'] === 'AEXPR_OP' && names(fields['name']).at(-1) === '='
    if (!equal || lexpr === undefined || rexpr === undefined) continue
    analysis.dry((trial) => {
      const left = evaluate(lexpr, scopes.both, trial)
      const right = evaluate(rexpr, scopes.both, trial)
      if (!resolveOperator(fields['name'], left, right, trial).plain) return
      for (const [key, other, by] of [
        [left, right, rexpr],
        [right, left, lexpr],
      ] as const) {
        const names = other.exact === true && (other.kind === 'constant' || isColumn(by))
        if (names && key.base?.item === item.mark && key.base !== undefined)
          columns.add(key.base.column)
      }
    })
  }
  return table.relation.keys.some((key) => key.every((column) => columns.has(column)))
}

function isColumn(value: unknown): boolean {
  return isFields(value) && tagOf(value) === 'ColumnRef'
}

/** One WHEN; answers how many rows it can touch. */
function clause(fields: Fields, matched: () => Effect, found: Merge): number {
  const seen = SEEN[text(fields['matchKind'])]
  if (seen === undefined) throw new NotUnderstood('not supported yet: this WHEN of MERGE')
  const scope = found.scopes[seen]
  const bindings = conditions(fields['condition'], scope, found, 'predicate')
  const command = text(fields['commandType'])
  if (command === 'CMD_NOTHING') return 0
  if (command === 'CMD_INSERT') return inserted(fields, scope, found)
  const { target, analysis } = found
  const effect =
    seen === 'both'
      ? matched()
      : (keyEffect(target, bindings, analysis) ?? ({ kind: 'all' } as const))
  if (command === 'CMD_UPDATE') {
    assignments(fields['targetList'], target, scope, analysis)
    reachTarget(target, updateAction, effect, analysis)
    return most(effect)
  }
  if (command !== 'CMD_DELETE') throw new NotUnderstood('not supported yet: this WHEN of MERGE')
  reachTarget(target, deleteAction, effect, analysis)
  return most(effect)
}

function inserted(fields: Fields, scope: Scope, found: Merge): number {
  const { target, analysis, sourceRows } = found
  const values = list(fields['values'])
  const given = values.map((each) => evaluate(each, scope, analysis))
  for (const each of given) analysis.use(each, 'copied')
  const named = list(fields['targetList']).map((each) => {
    const column = expectNode(each, 'ResTarget')
    noteSteps(column['indirection'], scope, analysis)
    return text(column['name'])
  })
  const written =
    named.length > 0
      ? named
      : target.relation.columns.slice(0, values.length).map(({ name }) => name)
  const writing = new Writing(true)
  for (const [index, name] of written.entries()) {
    noteWritten(target, name, analysis)
    writing.set(name, guessesOf(given[index]))
  }
  noteTelling(target, writing, analysis)
  const effect: Effect = Number.isFinite(sourceRows)
    ? { kind: 'rows', count: sourceRows }
    : { kind: 'unknown', reason: 'the number of rows comes from a query' }
  reachTarget(target, () => 'insert', effect, analysis)
  return sourceRows
}
