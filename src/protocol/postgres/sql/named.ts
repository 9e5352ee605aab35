// Owns what a statement says about prepared statements and cursors: which name, and what it does with it. Must never
// take a name for another than the server does: identifiers beyond ASCII are folded and cut by its encoding.

import { GUARD_PREFIX } from '../guard-text.js'
import type { NamedUse, ParsedStatement } from '../statement.js'
import { isFields, tagOf, text } from './tree.js'

/** Of DeclareCursorStmt.options (PostgreSQL, parsenodes.h). */
const BINARY = 0x0001
export const CURSOR_HOLD = 0x0020
/** How the grammar writes ALL, where its `long` has 32 bits. */
const ALL = 0x7fffffff

/** A statement's part inside another one, and the whole other one as it was written. */
export interface Inside {
  readonly statement: (tree: unknown) => ParsedStatement
  readonly source: string
}

/** Reads the use. Undefined where there is none, or where the name is not plain: such a statement is refused. */
export function namedUse(tree: unknown, inside: Inside): NamedUse | undefined {
  const [tag, fields] = opened(tree)
  const { source } = inside
  const name = plain(fields['name'] ?? fields['portalname'] ?? executed(tree)?.['name'])
  if (name === undefined) return undefined
  if (tag === 'PrepareStmt')
    return { kind: 'prepare', name, inner: inside.statement(fields['query']), source }
  if (tag === 'FetchStmt') return { kind: 'fetch', name, ...reach(fields) }
  if (tag === 'DeclareCursorStmt') {
    const options = typeof fields['options'] === 'number' ? fields['options'] : 0
    const [hold, binary] = [(options & CURSOR_HOLD) !== 0, (options & BINARY) !== 0]
    return { kind: 'declare', name, inner: inside.statement(fields['query']), source, hold, binary }
  }
  return executed(tree) === undefined ? undefined : { kind: 'execute', name }
}

/** How much FETCH and MOVE ask for. */
function reach(
  fields: Readonly<Record<string, unknown>>,
): Pick<Extract<NamedUse, { kind: 'fetch' }>, 'most' | 'forward' | 'moves'> {
  const count = typeof fields['howMany'] === 'number' ? fields['howMany'] : 0
  const steps = fields['direction'] === 'FETCH_FORWARD' || fields['direction'] === 'FETCH_BACKWARD'
  const one = fields['direction'] === 'FETCH_ABSOLUTE' || fields['direction'] === 'FETCH_RELATIVE'
  // FETCH 0 gives the row at hand once more; ABSOLUTE and RELATIVE give one; of any other way nothing is known.
  const many = Math.abs(count) >= ALL ? Number.POSITIVE_INFINITY : Math.max(1, Math.abs(count))
  return {
    most: steps ? many : one ? 1 : Number.POSITIVE_INFINITY,
    forward: fields['direction'] === 'FETCH_FORWARD' && count > 0,
    moves: fields['ismove'] === true,
  }
}

/** A name that every server encoding reads alike, and that is not of the gateway's own; '' is none. */
export function plain(value: unknown): string | undefined {
  const name = text(value)
  return /^[\x20-\x7e]+$/.test(name) && !name.startsWith(GUARD_PREFIX) ? name : undefined
}

/** The fields of the EXECUTE that a statement is, explains or makes a table of; undefined where there is none. */
export function executed(tree: unknown): Readonly<Record<string, unknown>> | undefined {
  const [tag, fields] = opened(tree)
  if (tag === 'ExecuteStmt') return fields
  if (tag !== 'ExplainStmt' && tag !== 'CreateTableAsStmt') return undefined
  return executed(fields['query'])
}

const EXECUTABLE: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
])

/** A query, which EXECUTE runs as it is. SELECT INTO is none: it makes a table, and Parse would let it have a name. */
export function isExecutable(tree: unknown): boolean {
  const [tag, fields] = opened(tree)
  return EXECUTABLE.has(tag) && !makesTable(fields)
}

/** INTO of a set operation stands in its first part. */
function makesTable(select: Readonly<Record<string, unknown>>): boolean {
  if (select['intoClause'] !== undefined) return true
  const first = select['larg']
  return isFields(first) && makesTable(first)
}

/** The tree with this query in place of its EXECUTE. */
export function withQuery(tree: unknown, query: unknown): unknown {
  const [tag, fields] = opened(tree)
  if (tag === 'ExecuteStmt') return query
  return { [tag]: { ...fields, query: withQuery(fields['query'], query) } }
}

function opened(tree: unknown): readonly [string, Readonly<Record<string, unknown>>] {
  if (!isFields(tree) || Object.keys(tree).length !== 1) return ['', {}]
  const tag = tagOf(tree)
  const fields = tree[tag]
  return [tag, isFields(fields) ? fields : {}]
}
