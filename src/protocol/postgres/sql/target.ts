// Owns what a write stands on: a table, or a view and what PostgreSQL writes in its place (PostgreSQL docs, CREATE VIEW,
// "Updatable Views"). Must never name less than the server will write: what is not plain is refused.

import type { Effect } from '../../../core/operation.js'
import type { Relation, TriggerEvent } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { isAlwaysTrue, type NamedKeys } from './condition.js'
import { relationItem, resolveRelation } from './from.js'
import type { Item, Scope } from './scope.js'
import { noteTold, type Writing } from './telling.js'
import { isFields, list, NotUnderstood, names, open, tagOf, text } from './tree.js'
import type { Column } from './value.js'
import { definitionOf, viewColumns } from './view.js'

/** A relation that is written when the one above it is. */
interface Level {
  readonly relation: Relation
  readonly only: boolean
  /** What it calls a column of the relation that the statement names; undefined where that is computed. */
  readonly column: (name: string) => string | undefined
  /** Some view above it shows a part of its rows. */
  readonly part: boolean
}

/** What a write names, and how it can be named in the statement. */
export interface Target {
  readonly relation: Relation
  readonly only: boolean
  readonly item: Item
  /** From the relation that is named down to the table; to the view whose triggers write. */
  readonly levels: readonly Level[]
  /** The last of them. */
  readonly table: Level
  /** Triggers of a view decide what is written. */
  readonly triggered: boolean
}

/** Nothing nested deeper is followed. */
const MAX_LEVELS = 50
/** What makes a view of one table one that PostgreSQL cannot write through. */
const NOT_WRITABLE = [
  'withClause',
  'distinctClause',
  'groupClause',
  'havingClause',
  'limitCount',
  'limitOffset',
  'intoClause',
  'lockingClause',
]

/** The table or view that is written by `events`. Rules, sequences and views that are no plain part of one table are refused. */
export function targetOf(
  value: unknown,
  events: readonly TriggerEvent[],
  scope: Scope,
  analysis: Analysis,
): Target {
  const fields = open(value, 'RangeVar')
  if (fields['schemaname'] === undefined && scope.table(text(fields['relname'])) !== undefined)
    throw new NotUnderstood('a WITH query cannot be written')
  const { relation, only } = resolveRelation(value, analysis)
  let table: Level = { relation, only, column: (name) => name, part: false }
  const levels = [table]
  let triggered = false
  for (;;) {
    demandPlain(table.relation)
    triggered = hasTriggers(table.relation, events)
    if (triggered || table.relation.kind !== 'v') break
    if (levels.length === MAX_LEVELS) throw new NotUnderstood('views nested too deeply')
    table = behind(table, analysis)
    levels.push(table)
  }
  const alias = fields['alias'] === undefined ? undefined : open(fields['alias'], 'Alias')
  const named = { relation, only, alias: alias && text(alias['aliasname']) }
  const item = itemOf(named, table, analysis)
  return { relation, only, item, levels, table, triggered }
}

function demandPlain({ name, system, kind, hasRules }: Relation): void {
  if (system) throw new NotUnderstood(`the catalogue cannot be written: "${name}"`)
  if (!['r', 'p', 'f', 'v'].includes(kind)) {
    throw new NotUnderstood(
      `not supported yet: writing through "${name}", which is neither a table nor a view`,
    )
  }
  if (hasRules) throw new NotUnderstood(`not supported yet: writing "${name}", which has rules`)
}

/** Whether INSTEAD OF triggers take what is asked for; PostgreSQL itself refuses a MERGE of which they take a part. */
function hasTriggers({ name, insteadOf }: Relation, events: readonly TriggerEvent[]): boolean {
  const taken = events.filter((event) => insteadOf.includes(event))
  if (taken.length > 0 && taken.length < events.length)
    throw new NotUnderstood(`"${name}" has INSTEAD OF triggers for some of these actions only`)
  return taken.length > 0
}

/** What PostgreSQL writes in place of a view: the one relation of its FROM. */
function behind(above: Level, analysis: Analysis): Level {
  const { relation: view, column, part } = above
  const select = definitionOf(view)
  const own = analysis.separate(analysis.catalogue.defaultSearchPath)
  const [range, second] = list(select['fromClause'])
  const plain = second === undefined && isFields(range) && tagOf(range) === 'RangeVar'
  const odd = NOT_WRITABLE.find((key) => select[key] !== undefined && isFilled(select[key]))
  if (!plain || odd !== undefined || text(select['op']) !== 'SETOP_NONE') {
    throw new NotUnderstood(
      `cannot be written through: "${view.name}" is not a plain part of one table`,
      'write the table itself',
    )
  }
  const fields = open(range['RangeVar'], 'RangeVar')
  const { relation, only } = resolveRelation(fields, own)
  const columns = columnsBehind(select['targetList'], fields['alias'], relation)
  return {
    relation,
    only,
    column: (name) => {
      const shown = column(name)
      const at = view.columns.findIndex((each) => each.name === shown)
      return shown === undefined || at < 0 ? undefined : columns[at]
    },
    part: part || !isAlwaysTrue(select['whereClause']),
  }
}

