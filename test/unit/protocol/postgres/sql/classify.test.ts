// Rows of SQL and what they must be classified as: names, effects, field uses, proven rows, refusals.

import { beforeAll, describe, expect, it } from 'vitest'
import type { Parameter } from '../../../../../src/protocol/postgres/statement.js'
import {
  analyzer,
  catalogue,
  classifyAll,
  operationOf,
  PUBLIC,
  reasonOf,
} from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

const bound = (...values: (string | null)[]): readonly Parameter[] =>
  values.map((value) => ({ known: true, value }))

const uses = (text: string): readonly string[] =>
  operationOf(text).fields.map((use) => `${use.collection}.${use.field} ${use.how}`)

describe('action names', () => {
  for (const [text, name, access] of [
    ["SELECT id FROM docs ORDER BY embedding <=> '[1,2,3,4]' LIMIT 5", 'search', 'read'],
    ['SELECT * FROM notes WHERE id = 1', 'get', 'read'],
    ['SELECT * FROM notes LIMIT 10', 'get', 'read'],
    ['TABLE notes', 'scroll', 'read'],
    ['SELECT count(*) FROM notes', 'count', 'read'],
    ['SELECT 1', 'get', 'none'],
    ['SELECT relname FROM pg_class', 'describe_collection', 'read'],
    ["INSERT INTO notes VALUES (1, 't', 'b')", 'insert', 'write'],
    ["INSERT INTO notes VALUES (1, 't', 'b') ON CONFLICT DO NOTHING", 'insert', 'write'],
    [
      "INSERT INTO notes VALUES (1, 't', 'b') ON CONFLICT (id) DO UPDATE SET body = excluded.body",
      'upsert',
      'write',
    ],
    ["UPDATE notes SET body = 'x' WHERE id = 1", 'update', 'write'],
    ["UPDATE notes SET body = 'x' WHERE tenant = 't'", 'update_by_filter', 'write'],
    ['DELETE FROM notes WHERE id = 1', 'delete', 'write'],
    ["DELETE FROM notes WHERE tenant = 't'", 'delete_by_filter', 'write'],
    ['DELETE FROM notes', 'truncate', 'write'],
    ['DELETE FROM notes WHERE true', 'truncate', 'write'],
    ['TRUNCATE notes', 'truncate', 'write'],
    ['WITH x AS (DELETE FROM notes RETURNING *) SELECT * FROM x', 'batch_write', 'write'],
    ['COPY notes TO STDOUT', 'export', 'read'],
    ['COPY notes FROM STDIN', 'import', 'write'],
    ['LOCK notes IN ACCESS SHARE MODE', 'get', 'read'],
    ['LOCK ONLY notes IN ROW EXCLUSIVE MODE', 'update', 'write'],
    ['LOCK notes', 'alter_collection', 'admin'],
    ['DECLARE c CURSOR FOR TABLE notes', 'scroll', 'read'],
    ['DECLARE c CURSOR FOR SELECT id FROM notes FOR UPDATE', 'scroll', 'write'],
    ['DELETE FROM notes WHERE CURRENT OF c', 'delete_by_filter', 'write'],
    ['PREPARE p AS DELETE FROM notes', 'connect', 'none'],
    ['EXPLAIN SELECT * FROM notes', 'describe_collection', 'read'],
    ['EXPLAIN ANALYZE DELETE FROM notes', 'truncate', 'write'],
    ['EXPLAIN (ANALYZE off) DELETE FROM notes', 'describe_collection', 'read'],
    ['CREATE TABLE fresh (id serial PRIMARY KEY, v vector(3))', 'create_collection', 'admin'],
    ['CREATE TABLE IF NOT EXISTS notes (id int)', 'describe_collection', 'read'],
    ['CREATE EXTENSION IF NOT EXISTS vector', 'describe_collection', 'read'],
    [
      'CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops) WITH (m = 16)',
      'create_index',
      'admin',
    ],
    ['DROP INDEX notes_tenant', 'drop_index', 'admin'],
    ['ALTER TABLE notes RENAME TO other', 'rename_collection', 'admin'],
    ['VACUUM (FULL) notes', 'rebuild_index', 'admin'],
    ['ANALYZE notes', 'flush', 'admin'],
    ['SET statement_timeout = 1000', 'connect', 'none'],
    ["SELECT set_config('hnsw.ef_search', '100', false)", 'connect', 'none'],
    [
      "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
      'connect',
      'none',
    ],
    ['SHOW search_path', 'connect', 'none'],
    ['SET search_path = shadow, public', 'connect', 'none'],
    ['SET SESSION search_path TO \'$user\', "shadow"', 'connect', 'none'],
    ["SELECT pg_catalog.set_config('search_path', '', false)", 'connect', 'none'],
    ['SELECT pg_advisory_lock(1)', 'alter_collection', 'admin'],
    ['SELECT pg_try_advisory_xact_lock_shared(1, 2), title FROM docs', 'alter_collection', 'admin'],
    ['SELECT pg_advisory_unlock(1)', 'get', 'none'],
    [
      "SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
      'describe_collection',
      'read',
    ],
  ] as const) {
    it(text, () => {
      expect(operationOf(text)).toMatchObject({ name, access })
    })
  }
})

