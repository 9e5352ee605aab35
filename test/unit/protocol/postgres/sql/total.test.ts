// What of an expression over fields can be given as a constant, as the field itself, or not at all; and what tells of
// values without giving any.

import { beforeAll, describe, expect, it } from 'vitest'
import { isOperation } from '../../../../../src/core/operation.js'
import { PGVECTOR } from '../../../../../src/databases/pgvector.js'
import { CatalogueSnapshot } from '../../../../../src/protocol/postgres/catalogue.js'
import {
  type CatalogueRows,
  catalogueParts,
} from '../../../../../src/protocol/postgres/catalogue-load.js'
import { lineageOf } from '../../../../../src/protocol/postgres/sql/view.js'
import { analyzer, fixture, operationOf, PUBLIC } from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

describe('outputs', () => {
  const kinds = (text: string) =>
    operationOf(text)
      .returns.outputs.map(({ kind }) => kind)
      .join(' ')

  for (const [list, expected] of [
    ['d, d::text, row_to_json(d), ROW(d.*)', 'whole whole whole whole'],
    ['initcap(ssn), ssn || \'x\', ssn::varchar(3), ssn COLLATE "C"', 'whole whole whole whole'],
    ['ssn::text, (SELECT d.ssn), ssn::varchar', 'column column column'],
    ["coalesce(ssn, 'x'), CASE WHEN id > 1 THEN ssn END, concat(id, ssn)", 'whole whole whole'],
    [
      'ARRAY[ssn], ARRAY(SELECT ssn FROM docs LIMIT 9), (SELECT reverse(d.ssn))',
      'whole whole whole',
    ],
    ["nullif(ssn, 'x'), substring(ssn from 'x'), ssn::int", 'derived derived derived'],
    ['reverse(ssn)::int, length(upper(ssn)) + 1, ssn IS NULL', 'derived derived derived'],
    ['ARRAY[ARRAY[ssn], $1], id || ssn, greatest(ssn, body)', 'derived derived derived'],
    ['coalesce(id, 1.5::float8), CASE WHEN true THEN id ELSE 1e400::float8 END', 'derived derived'],
    ['left(ssn, id), repeat(ssn, 3), split_part(ssn, $1, 2)', 'derived derived derived'],
    ['json_build_object(ssn, 1), to_jsonb($1::json)', 'derived derived'],
  ] as const) {
    it(list, () => expect(kinds(`SELECT ${list} FROM docs d`)).toBe(expected))
  }

  it('of aggregates and windows', () => {
    expect(kinds('SELECT json_agg(d), max(ssn), string_agg(ssn, $$,$$) FROM docs d')).toBe(
      'whole whole whole',
    )
    expect(kinds('SELECT sum(id), array_agg(id), count(ssn) FROM docs')).toBe(
      'derived derived derived',
    )
    expect(kinds('SELECT lag(id) OVER (), first_value(ssn) OVER (ORDER BY id) FROM docs')).toBe(
      'whole whole',
    )
    expect(kinds('SELECT lag(ssn, id) OVER (), ntile(id) OVER () FROM docs')).toBe(
      'derived derived',
    )
  })

  it('of what can grow without end: nothing', () => {
    const nested = (times: number): string => `${'reverse('.repeat(times)}ssn${')'.repeat(times)}`
    expect(kinds(`SELECT ${nested(4)} FROM docs`)).toBe('whole')
    expect(kinds(`SELECT ${nested(5)} FROM docs`)).toBe('derived')
    const doubled = Array.from(
      { length: 9 },
      (_, at) => `x${at + 1} AS (SELECT s || s AS s FROM x${at})`,
    )
    const steps = `WITH x0 AS (SELECT ssn AS s FROM docs), ${doubled.join(', ')}`
    expect(kinds(`${steps} SELECT s FROM x0`)).toBe('column')
    expect(kinds(`${steps} SELECT s FROM x9`)).toBe('derived')
    expect(kinds("SELECT concat(ssn, ' ') FROM docs")).toBe('whole')
    for (const expression of [
      'concat(ssn, $1)',
      "concat(ssn, '0'::bit(80000000))",
      "concat(ssn, '0'::char(10485760))",
      "translate('aaa', ssn, 'b')",
      "translate(ssn, '9', ssn)",
      'lower(concat(ssn, ssn))',
      "to_jsonb(translate(concat(ssn, ssn), '9', 'x'))",
      "replace(ssn, 'a', 'bbb')",
      "concat(ssn, repeat('x', 1000000000))",
      "concat(ssn, concat(repeat('x', 1000000000)))",
      'ARRAY(SELECT d.ssn FROM generate_series(1, 9999999))',
      "(SELECT string_agg(d.ssn, '') FROM notes)",
    ])
      expect({ expression, kind: kinds(`SELECT ${expression} FROM docs d`) }).toEqual({
        expression,
        kind: 'derived',
      })
    for (const gathered of ["string_agg(ssn, '')", 'json_agg(d)', 'array_agg(ssn)']) {
      expect(kinds(`SELECT ${gathered} FROM docs d`)).toBe('whole')
      expect(kinds(`SELECT ${gathered} FROM docs d, generate_series(1, 9)`)).toBe('derived')
      expect(kinds(`SELECT ${gathered} FROM docs d JOIN notes n USING (id)`)).toBe('derived')
    }
    expect(kinds("SELECT string_agg(reverse(ssn), '') FROM docs")).toBe('derived')
    expect(kinds('SELECT string_agg(ssn, $1) FROM docs')).toBe('derived')
  })

  it('of set operations and recursion: the weaker of both', () => {
    expect(kinds('SELECT reverse(ssn) FROM docs UNION ALL SELECT body FROM notes')).toBe('whole')
    expect(kinds('SELECT ssn::int FROM docs UNION ALL SELECT id FROM notes')).toBe('derived')
    const recursive = (step: string): string =>
      `WITH RECURSIVE r AS (SELECT ssn FROM docs UNION ALL SELECT ${step} FROM r) SELECT * FROM r`
    expect(kinds(recursive('ssn'))).toBe('column')
    expect(kinds(recursive('reverse(ssn)'))).toBe('derived')
    expect(kinds(recursive('repeat(ssn, 2)'))).toBe('derived')
  })
})