const isFilled = (value: unknown): boolean => !Array.isArray(value) || value.length > 0

/** Of each column of a view: the column of its table that it shows as it is. */
function columnsBehind(
  targets: unknown,
  alias: unknown,
  relation: Relation,
): readonly (string | undefined)[] {
  const renamed = alias === undefined ? [] : names(open(alias, 'Alias')['colnames'])
  const called = relation.columns.map(({ name }, index) => renamed[index] ?? name)
  return list(targets).map((each) => {
    const target = isFields(each) ? each['ResTarget'] : undefined
    const shown = isFields(target) ? target['val'] : undefined
    if (!isFields(shown) || tagOf(shown) !== 'ColumnRef') return undefined
    const parts = list(open(shown['ColumnRef'], 'ColumnRef')['fields'])
    const last = parts.at(-1)
    if (last === undefined || parts.length > 2 || tagOf(last) !== 'String') return undefined
    const [name] = names([last])
    const at = called.indexOf(name ?? '')
    return called.lastIndexOf(name ?? '') === at ? relation.columns[at]?.name : undefined
  })
}

/** What is written as a range item. It does not count as read until something of it is used. */
function itemOf(
  named: {
    readonly relation: Relation
    readonly only: boolean
    readonly alias: string | undefined
  },
  table: Level,
  analysis: Analysis,
): Item {
  const { relation, only, alias } = named
  return analysis.dry((trial) => {
    const item = relationItem(relation, only, { name: alias, columns: [] }, trial)
    if (table.relation === relation) return item
    // What names a key of the table names its row, and a view shows each row once at most.
    const below = { name: undefined, columns: [] }
    const { mark } = relationItem(table.relation, table.only, below, trial)
    const columns = item.columns.map(({ name, value }): Column => {
      const { base: _, ...bare } = value
      const column = table.column(name)
      const known = mark !== undefined && column !== undefined
      return { name, value: known ? { ...bare, base: { item: mark, column } } : bare }
    })
    const { mark: _, ...rest } = item
    return { ...rest, ...(mark === undefined ? {} : { mark }), columns, relation: table.relation }
  })
}

/** Notes that something of the rows is read, or that views on the way show a part of them only. */
export function readTarget({ relation, only, levels }: Target, analysis: Analysis): void {
  analysis.reach(relation, 'read', 'get', { kind: 'none' }, only)
  if (levels.length > 1 || relation.kind === 'v') viewColumns(relation, analysis)
}

/** Whether a view on the way shows a part of the rows: which part is a question about what they hold. */
export function showsPart({ levels }: Target): boolean {
  return levels.some(({ part }) => part)
}

/** Notes that a column is written, with what its name covers. */
export function noteWritten({ relation, levels }: Target, name: string, analysis: Analysis): void {
  if (!relation.columns.some((each) => each.name === name))
    throw new NotUnderstood(`unknown column "${name}" of "${relation.name}"`)
  for (const { relation: each, only, column } of levels) {
    const own = column(name)
    const found = each.columns.find((one) => one.name === own)
    if (found === undefined) {
      throw new NotUnderstood(
        `column "${name}" of view "${relation.name}" is not a plain column of "${each.name}"`,
      )
    }
    const sources = analysis
      .family(each, only)
      .map(({ collection }) => ({ collection, field: found.name, vector: found.vector }))
    analysis.useSources(sources, 'written')
  }
}

/** Notes what a write, all of whose columns are noted, tells on every relation that it stands on. */
export function noteTelling({ levels }: Target, writing: Writing, analysis: Analysis): void {
  for (const { relation, only, column } of levels)
    noteTold(relation, only, writing.as(column), analysis)
}

/** The actions by which a write is known, from what it touches. */
type Actions = (effect: Effect) => string

const TRIGGERED: Effect = { kind: 'unknown', reason: 'triggers of the view decide what is written' }

/** Notes the write on every relation that it stands on. */
export function reachTarget(
  { levels, triggered }: Target,
  actions: Actions,
  effect: Effect,
  analysis: Analysis,
): void {
  for (const { relation, only, part } of levels) {
    const all = effect.kind === 'all' && part
    const own: Effect = triggered ? TRIGGERED : all ? { kind: 'filter' } : effect
    analysis.reach(relation, 'write', actions(own), own, only)
  }
}

/** Notes keys under the name of every relation that is written. */
export function nameTarget(
  { levels }: Target,
  keys: readonly string[],
  column: NamedKeys['column'],
  analysis: Analysis,
): void {
  for (const { relation } of levels) analysis.nameKeys(relation.collection, keys, column)
}
