// EXECUTE by the analysis alone: which arguments name keys, and what may stand behind a name.

import { beforeAll, expect, it } from 'vitest'
import { isOperation } from '../../../../../src/core/operation.js'
import { namedUse } from '../../../../../src/protocol/postgres/sql/named.js'
import type { ParsedStatement } from '../../../../../src/protocol/postgres/statement.js'
import { analyzer, catalogue, PUBLIC } from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

function parsed(text: string): ParsedStatement {
  const outcome = analyzer.parse(text)
  const [only] = outcome.ok ? outcome.statements : []
  if (only === undefined) throw new Error(`no statement: ${text}`)
  return only
}

/** The effect of EXECUTE of a write, run with these arguments. */
function effect(text: string, args: string): unknown {
  const run = parsed(`EXECUTE p(${args})`).execution?.(parsed(text))
  const operation = run?.classify(catalogue, PUBLIC).operation
  return operation && isOperation(operation) ? operation.collections.at(-1)?.effect : operation
}

const BY_KEYS = 'DELETE FROM docs WHERE id = ANY($1)'

it.each([
  ["ARRAY['']", 1],
  ["ARRAY['', '']", 2],
  ["ARRAY['', '1']", 2],
  ["ARRAY['1', NULL]", 2],
  ["'{1,2}'", 2],
  ["'{}'", 0],
])('%s names so many keys', (args, count) => {
  expect(effect(BY_KEYS, args)).toEqual({ kind: 'ids', count })
})

it.each([
  'SELECT * INTO made FROM notes',
  'WITH x AS (SELECT 1) SELECT * INTO made FROM x',
  'SELECT * INTO made FROM notes UNION SELECT * FROM notes',
  'CREATE TABLE made AS SELECT * FROM notes',
  'SET application_name = x',
  'EXECUTE q',
  'COPY notes TO STDOUT',
])('behind a name is no query: %s', (text) => {
  for (const use of ['EXECUTE p', 'EXPLAIN ANALYZE EXECUTE p', 'CREATE TABLE x AS EXECUTE p'])
    expect(parsed(use).execution?.(parsed(text)), use).toBeUndefined()
})

it.each([
  ['FETCH FROM c', 1, true],
  ['FETCH 0 FROM c', 1, false],
  ['FETCH 7 FROM c', 7, true],
  ['FETCH BACKWARD 7 FROM c', 7, false],
  ['FETCH FORWARD -7 FROM c', 7, false],
  ['FETCH ALL FROM c', Number.POSITIVE_INFINITY, true],
  ['MOVE BACKWARD ALL IN c', Number.POSITIVE_INFINITY, false],
  ['FETCH ABSOLUTE -3 FROM c', 1, false],
  ['FETCH RELATIVE 5 FROM c', 1, false],
  ['FETCH LAST FROM c', 1, false],
])('%s gives so many rows at most', (text, most, forward) => {
  expect(parsed(text).named).toMatchObject({ kind: 'fetch', name: 'c', most, forward })
})

it('of a way to go that nobody knows nothing is promised', () => {
  const inside = { statement: () => parsed('SELECT 1'), source: '' }
  const tree = { FetchStmt: { direction: 'FETCH_SIDEWAYS', howMany: 1, portalname: 'c' } }
  expect(namedUse(tree, inside)).toMatchObject({ most: Number.POSITIVE_INFINITY, forward: false })
})