describe('a table that refers to itself', () => {
  const reached = (text: string, path: readonly string[] = PUBLIC): readonly string[] =>
    operationOf(text, undefined, path).collections.map(
      ({ access, collection }) => `${access} ${collection}`,
    )

  it('reads nothing that is there', () => {
    const made = ['admin fresh']
    expect(reached('CREATE TABLE fresh (id int PRIMARY KEY, up int REFERENCES fresh)')).toEqual(
      made,
    )
    expect(
      reached('CREATE TABLE public.fresh (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES fresh)'),
    ).toEqual(made)
    expect(reached('CREATE TABLE notes (id int REFERENCES notes)')).toEqual(['admin notes'])
  })

  it('is told from one of its name, by where the path finds it', () => {
    const made = 'CREATE TABLE public.notes (id int REFERENCES notes)'
    expect(reached(made, ['information_schema', 'public'])).toEqual(['admin notes'])
    const other = 'CREATE TABLE information_schema_2.notes (id int REFERENCES public.notes)'
    expect(reached(other)).toEqual(['read notes', 'admin information_schema_2.notes'])
    const later = 'CREATE TABLE later.notes (id int REFERENCES notes)'
    expect(reached(later, ['public', 'later'])).toEqual(['read notes', 'admin later.notes'])
    expect(reached(later, ['later', 'public'])).toEqual(['admin later.notes'])
  })
})

describe('effects', () => {
  const effect = (text: string, parameters?: readonly Parameter[]) =>
    operationOf(text, parameters).collections.find((use) => use.access === 'write')?.effect

  for (const [text, expected] of [
    ['DELETE FROM notes WHERE id = 1', { kind: 'ids', count: 1 }],
    ["DELETE FROM notes WHERE id = 1 AND tenant LIKE 'a%'", { kind: 'ids', count: 1 }],
    ["DELETE FROM notes WHERE id = ANY('{1,2,3}'::int[])", { kind: 'ids', count: 3 }],
    ['DELETE FROM notes WHERE id = ANY(ARRAY[1,2])', { kind: 'ids', count: 2 }],
    ["DELETE FROM items WHERE a = 1 AND b IN ('x', 'y')", { kind: 'ids', count: 2 }],
    ['DELETE FROM items WHERE a = 1', { kind: 'filter' }],
    ['DELETE FROM notes WHERE id = id', { kind: 'filter' }],
    ['DELETE FROM notes WHERE id = 1 OR true', { kind: 'filter' }],
    ['DELETE FROM notes WHERE id IN (SELECT 1)', { kind: 'filter' }],
    ['DELETE FROM notes WHERE NOT id = 1', { kind: 'filter' }],
    ['DELETE FROM notes WHERE abs(id) = 1', { kind: 'filter' }],
    ['DELETE FROM notes WHERE id = 1e0::float8', { kind: 'filter' }],
    ['DELETE FROM notes WHERE id = (random() * 3)::int', { kind: 'filter' }],
    ['DELETE FROM notes USING docs WHERE notes.id = docs.id', { kind: 'filter' }],
    ['DELETE FROM parent WHERE id = 1', { kind: 'filter' }],
    ['DELETE FROM ONLY parent WHERE id = 1', { kind: 'ids', count: 1 }],
    ["UPDATE notes SET body = 'x'", { kind: 'all' }],
    ["INSERT INTO notes VALUES (1,'a','b'), (2,'c','d')", { kind: 'rows', count: 2 }],
    [
      'INSERT INTO notes SELECT id, title, body FROM docs',
      { kind: 'unknown', reason: 'the number of rows comes from a query' },
    ],
  ] as const) {
    it(text, () => expect(effect(text)).toEqual(expected))
  }

  it('counts parameters, bound or not', () => {
    expect(effect('DELETE FROM notes WHERE id IN ($1, $2)')).toEqual({ kind: 'ids', count: 2 })
    expect(effect('DELETE FROM notes WHERE id = ANY($1)')).toMatchObject({ kind: 'unknown' })
    expect(effect('DELETE FROM notes WHERE id = ANY($1)', bound('{1,2,3,4}'))).toEqual({
      kind: 'ids',
      count: 4,
    })
    expect(effect('DELETE FROM notes WHERE id = ANY($1)', [{ known: false }])).toMatchObject({
      kind: 'unknown',
    })
  })

  it('names the keys', () => {
    expect(classifyAll('DELETE FROM notes WHERE id IN ($1, 8)', bound('7'))[0]?.keys).toEqual({
      notes: ['7', '8'],
    })
  })
})

