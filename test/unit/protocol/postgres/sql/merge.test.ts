// MERGE by the analysis alone: each WHEN is an effect of its own, on as many rows as the join proves.

import { beforeAll, describe, expect, it } from 'vitest'
import type { Parameter } from '../../../../../src/protocol/postgres/statement.js'
import { analyzer, classifyAll, operationOf, reasonOf } from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

/** What is done to tables that are written: action, and how many. */
const writes = (text: string, parameters?: readonly Parameter[]): readonly string[] =>
  operationOf(text, parameters)
    .collections.filter(({ access }) => access === 'write')
    .map(({ collection, action, effect }) => {
      const count = 'count' in effect ? ` ${effect.count}` : ''
      return `${collection} ${action} ${effect.kind}${count}`
    })
const uses = (text: string): readonly string[] =>
  operationOf(text).fields.map((use) => `${use.collection}.${use.field} ${use.how}`)

const TWO = "(VALUES (1, 'a'), (2, 'b')) s(id, body)"
const UPSERT = `WHEN MATCHED THEN UPDATE SET body = s.body
  WHEN NOT MATCHED THEN INSERT (id, tenant, body) VALUES (s.id, 't', s.body)`

describe('effects', () => {
  it.each([
    [
      'of a list of values: one row for each',
      `MERGE INTO notes t USING ${TWO} ON t.id = s.id ${UPSERT}`,
      ['notes update ids 2', 'notes insert rows 2'],
    ],
    [
      'of one row: its key',
      `MERGE INTO notes t USING (SELECT 7 AS id, 'x' AS body) s ON s.id = t.id ${UPSERT}`,
      ['notes update ids 1', 'notes insert rows 1'],
    ],
    [
      'of a key in the join',
      'MERGE INTO notes t USING docs s ON t.id = s.id AND t.id IN (1, 2, 3) WHEN MATCHED THEN DELETE',
      ['notes delete ids 3'],
    ],
    [
      'of a table',
      `MERGE INTO notes t USING docs s ON t.id = s.id ${UPSERT}`,
      ['notes update_by_filter all', 'notes insert unknown'],
    ],
    [
      'of every row, whatever each WHEN asks',
      "MERGE INTO notes t USING docs s ON t.id = s.id WHEN MATCHED AND t.body = 'x' THEN DELETE WHEN MATCHED THEN UPDATE SET body = ''",
      ['notes truncate all', 'notes update_by_filter all'],
    ],
    [
      'of what has no source',
      `MERGE INTO notes t USING ${TWO} ON t.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE`,
      ['notes truncate all'],
    ],
    [
      'of what has no source, by key',
      `MERGE INTO notes t USING ${TWO} ON t.id = s.id WHEN NOT MATCHED BY SOURCE AND t.id = 9 THEN DELETE`,
      ['notes delete ids 1'],
    ],
    [
      'of a key of two columns, half of it',
      'MERGE INTO items t USING (VALUES (1), (2)) s(a) ON t.a = s.a WHEN MATCHED THEN DELETE',
      ['items truncate all'],
    ],
    [
      'of nothing',
      `MERGE INTO notes t USING ${TWO} ON t.id = s.id WHEN MATCHED THEN DO NOTHING`,
      [],
    ],
  ])('%s', (_, text, expected) => expect(writes(text)).toEqual(expected))

  it.each([
    't.id = t.id',
    't.id = s.id + 0',
    't.id = (random() * 9)::int',
    't.id > s.id',
    't.id = s.id OR true',
    'true',
    't.tenant = s.body',
    't.id = (SELECT s.id)',
    't.id = s.id::float8',
  ])('a join that proves no key touches all: %s', (join) => {
    expect(writes(`MERGE INTO notes t USING ${TWO} ON ${join} WHEN MATCHED THEN DELETE`)).toEqual([
      'notes truncate all',
    ])
  })

  it.each([
    "(VALUES (1::float8), ('2'::float8)) s(id)",
    '(VALUES (1), (random())) s(id)',
    '(SELECT 1 UNION ALL SELECT (random() * 9)::int) s(id)',
    'generate_series(1, 3) s(id)',
    '(SELECT id FROM docs LIMIT 3) s',
  ])('a source of which a value may meet many keys touches all: %s', (source) => {
    const text = `MERGE INTO notes t USING ${source} ON t.id = s.id WHEN MATCHED THEN DELETE`
    expect(writes(text)).toEqual(['notes truncate all'])
  })

  it('names the keys of one row, and counts those of parameters', () => {
    const text = `MERGE INTO notes t USING (SELECT $1::int AS id, $2 AS body) s ON t.id = s.id ${UPSERT}`
    const bound = ['7', 'x'].map((value) => ({ known: true, value }) as const)
    expect(classifyAll(text, bound)[0]?.keys).toEqual({ notes: ['7'] })
    const none = text.replace(
      /WHEN MATCHED[\s\S]*?WHEN NOT/,
      'WHEN MATCHED THEN DO NOTHING WHEN NOT',
    )
    expect(classifyAll(none, bound)[0]).not.toHaveProperty('keys')
    const many = `MERGE INTO notes t USING (VALUES ($1::int), ($2::int)) s(id) ON t.id = s.id WHEN MATCHED THEN DELETE`
    expect(writes(many)).toEqual(['notes delete ids 2'])
  })
})

describe('what is read', () => {
  it('counts in the join, the conditions and the values', () => {
    const text = `MERGE INTO notes t USING docs s ON t.id = s.id AND s.title = t.body
      WHEN MATCHED AND s.email LIKE 'a%' THEN UPDATE SET body = s.ssn
      WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.tenant, s.body)`
    expect(uses(text)).toEqual(
      expect.arrayContaining([
        'docs.title join',
        'notes.body join',
        'docs.email predicate',
        'docs.ssn copied',
        'notes.body written',
        'docs.tenant copied',
        'notes.tenant written',
      ]),
    )
  })

  it('leaves by RETURNING, the source first', () => {
    const text = `MERGE INTO notes t USING docs s ON t.id = s.id WHEN MATCHED THEN DELETE RETURNING *`
    const { outputs, rows } = operationOf(text).returns
    expect(outputs.map(({ name }) => name)).toEqual(
      'id tenant title body email ssn embedding id tenant body'.split(' '),
    )
    expect(rows).toBe('unbounded')
  })

  it('of the target is what makes it a read as well', () => {
    const { collections } = operationOf(
      `MERGE INTO notes t USING ${TWO} ON t.id = s.id WHEN MATCHED THEN DO NOTHING`,
    )
    expect(collections).toMatchObject([{ collection: 'notes', access: 'read' }])
  })
})

it('tells by merge_action() what it did, and nothing of the rows', () => {
  const text =
    'MERGE INTO notes t USING docs s ON t.id = s.id WHEN MATCHED THEN DELETE RETURNING merge_action(), t.id'
  expect(operationOf(text).returns.outputs).toMatchObject([
    { name: 'merge_action', kind: 'derived', sources: [] },
    { name: 'id', kind: 'column' },
  ])
})

describe('refused', () => {
  it.each([
    [
      'MERGE INTO docs_mv t USING docs s ON t.id = s.id WHEN MATCHED THEN DELETE',
      /neither a table/,
    ],
    ['MERGE INTO pg_class t USING docs s ON true WHEN MATCHED THEN DELETE', /catalogue/],
    ['MERGE INTO notes t USING notes t ON true WHEN MATCHED THEN DELETE', /more than once/],
    [
      'MERGE INTO notes t USING docs s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (t.id)',
      /unknown/,
    ],
  ])('%s', (text, why) => expect(reasonOf(text)).toMatch(why))
})
