// Owns WITH: common tables, read when they are first named, and recursive ones, read until nothing new comes.

import type { Analysis } from './analysis.js'
import { evaluateQuery, evaluateSelect, mergeColumns, type Query } from './query.js'
import type { Scope } from './scope.js'
import { expectNode, isFields, list, NotUnderstood, names, open, tagOf, text } from './tree.js'
import { allSources, type Column, derived, type Value } from './value.js'

const MAX_ROUNDS = 12

/** Adds the common tables of a WITH clause to a scope. Every one is read, named or not: it may write. */
export function addCommonTables(clause: unknown, scope: Scope, analysis: Analysis): void {
  if (clause === undefined) return
  const fields = open(clause, 'WithClause')
  const recursive = fields['recursive'] === true
  const readers: (() => Query)[] = []
  for (const each of list(fields['ctes'])) {
    const table = expectNode(each, 'CommonTableExpr')
    const name = text(table['ctename'])
    if (scope.tables.has(name))
      throw new NotUnderstood(`WITH query name "${name}" specified more than once`)
    const read = lazily(name, () =>
      recursive ? readRecursive(name, table, scope, analysis) : readOnce(table, scope, analysis),
    )
    // Without RECURSIVE a table sees only those before it: it is read before its own name is known.
    if (!recursive) read()
    scope.tables.set(name, { name, columns: () => read().columns, rows: () => read().rows })
    readers.push(read)
  }
  for (const read of readers) read()
}

function lazily(name: string, work: () => Query): () => Query {
  let state: 'new' | 'reading' | Query = 'new'
  return () => {
    if (state === 'reading')
      throw new NotUnderstood(`not supported yet: recursion of "${name}" in this form`)
    if (state === 'new') {
      state = 'reading'
      state = work()
    }
    return state
  }
}

function renamed(query: Query, aliases: readonly string[]): Query {
  if (aliases.length > query.columns.length)
    throw new NotUnderstood('more column aliases than columns')
  return {
    rows: query.rows,
    columns: query.columns.map((column, index) => ({
      name: aliases[index] ?? column.name,
      value: column.value,
    })),
  }
}

function readOnce(
  table: Readonly<Record<string, unknown>>,
  scope: Scope,
  analysis: Analysis,
): Query {
  return renamed(evaluateQuery(table['ctequery'], scope, analysis), names(table['aliascolnames']))
}

function readRecursive(
  name: string,
  table: Readonly<Record<string, unknown>>,
  scope: Scope,
  analysis: Analysis,
): Query {
  const query = table['ctequery']
  const aliases = names(table['aliascolnames'])
  const select =
    isFields(query) && tagOf(query) === 'SelectStmt' ? expectNode(query, 'SelectStmt') : undefined
  if (
    select === undefined ||
    text(select['op']) !== 'SETOP_UNION' ||
    !mentions(select['rarg'], name)
  ) {
    return readOnce(table, scope, analysis)
  }
  if (select['withClause'] !== undefined)
    throw new NotUnderstood('not supported yet: WITH inside a recursive query')
  const known = scope.tables.get(name)
  const first = analysis.dry((trial) =>
    renamed(evaluateSelect(open(select['larg'], 'SelectStmt'), scope, trial), aliases),
  )
  let columns: readonly Column[] = first.columns
  const now = { name, columns: () => columns, rows: () => Number.POSITIVE_INFINITY }
  scope.tables.set(name, now)
  for (let round = 0, size = -1; size !== weight(columns); round += 1) {
    if (round > MAX_ROUNDS)
      throw new NotUnderstood(`not supported yet: recursion of "${name}" in this form`)
    size = weight(columns)
    const next = analysis.dry((trial) =>
      evaluateSelect(open(select['rarg'], 'SelectStmt'), scope, trial),
    )
    columns = settled(mergeColumns(columns, next.columns))
  }
  const whole = evaluateQuery(query, scope, analysis)
  const merged = settled(mergeColumns(columns, whole.columns))
  if (known !== undefined) scope.tables.set(name, known)
  // Round by round a computed column can gather a whole table.
  if (merged.some(({ value }) => isComputed(value) && allSources(value).length > 0))
    analysis.gather(Number.POSITIVE_INFINITY, false)
  return { columns: merged, rows: Number.POSITIVE_INFINITY }
}

/** Round by round a text can grow without end. */
function settled(columns: readonly Column[]): readonly Column[] {
  return columns.map((column) =>
    column.value.kind === 'whole' ? { ...column, value: derived(column.value) } : column,
  )
}

const LOSS = { constant: 0, column: 0, score: 0, whole: 1, derived: 2 } as const
const isComputed = ({ kind }: Value): boolean => kind === 'derived' || kind === 'whole'

/** Grows with every source and every loss of plainness, and never shrinks. */
function weight(columns: readonly Column[]): number {
  return columns.reduce(
    (sum, column) => sum + allSources(column.value).length * 3 + LOSS[column.value.kind],
    0,
  )
}

function mentions(value: unknown, name: string): boolean {
  if (Array.isArray(value)) return value.some((each) => mentions(each, name))
  if (!isFields(value)) return false
  if (value['relname'] === name && value['schemaname'] === undefined) return true
  return Object.values(value).some((each) => mentions(each, name))
}
