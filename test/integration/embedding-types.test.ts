// Every type, operator and function that pgvector has, old and new: what the gateway says of each is held against the
// extension's own catalogue, and hidden embeddings of the newer types leave in no form.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FUNCTIONS, OPERATORS } from '../../src/databases/pgvector-operations.js'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { type PgliteServer, startPglite } from '../support/pglite.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const OF_EXTENSION = (table: string, name: string): string => `SELECT DISTINCT o.${name}::text
  FROM ${table} o JOIN pg_depend d ON d.classid = '${table}'::regclass AND d.objid = o.oid AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
  WHERE e.extname = 'vector'`

const POLICY = `
roles:
  masked:
    allow: [{ access: read, collections: ["*"] }]
    mask: [{ collections: ["*"], vectors: drop, scores: { round: 2 } }]
access: [{ who: { group: masked }, role: masked, targets: ["*"] }]
`
const SETUP = `
  CREATE TABLE docs(id int PRIMARY KEY, v vector(4), h halfvec(4), s sparsevec(4), b bit(4), hs halfvec[]);
  INSERT INTO docs SELECT g, v, v::halfvec, v::sparsevec, binary_quantize(v)::bit(4), ARRAY[v::halfvec]
    FROM (SELECT g, ARRAY[sin(g), cos(g), 0.731731, g / 50.0]::vector AS v FROM generate_series(1, 50) g) x;
  CREATE INDEX docs_bits ON docs USING hnsw ((binary_quantize(v)::bit(4)) bit_hamming_ops);
  CREATE INDEX docs_half ON docs USING hnsw ((v::halfvec(4)) halfvec_cosine_ops);
  CREATE INDEX docs_part ON docs USING hnsw ((subvector(v, 1, 2)::vector(2)) vector_l2_ops);
  CREATE INDEX docs_sparse ON docs USING hnsw (s sparsevec_ip_ops)`

const complete = (rows: readonly unknown[][], table: ReadonlyMap<string, unknown>): void => {
  const names = rows.map(([name]) => String(name))
  expect(names.length).toBeGreaterThan(10)
  expect(names.filter((name) => !table.has(name))).toEqual([])
}

describe.skipIf(!hasPostgres('pgvector'))('pgvector 0.6', () => {
  let postgres: TestPostgres
  let admin: pg.Client

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
    admin = await postgres.connect(
      await postgres.createDatabase({ sql: 'CREATE EXTENSION vector' }),
    )
  })
  afterAll(async () => {
    await admin?.end()
    await postgres?.stop()
  })

  it.each([
    ['functions', OF_EXTENSION('pg_proc', 'proname'), FUNCTIONS],
    ['operators', OF_EXTENSION('pg_operator', 'oprname'), OPERATORS],
  ] as const)('has no %s that the gateway does not know', async (_, text, table) => {
    complete((await admin.query({ text, rowMode: 'array' })).rows, table)
  })
})

describe('pgvector 0.8', () => {
  let server: PgliteServer
  let gateway: TestGateway
  let client: pg.Client

  beforeAll(async () => {
    server = await startPglite(SETUP)
    const users = { alice: ['corp:masked'] }
    const at = { postgres: server, database: 'postgres', policy: POLICY, users }
    gateway = await startTestGateway(at)
    const { host, port, user, password, database } = await gateway.connectAs('alice')
    client = new pg.Client({ host, port, user, password, database })
    await client.connect()
  }, 120_000)
  afterAll(async () => {
    await client?.end()
    await gateway?.stop()
    await server?.stop()
  })

  const rows = async (text: string, binary = false): Promise<unknown[][]> => {
    const query = { text, rowMode: 'array' as const, binary }
    return (await client.query<unknown[]>(query)).rows
  }

  it.each([
    ['functions', OF_EXTENSION('pg_proc', 'proname'), FUNCTIONS],
    ['operators', OF_EXTENSION('pg_operator', 'oprname'), OPERATORS],
  ] as const)('has no %s that the gateway does not know', async (_, text, table) => {
    const found = await server.rows(text)
    complete(found, table)
    // And the table names nothing that the newest does not have.
    expect([...table.keys()].filter((name) => !found.some(([each]) => each === name))).toEqual([])
  })

  it('has types that leave as NULL', async () => {
    for (const binary of [false, true])
      expect(await rows('SELECT v, h, s, b, hs FROM docs WHERE id = 1', binary)).toEqual([
        [null, null, null, null, null],
      ])
  })

  it.each([
    ["h <-> '[1,0,0,0]'", (value: number) => value],
    ["h <+> '[1,0,0,0]'", (value: number) => value],
    ["s <=> '{1:1,3:2}/4'", (value: number) => value],
    ["s <#> '{1:3,3:4}/4'", (value: number) => value / 5],
    ["h <#> '[0,0,3,4]'", (value: number) => value / 5],
    ["halfvec_negative_inner_product(h, '[0,0,3,4]')", (value: number) => value / 5],
    ["v::halfvec(4) <=> '[1,0,0,0]'", (value: number) => value],
    ["v <#> '[0,0,3,4]'::halfvec::vector", (value: number) => value / 5],
  ])('has distances that leave rounded: %s', async (distance, scaled) => {
    const text = `SELECT ${distance} FROM docs ORDER BY id`
    const expected = (await server.rows(text)).map(
      ([value]) => Number(scaled(Number(value)).toFixed(2)) + 0,
    )
    for (const binary of [false, true])
      expect((await rows(text, binary)).map(([value]) => Number(value))).toEqual(expected)
  })

  it.each([
    "b <~> '1010'",
    "b <%> '1010'",
    "hamming_distance(b, '1010')",
    "binary_quantize(v) <~> binary_quantize('[1,2,3,4]'::vector)",
    "subvector(v, 1, 2) <=> '[1,0]'",
    "subvector(v, 3, 1) <-> '[0]'",
    "l2_normalize(h) <-> '[1,0,0,0]'",
    "v <#> subvector('[0,0,0,1,2]'::vector, 1, 4)",
  ])('has distances that are withheld, but order: %s', async (distance) => {
    expect(new Set((await rows(`SELECT ${distance} FROM docs`)).map(([value]) => value))).toEqual(
      new Set([null]),
    )
    const text = `SELECT count(*)::int FROM (SELECT id FROM docs ORDER BY ${distance} LIMIT 5) q`
    expect(await rows(text)).toEqual([[5]])
    const cut = rows(`SELECT id FROM docs WHERE ${distance} < 1`)
    await expect(cut).rejects.toMatchObject({ code: '42501' })
  })

  it.each([
    ['docs_bits', "binary_quantize(v)::bit(4) <~> binary_quantize('[1,2,3,4]'::vector)"],
    ['docs_half', "v::halfvec(4) <=> '[1,2,3,4]'"],
    ['docs_part', "subvector(v, 1, 2)::vector(2) <-> '[1,2]'"],
    ['docs_sparse', "s <#> '{1:1}/4'"],
  ])('still serves by its index %s', async (index, distance) => {
    // PGlite has one session, and the test looks at what may be used.
    await server.rows('SET enable_seqscan = off')
    const plan = await rows(`EXPLAIN SELECT id FROM docs ORDER BY ${distance} LIMIT 5`)
    expect(plan.join('\n')).toContain(`Index Scan using ${index}`)
    expect(await rows(`SELECT id FROM docs ORDER BY ${distance} LIMIT 5`)).toHaveLength(5)
  })

  it.each(
    [...FUNCTIONS].flatMap(([name, meaning]) =>
      meaning === 'value' || meaning === 'embedding' ? [name] : [],
    ),
  )('gives nothing of a hidden embedding through %s', async (name) => {
    const column = name.startsWith('halfvec') ? 'h' : name.startsWith('sparsevec') ? 's' : 'v'
    for (const call of [
      `${name}(${column})`,
      `${name}(${column}, ${column})`,
      `${name}(${column}, 4, true)`,
    ]) {
      const given = await rows(`SELECT ${call} FROM docs LIMIT 1`).catch((error: unknown) => {
        expect(error).toBeInstanceOf(pg.DatabaseError)
        return String(error)
      })
      expect(String(given)).not.toMatch(/0?\.73\d/)
    }
  })
})