describe('field uses', () => {
  for (const [text, expected] of [
    ["SELECT id FROM docs WHERE ssn = 'x'", 'docs.ssn equality'],
    ["SELECT id FROM docs WHERE NOT (ssn = 'x')", 'docs.ssn predicate'],
    ["SELECT id FROM docs WHERE ssn IN ('x', 'y')", 'docs.ssn predicate'],
    ['SELECT id FROM docs ORDER BY ssn LIMIT 1', 'docs.ssn order'],
    ['SELECT count(*) FROM docs GROUP BY ssn', 'docs.ssn group'],
    ['SELECT DISTINCT ssn FROM docs', 'docs.ssn group'],
    ['SELECT ssn FROM docs UNION SELECT body FROM notes', 'docs.ssn group'],
    ['SELECT 1 FROM docs a JOIN docs b USING (ssn)', 'docs.ssn join'],
    ['SELECT count(ssn) FROM docs', 'docs.ssn derived'],
    ['SELECT ssn IS NULL FROM docs', 'docs.ssn derived'],
    ['SELECT 1 FROM (SELECT ssn::int FROM docs OFFSET 0) q', 'docs.ssn derived'],
    ['SELECT row_number() OVER (PARTITION BY ssn) FROM docs', 'docs.ssn group'],
    ['SELECT (SELECT ssn FROM docs LIMIT 1)', 'docs.ssn output'],
    ['SELECT id FROM notes LIMIT (SELECT length(ssn) FROM docs LIMIT 1)', 'docs.ssn predicate'],
    ['INSERT INTO notes SELECT id, ssn, ssn FROM docs', 'docs.ssn copied'],
    ['CREATE TABLE leak AS SELECT ssn FROM docs', 'docs.ssn copied'],
    ['ALTER TABLE docs RENAME COLUMN ssn TO x', 'docs.ssn copied'],
    ['SELECT ref FROM nested_v', 'docs.ssn output'],
    ['SELECT ssn FROM docs_mv', 'docs.ssn output'],
    ['SELECT ssn FROM docs_parted_1', 'docs_parted.ssn output'],
    ['SELECT ssn FROM docs_parted', 'docs_parted_1.ssn output'],
    ['SELECT id FROM docs ORDER BY embedding <-> $1 LIMIT 5', 'docs.embedding nearest'],
    ['SELECT id FROM docs ORDER BY embedding <-> $1', 'docs.embedding order'],
    ['SELECT id FROM docs WHERE embedding <-> $1 < 0.5', 'docs.embedding cutoff'],
    ['SELECT id FROM docs WHERE NOT embedding <-> $1 < 0.5', 'docs.embedding predicate'],
    ['SELECT a.id FROM docs a JOIN docs b ON a.embedding <-> $1 < 0.5', 'docs.embedding join'],
    [
      "SELECT 1 FROM docs ORDER BY binary_quantize(embedding)::bit(4) <~> binary_quantize('[1,2,3,4]') LIMIT 5",
      'docs.embedding nearest',
    ],
    [
      'SELECT id FROM docs a ORDER BY embedding <-> (SELECT embedding FROM docs LIMIT 1) LIMIT 5',
      'docs.embedding order',
    ],
  ] as const) {
    it(text, () => expect(uses(text)).toContain(expected))
  }

  it('counts every equality, for each is a guess', () => {
    const found = uses("SELECT id FROM docs WHERE ssn = 'x' AND ssn = 'y'")
    expect(found.filter((each) => each === 'docs.ssn equality')).toHaveLength(2)
  })
})

