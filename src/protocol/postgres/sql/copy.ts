// Owns COPY to and from the client. Files and programs of the server are refused by the allow-list of fields.

import type { Analysis } from './analysis.js'
import { conjuncts, noteCondition } from './condition.js'
import { copyForm } from './copy-form.js'
import { resolveRelation } from './from.js'
import { evaluateQuery } from './query.js'
import { relationColumns } from './relation-columns.js'
import { Scope } from './scope.js'
import { noteTold, Writing } from './telling.js'
import { expectNode, type Fields, list, NotUnderstood, names, tagOf, text } from './tree.js'
import { type Column, leaving, NOTHING } from './value.js'

const OPTIONS: ReadonlySet<string> = new Set(
  'format delimiter null default header quote escape force_quote force_not_null force_null encoding on_error log_verbosity freeze reject_limit'.split(
    ' ',
  ),
)

/** Judges COPY; gives the columns that leave. */
export function judgeCopy(
  fields: Fields,
  analysis: Analysis,
): { name: string; columns: readonly Column[] } {
  if (fields['filename'] !== undefined || fields['is_program'] === true) {
    throw new NotUnderstood('COPY with a file or program of the server is not allowed')
  }
  for (const each of list(fields['options'])) {
    const option = expectNode(each, 'DefElem')
    const name = text(option['defname'])
    if (!OPTIONS.has(name)) throw new NotUnderstood(`not supported yet: COPY option "${name}"`)
    if (name === 'encoding' && !isUtf8(option['arg']))
      throw new NotUnderstood('COPY in another encoding than UTF8 is not allowed')
  }
  return fields['is_from'] === true ? copyIn(fields, analysis) : copyOut(fields, analysis)
}

function isUtf8(value: unknown): boolean {
  return tagOf(value) === 'String' && /^utf-?8$/i.test(text(expectNode(value, 'String')['sval']))
}

function copyOut(fields: Fields, analysis: Analysis): { name: string; columns: readonly Column[] } {
  analysis.risks.add('bulk-export')
  const columns =
    fields['query'] === undefined ? tableOut(fields, analysis) : queryOut(fields, analysis)
  for (const column of columns) analysis.use(column.value, leaving(column.value))
  return { name: 'export', columns }
}

function queryOut(fields: Fields, analysis: Analysis): readonly Column[] {
  const query = evaluateQuery(fields['query'], new Scope(), analysis)
  for (const [index, use] of analysis.collections.entries()) {
    if (use.access === 'read') analysis.collections[index] = { ...use, action: 'export' }
  }
  return query.columns
}

function tableOut(fields: Fields, analysis: Analysis): readonly Column[] {
  const { relation } = resolveRelation(fields['relation'], analysis)
  if (relation.system) throw new NotUnderstood('not supported yet: COPY of the catalogue')
  // COPY leaves out children, but what a child or parent is called is still the same data.
  analysis.reach(relation, 'read', 'export', { kind: 'none' })
  const all = relationColumns(relation, false, analysis)
  const wanted = names(fields['attlist'])
  if (wanted.length === 0) return all
  return wanted.map((name) => {
    const column = all.find((each) => each.name === name)
    if (column === undefined)
      throw new NotUnderstood(`unknown column "${name}" of "${relation.name}"`)
    return column
  })
}

function copyIn(fields: Fields, analysis: Analysis): { name: string; columns: readonly Column[] } {
  const { relation } = resolveRelation(fields['relation'], analysis)
  if (relation.system || !['r', 'p', 'f'].includes(relation.kind)) {
    throw new NotUnderstood(`not supported yet: COPY into "${relation.name}", which is not a table`)
  }
  const wanted = names(fields['attlist'])
  const columnNames = wanted.length > 0 ? wanted : relation.columns.map((each) => each.name)
  const writing = new Writing(true)
  for (const name of columnNames) {
    const column = relation.columns.find((each) => each.name === name)
    if (column === undefined)
      throw new NotUnderstood(`unknown column "${name}" of "${relation.name}"`)
    analysis.useSources(
      [{ collection: relation.collection, field: name, vector: column.vector }],
      'written',
    )
    writing.set(name, 'many')
  }
  noteTold(relation, false, writing, analysis)
  if (fields['whereClause'] !== undefined) {
    // It sees the caller's own lines only.
    const columns = relation.columns.map((each): Column => ({ name: each.name, value: NOTHING }))
    const scope = new Scope()
    scope.add({ items: [{ alias: relation.name, columns, rows: 0 }], columns, rows: () => 0 })
    for (const each of conjuncts(fields['whereClause']))
      noteCondition(each, scope, analysis, 'predicate')
  }
  analysis.writes += 1
  analysis.copyIn = copyForm(fields, relation, columnNames)
  analysis.reach(relation, 'write', 'import', { kind: 'unknown', reason: 'rows come as a stream' })
  return { name: 'import', columns: [] }
}