describe('uses', () => {
  const uses = (text: string): readonly string[] =>
    operationOf(text).fields.map((use) => `${use.collection}.${use.field} ${use.how}`)

  for (const [text, expected] of [
    ['SELECT (SELECT upper(ssn) FROM docs LIMIT 1)', 'docs.ssn whole'],
    ['SELECT CASE WHEN ssn > $1 THEN 1 END FROM docs', 'docs.ssn derived'],
    ['CREATE TABLE t(x text REFERENCES docs(ssn))', 'docs.ssn join'],
    ['CREATE TABLE t(x int REFERENCES docs)', 'docs.id join'],
    ['CREATE UNIQUE INDEX ON docs(ssn)', 'docs.ssn group'],
    ['CREATE INDEX ON docs(ssn) INCLUDE (id)', 'docs.ssn order'],
    ['CLUSTER docs USING docs_pkey', 'docs.ssn order'],
    ['ALTER TABLE docs ADD UNIQUE (ssn)', 'docs.ssn group'],
    ['ALTER TABLE docs ALTER ssn TYPE varchar(11)', 'docs.ssn derived'],
  ] as const) {
    it(text, () => expect(uses(text)).toContain(expected))
  }

  it('an index of embeddings sorts nothing', () => {
    expect(uses('CREATE INDEX ON docs USING hnsw (embedding vector_l2_ops)')).toEqual([])
  })

  describe('where a key tells', () => {
    const rows = fixture<CatalogueRows>('catalogue.json')
    const docs = rows.relations.find((row) => row[1] === 'public' && row[2] === 'docs')
    // ssn (6) is unique; body (3) of notes refers to it.
    const relations = rows.relations.map((row) => {
      const known = Array.from({ length: 13 }, (_, at) => row[at] ?? null)
      if (row[1] === 'public' && row[2] === 'docs') return [...known, '[[6]]', null]
      const refers = row[1] === 'public' && row[2] === 'notes'
      return refers ? [...known, null, `[[[3], ${docs?.[0]}, [6]]]`] : row
    })
    const catalogue = new CatalogueSnapshot(
      catalogueParts({ ...rows, relations }, PGVECTOR.product),
      lineageOf(PGVECTOR.product),
    )
    const guesses = (text: string): number => {
      const parsed = analyzer.parse(text)
      if (!parsed.ok) throw new Error(parsed.message)
      const found = parsed.statements[0]?.classify(catalogue, PUBLIC, undefined)
      if (found === undefined || !isOperation(found.operation)) throw new Error('not understood')
      return found.operation.fields.filter(({ field, how }) => field === 'ssn' && how === 'exists')
        .length
    }

    for (const [text, expected] of [
      ["INSERT INTO docs(id, ssn) VALUES (1, 'x')", 1],
      ['INSERT INTO docs(id, ssn) VALUES (1, $1)', 1],
      ['INSERT INTO docs(id, ssn) VALUES (1, NULL)', 0],
      ['INSERT INTO docs(id, body) VALUES (1, $1)', 0],
      ["INSERT INTO docs(id, ssn) VALUES (1, 'x'), (2, 'y') ON CONFLICT DO NOTHING", 2],
      ['INSERT INTO docs(id, ssn) SELECT id, body FROM notes', 2],
      ["UPDATE docs SET ssn = 'x' WHERE id = 1", 1],
      ['UPDATE docs SET ssn = NULL', 0],
      ['UPDATE docs SET ssn = body', 2],
      ["INSERT INTO docs(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET ssn = 'x'", 1],
      ["MERGE INTO docs d USING notes n ON d.id = n.id WHEN MATCHED THEN UPDATE SET ssn = 'x'", 1],
      [
        'MERGE INTO docs d USING notes n ON d.id = n.id WHEN NOT MATCHED THEN INSERT (id, ssn) VALUES (n.id, n.body)',
        2,
      ],
      ["INSERT INTO notes(id, body) VALUES (1, 'x')", 1],
      ['COPY notes(id, body) FROM STDIN', 2],
      ['COPY docs(id, body) FROM STDIN', 0],
    ] as const) {
      it(text, () => expect(guesses(text)).toBe(expected))
    }
  })
})