describe('outputs', () => {
  const kinds = (text: string) =>
    operationOf(text).returns.outputs.map(
      (each) => `${each.name} ${each.kind}${each.scoreOf ?? ''}`,
    )

  for (const [text, expected] of [
    ['SELECT id, ssn AS x FROM docs', ['id column', 'x column']],
    ['SELECT x FROM (SELECT ssn AS x FROM docs) q', ['x column']],
    ['WITH c(y) AS (SELECT ssn FROM docs) SELECT y FROM c', ['y column']],
    ['SELECT body FROM notes UNION ALL SELECT ssn FROM docs', ['body column']],
    ['SELECT embedding <=> $1 AS d FROM docs', ['d scorecosine']],
    ['SELECT embedding::halfvec(4) <=> $1 AS d FROM docs', ['d scorecosine']],
    ['SELECT embedding <=> l2_normalize($1) AS d FROM docs', ['d scorecosine']],
    ["SELECT subvector(embedding, 1, 2)::vector(2) <=> '[1,0]' AS d FROM docs", ['d scoreother']],
    ["SELECT l2_normalize(embedding) <-> '[1,0]' AS d FROM docs", ['d scoreother']],
    ["SELECT binary_quantize(embedding) <~> '1010' AS d FROM docs", ['d scoreother']],
    ['SELECT subvector(embedding, id, 2) <=> $1 AS d FROM docs', ['d derived']],
    ["SELECT (embedding || '[1]') <=> $1 AS d FROM docs", ['d derived']],
    ["SELECT 1 - (embedding <=> '[1]'::vector) FROM docs", ['?column? scorecosine']],
    ['SELECT -(embedding <#> $1) FROM docs', ['?column? scoreinner']],
    ['SELECT -(-(embedding <#> $1)) FROM docs', ['?column? derived']],
    ['SELECT 2 - (embedding <=> $1) FROM docs', ['?column? derived']],
    ['SELECT (embedding <=> $1) * 100 FROM docs', ['?column? derived']],
    ['SELECT l2_distance(embedding, $1) FROM docs', ['l2_distance scorel2']],
    ['SELECT a.embedding <-> b.embedding FROM docs a, docs b', ['?column? derived']],
    ['SELECT d FROM docs d', ['d whole']],
    ['SELECT ssn(d) FROM docs d', ['ssn column']],
  ] as const) {
    it(text, () => expect(kinds(text)).toEqual(expected))
  }
})

describe('proven rows', () => {
  for (const [text, rows] of [
    ['SELECT 1', 1],
    ['SELECT * FROM notes LIMIT 7', 7],
    ['SELECT * FROM notes LIMIT ALL', 'unbounded'],
    ['SELECT * FROM notes LIMIT NULL', 'unbounded'],
    ['SELECT * FROM notes FETCH FIRST 7 ROWS ONLY', 7],
    ['SELECT * FROM notes ORDER BY id FETCH FIRST 7 ROWS WITH TIES', 'unbounded'],
    ['SELECT * FROM notes WHERE id IN (1, 2)', 2],
    ['SELECT * FROM notes a, notes b WHERE a.id = 1', 'unbounded'],
    ['SELECT * FROM notes a, notes b WHERE a.id = 1 AND b.id IN (1, 2)', 2],
    ['SELECT max(id) FROM notes', 1],
    ['SELECT max(id) FROM notes GROUP BY tenant', 'unbounded'],
    ['SELECT count(*), generate_series(1, 5) FROM notes', 5],
    ['SELECT generate_series(1, id) FROM notes WHERE id = 1', 'unbounded'],
    ['VALUES (1), (2)', 2],
    ['SELECT * FROM notes LIMIT 2 OFFSET 5', 2],
    ['(SELECT * FROM notes LIMIT 2) UNION ALL (SELECT * FROM notes LIMIT 3)', 5],
    ['SELECT * FROM (SELECT * FROM notes LIMIT 2) q', 2],
    ['SELECT * FROM unnest(ARRAY[1,2,3])', 3],
  ] as const) {
    it(text, () => expect(operationOf(text).returns.rows).toBe(rows))
  }

  it('takes LIMIT from a bound parameter, and NULL as none', () => {
    const text = 'SELECT * FROM notes LIMIT $1'
    expect(operationOf(text, bound('9')).returns.rows).toBe(9)
    expect(operationOf(text, bound(null)).returns.rows).toBe('unbounded')
  })
})

describe('names', () => {
  it('follows the search path', () => {
    const first = (path: readonly string[]) =>
      operationOf('SELECT id FROM docs', undefined, path).collections[0]?.collection
    expect(first(PUBLIC)).toBe('docs')
    expect(first(['shadow', 'public'])).toBe('shadow.docs')
  })

  it('keeps exact case', () => {
    expect(operationOf('SELECT id FROM "Docs"').collections[0]?.collection).toBe('Docs')
    expect(operationOf('SELECT id FROM DOCS').collections[0]?.collection).toBe('docs')
  })

  it('lets a common table shadow a table, but not a qualified one', () => {
    expect(operationOf('WITH docs AS (SELECT 1 AS id) SELECT id FROM docs').collections).toEqual([])
    expect(
      operationOf('WITH docs AS (SELECT 1 AS id) SELECT id FROM public.docs').collections[0]
        ?.collection,
    ).toBe('docs')
  })

  it('names user functions for policy', () => {
    expect(operationOf("SELECT app.rank('x')").functions).toEqual(['app.rank(text)'])
    expect(operationOf('SELECT lower(title) FROM docs LIMIT 1').functions).toEqual([
      'public.lower(integer)',
    ])
    expect(operationOf('SELECT pg_catalog.lower(title) FROM docs LIMIT 1').functions).toEqual([])
  })

  it('knows the origins of columns', () => {
    const oid = (name: string) => catalogue.relation('public', name, PUBLIC)?.oid ?? 0
    expect(catalogue.originsOf(oid('docs_v'), 3)).toEqual([
      { collection: 'docs_v', field: 'ref', vector: false },
      { collection: 'docs', field: 'ssn', vector: false },
    ])
    expect(catalogue.originsOf(1, 1)).toBeUndefined()
    expect(catalogue.originsOf(oid('docs'), 99)).toBeUndefined()
  })
})

describe('refusals', () => {
  for (const [text, reason] of [
    ['SELECT * FROM nowhere', 'unknown relation "nowhere"'],
    ['SELECT nothing FROM docs', 'unknown column "nothing"'],
    ['SELECT docs.nothing FROM docs', 'unknown column docs.nothing'],
    ['SELECT nowhere()', 'unknown function "nowhere" with 0 arguments'],
    ["SELECT pg_read_file('x')", 'function "pg_read_file" is not allowed'],
    ["SELECT query_to_xml('x', true, true, '')", 'function "query_to_xml" is not allowed'],
    ["SELECT nextval('x')", 'function "nextval" is not allowed'],
    [
      'SELECT * FROM pg_stat_activity',
      '"pg_stat_activity" is not readable: it can hold values or other people\'s statements',
    ],
    ['UPDATE pg_class SET relname = relname', 'the catalogue cannot be written: "pg_class"'],
    [
      "UPDATE docs_mv SET title = 'x'",
      'not supported yet: writing through "docs_mv", which is neither a table nor a view',
    ],
    ['DELETE FROM ruled WHERE id = 1', 'not supported yet: writing "ruled", which has rules'],
    ['SET search_path = nowhere, public', 'unknown schema "nowhere" in search_path'],
    ["SET search_path = 'public, shadow'", 'unknown schema "public, shadow" in search_path'],
    ['SET LOCAL search_path = pg_temp', 'unknown schema "pg_temp" in search_path'],
    [
      'SET search_path = public, pg_catalog',
      'search_path may not have pg_catalog behind other schemas',
    ],
    ["SELECT set_config('Search_Path', 'public, \"', false)", 'search_path is malformed'],
    [
      "SELECT set_config('search_path', 'shadow, pg_toast', false)",
      'unknown schema "pg_toast" in search_path',
    ],
    [
      "SELECT set_config('search_path', 'shadow', false) FROM pg_class",
      'search_path is set by the only call of a plain SELECT',
    ],
    [
      "CREATE VIEW v AS SELECT 1 AS one WHERE set_config('search_path', 'shadow', false) = ''",
      'search_path is set by the only call of a plain SELECT',
    ],
    [
      "SELECT set_config('role', 'postgres', false) FROM pg_class",
      'setting "role" may not be set to this value',
    ],
    ['SELECT name FROM pg_show_all_settings()', 'pg_settings is read by name only'],
    [
      "SELECT setting FROM pg_show_all_settings() s WHERE s.name = 'hba_file'",
      'pg_settings is read by name only',
    ],
    [
      "SELECT * FROM ROWS FROM (pg_show_all_settings(), now()) WHERE name = 'jit'",
      'function "pg_show_all_settings" is not allowed',
    ],
    [
      "SELECT * FROM pg_show_all_settings() WITH ORDINALITY WHERE name = 'jit'",
      'function "pg_show_all_settings" is not allowed',
    ],
    [
      "DECLARE c CURSOR FOR SELECT set_config('search_path', 'shadow', false)",
      'not supported yet: a cursor of set_config',
    ],
    [
      'SET standard_conforming_strings = off',
      'setting "standard_conforming_strings" may not be set to this value',
    ],
    ["SET client_encoding = 'LATIN1'", 'setting "client_encoding" may not be set to this value'],
    ["SET NAMES 'GBK'", 'setting "client_encoding" may not be set to this value'],
    ['SET ROLE postgres', 'setting "role" may not be set to this value'],
    ['SHOW hba_file', 'setting "hba_file" may not be shown'],
    ['SHOW ALL', 'setting "all" may not be shown'],
    ["PREPARE TRANSACTION 'x'", 'two-phase transactions are not allowed'],
    ['CREATE TEMP TABLE docs (id int)', 'a temporary relation "docs" would hide "shadow.docs"'],
    ['CREATE TEMP TABLE int4 (id int)', 'a temporary relation "int4" would hide a type "int4"'],
    ['CREATE TEMP VIEW v AS SELECT 1', 'not supported yet: temporary views'],
    ['CREATE TEMP SEQUENCE s', 'not supported yet: temporary sequences'],
    ['CREATE UNLOGGED TABLE u (id int)', 'not supported yet: unlogged tables'],
    ['CREATE TABLE u (id int) ON COMMIT DROP', 'ON COMMIT can only be used on temporary tables'],
    ['DROP TABLE notes CASCADE', 'not supported yet: CASCADE'],
    ['COPY notes TO PROGRAM $$x$$', 'COPY with a file or program of the server is not allowed'],
    [
      "COPY notes FROM STDIN (ENCODING 'LATIN1')",
      'COPY in another encoding than UTF8 is not allowed',
    ],
    // What a name stands for only the session knows: by themselves these are never passed on.
    ['EXECUTE p', 'not supported yet: EXECUTE'],
    ['EXPLAIN EXECUTE p', 'not supported yet: EXPLAIN of EXECUTE'],
    ['CREATE TABLE x AS EXECUTE p', 'not supported yet: CREATE TABLE AS of this form'],
    ['FETCH c', 'not supported yet: FETCH'],
    ['DO $$ BEGIN END $$', 'what the code of DO does cannot be judged'],
    ['CALL nothing()', 'unknown procedure "nothing" with 0 arguments'],
    ['SELECT wipe_notes_p()', '"wipe_notes_p" is a procedure'],
    ['CALL wipe_notes()', 'unknown procedure "wipe_notes" with 0 arguments'],
    ['LOCK TABLE nothing', 'unknown relation "nothing"'],
    ["SELECT 'x'::nothing", 'unknown type "nothing"'],
  ] as const) {
    it(text, () => expect(reasonOf(text)).toBe(reason))
  }
})
