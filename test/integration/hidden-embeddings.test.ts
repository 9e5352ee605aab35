// Hidden embeddings over a real PostgreSQL with pgvector: what leaves of them and of distances to them, in every type that
// holds them and in both formats; where distances may be cut off; and that indexes still serve a search.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles:
  masked:
    allow: [{ access: read, collections: ["*"] }, { access: write, collections: [own] }]
    mask: [{ collections: ["*"], vectors: drop, scores: { round: 2 } }]
  hidden:
    allow: [{ access: read, collections: ["*"] }]
    mask: [{ collections: ["*"], vectors: drop, scores: hide }]
  exact:
    allow: [{ access: read, collections: ["*"] }]
    mask: [{ collections: ["*"], vectors: drop, scores: exact }]
  prober:
    allow: [{ access: read, collections: ["*"] }]
    mask: [{ collections: ["*"], vectors: drop }]
    budget: [{ collections: [items], probes: 5, per: 24h }]
access:
  - { who: { group: masked }, role: masked, targets: ["*"] }
  - { who: { group: hidden }, role: hidden, targets: ["*"] }
  - { who: { group: exact }, role: exact, targets: ["*"] }
  - { who: { group: prober }, role: prober, targets: ["*"] }
`
const SETUP = `CREATE EXTENSION vector;
  CREATE DOMAIN dvector AS vector(3);
  CREATE DOMAIN dvectors AS vector[];
  CREATE TYPE pair AS (label text, part vector(3));
  CREATE TYPE span AS RANGE (subtype = vector);
  CREATE TABLE items(id int PRIMARY KEY, embedding vector(3));
  INSERT INTO items SELECT g, ARRAY[sin(g), cos(g), g / 100.0]::vector FROM generate_series(1, 300) g;
  CREATE INDEX items_l2 ON items USING hnsw (embedding vector_l2_ops);
  CREATE INDEX items_cosine ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = 3);
  CREATE INDEX items_inner ON items USING hnsw (embedding vector_ip_ops);
  CREATE TABLE own(id int PRIMARY KEY, embedding vector(3));
  CREATE VIEW together AS SELECT id, embedding FROM items UNION ALL SELECT id, embedding FROM own;
  CREATE VIEW nearer AS SELECT id, embedding FROM items WHERE id < 100;
  CREATE TABLE shapes(id int PRIMARY KEY, d dvector, many vector[], dmany dvectors, p pair, ps pair[], r span,
    item items, bits bit(16), flag bit, loose varbit, plain real[]);
  INSERT INTO shapes VALUES (1, '[7,8,9]', ARRAY['[7,8,9]'::vector], ARRAY['[7,8,9]'::vector], ('x', '[7,8,9]'),
    ARRAY[('x', '[7,8,9]')::pair], '["[7,8,9]","[8,8,9]"]', (1, '[7,8,9]'), B'1010101010101010', B'1', B'111000111', '{7,8,9}');
  DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$;
  ANALYZE`

type Who = 'masked' | 'hidden' | 'exact' | 'prober'

describe.skipIf(!hasPostgres('pgvector'))('hidden embeddings', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  const clients: Partial<Record<Who | 'direct', pg.Client>> = {}

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector', logStatements: true })
    const database = await postgres.createDatabase({ sql: SETUP })
    const names: readonly Who[] = ['masked', 'hidden', 'exact', 'prober']
    const users = Object.fromEntries(names.map((name) => [name, [`corp:${name}`]]))
    gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
    for (const name of names) {
      const { host, port, user, password, database: at } = await gateway.connectAs(name)
      const client = new pg.Client({ host, port, user, password, database: at })
      await client.connect()
      clients[name] = client
    }
    clients.direct = await postgres.connect(database)
  })
  afterAll(async () => {
    await Promise.all(Object.values(clients).map((client) => client.end()))
    await gateway?.stop()
    await postgres?.stop()
  })

  const client = (who: Who | 'direct'): pg.Client => {
    const found = clients[who]
    if (found === undefined) throw new Error(`no client for ${who}`)
    return found
  }
  /** The first column, in order of the rows. */
  const column = async (
    who: Who | 'direct',
    text: string,
    values: readonly unknown[] = [],
    binary = false,
  ): Promise<unknown[]> => {
    const query = { text, values: [...values], rowMode: 'array' as const, binary }
    return (await client(who).query<unknown[]>(query)).rows.map((row) => row[0])
  }
  const refused = async (who: Who, text: string, values: readonly unknown[] = []) => {
    const error = await column(who, text, values).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(pg.DatabaseError)
    expect((error as pg.DatabaseError).code).toBe('42501')
    return (error as pg.DatabaseError).hint
  }

  describe('leave as NULL', () => {
    for (const name of ['d', 'many', 'dmany', 'p', 'ps', 'r', 'item', 'bits', 'loose'])
      for (const binary of [false, true])
        it(`${name}, ${binary ? 'binary' : 'text'}`, async () => {
          const query = {
            text: `SELECT ${name}, id FROM shapes`,
            rowMode: 'array' as const,
            binary,
          }
          const { rows } = await client('masked').query(query)
          expect(rows).toEqual([[null, expect.anything()]])
        })

    it('and what is made of them is refused', async () => {
      for (const made of [
        'many[1]',
        '(p).part',
        'lower(r)',
        '(item).embedding',
        'bit_count(loose)',
      ])
        await refused('masked', `SELECT ${made} FROM shapes`)
    })

    it('or is NULL in every row, where it cannot fail', async () => {
      for (const made of ['bits::text', 'd::text', 'row_to_json(shapes)'])
        expect(await column('masked', `SELECT ${made} FROM shapes`)).toEqual([null])
    })

    it('but a flag is none, nor is an array of numbers, which a mask on fields hides', async () => {
      const { rows } = await client('masked').query('SELECT flag, plain FROM shapes')
      expect(rows).toEqual([{ flag: '1', plain: [7, 8, 9] }])
    })
  })

  describe('distances', () => {
    const direct = async (text: string): Promise<number[]> =>
      (await column('direct', text)).map(Number)

    it.each([
      ['l2', "embedding <-> '[1,2,3]'"],
      ['cosine', "embedding <=> '[1,2,3]'"],
      ['similarity', "1 - (embedding <=> '[1,2,3]')"],
      ['l1', "l1_distance(embedding, '[1,2,3]')"],
    ])('are rounded: %s', async (_, distance) => {
      const text = `SELECT ${distance} FROM items ORDER BY id`
      const rounded = (await direct(text)).map((value) => Number(value.toFixed(2)) + 0)
      for (const binary of [false, true])
        expect((await column('masked', text, [], binary)).map(Number)).toEqual(rounded)
      expect(new Set(await column('hidden', text))).toEqual(new Set([null]))
      expect(await column('exact', text)).toEqual(await column('direct', text))
    })

    it('inner products are divided by the norm that was asked with, however it is sent', async () => {
      const exact = await direct("SELECT embedding <#> '[0,3,4]' FROM items ORDER BY id")
      const expected = exact.map((value) => Number((value / 5).toFixed(2)) + 0)
      const forms: readonly (readonly [string, readonly unknown[]])[] = [
        ["SELECT embedding <#> '[0,3,4]' FROM items ORDER BY id", []],
        ["SELECT embedding <#> '[0,3e6,4e6]' FROM items ORDER BY id", []],
        [
          "SELECT vector_negative_inner_product(embedding, '[0,0.003,0.004]') FROM items ORDER BY id",
          [],
        ],
        ['SELECT embedding <#> $1 FROM items ORDER BY id', ['[0,300,400]']],
        ['SELECT embedding <#> $1::real[]::vector FROM items ORDER BY id', [[0, 30, 40]]],
        ['SELECT embedding <#> ARRAY[0,3,4]::vector FROM items ORDER BY id', []],
      ]
      for (const [text, values] of forms)
        expect([text, (await column('masked', text, values)).map(Number)]).toEqual([text, expected])
      const negated = await column(
        'masked',
        "SELECT -(embedding <#> '[0,3,4]') FROM items ORDER BY id",
      )
      expect(negated.map(Number)).toEqual(expected.map((value) => -value + 0))
      const complement = await column(
        'masked',
        "SELECT 1 - (embedding <#> '[0,3,4]') FROM items ORDER BY id",
      )
      const turned = exact.map((value) => Number((1 - value / 5).toFixed(2)) + 0)
      for (const [index, value] of complement.entries())
        expect(Number(value)).toBeCloseTo(turned[index] ?? 0, 5)
    })

    it('withhold an inner product with a vector of no length, or of one that is not known', async () => {
      for (const asked of ["'[0,0,0]'", "'[3e38,3e38,3e38]'"])
        expect(
          (await column('masked', `SELECT embedding <#> ${asked} FROM items LIMIT 9`))[0],
        ).toBeNull()
      for (const asked of [
        "ARRAY['1'::bit(32)::int, 0, 0]::vector",
        "'{1,0,0}'::bit(32)[]::int[]::vector",
      ])
        expect(new Set(await column('masked', `SELECT embedding <#> ${asked} FROM items`))).toEqual(
          new Set([null]),
        )
      const text =
        "SELECT embedding <#> '[1,0,0]' FROM items UNION ALL SELECT embedding <#> '[9,0,0]' FROM items"
      expect(new Set(await column('masked', text))).toEqual(new Set([null]))
    })

    it('of another number of dimensions fail and say nothing', async () => {
      await expect(column('masked', "SELECT embedding <-> '[1]' FROM items")).rejects.toThrow(
        'text withheld: the statement reads masked fields',
      )
    })
  })

  describe('cut-offs', () => {
    const distance = "embedding <=> '[1,2,3]'"

    it.each([
      `${distance} < 0.8`,
      `0.8 > ${distance}`,
      `1 - (${distance}) >= 0.25`,
      `-(${distance}) > (-0.80)::float8`,
      `id < 200 AND ${distance} <= 0.5 AND ${distance} > 0.1`,
      "embedding <#> '[0,3,4]' < -2.5",
      "embedding <#> '[1,2,3]' < -3.7416573867739413",
      "1 - (embedding <#> '[0,3,4]') > 3.5",
    ])('stand at the rounded step: %s', async (condition) => {
      const text = `SELECT id FROM items WHERE ${condition} ORDER BY id`
      const found = await column('direct', text)
      expect(found.length).toBeGreaterThan(0)
      expect(found.length).toBeLessThan(300)
      expect(await column('masked', text)).toEqual(found)
      expect(await column('exact', text)).toEqual(found)
      await refused('hidden', text)
    })

    it.each([
      [`${distance} < 0.803`, 'the nearest is 0.80'],
      [`1 - (${distance}) > 0.2049`, 'the nearest is 0.20'],
      ["embedding <#> '[0,3,4]' < -2.53", 'the nearest is -2.55'],
      ["1 - (embedding <#> '[0,3,4]') > 3.53", 'the nearest is 3.55'],
      [`${distance} < 0.8::int`, 'compare one distance with a number'],
      [`${distance} < 0.8::numeric(3,1)`, 'compare one distance with a number'],
      [`${distance} < (0.4 + 0.4)`, undefined],
      [`${distance} < 0.8 OR id = 1`, undefined],
      [`NOT (${distance} < 0.8)`, undefined],
      [`(${distance}) * 2 < 0.8`, undefined],
      [`${distance} = 0.8`, undefined],
      [`${distance} BETWEEN 0.1 AND 0.8`, undefined],
      ["vector_spherical_distance(embedding, '[1,2,3]') < 0.8", undefined],
      [`${distance} < id`, undefined],
    ])('stand nowhere else: %s', async (condition, hint) => {
      const told = await refused('masked', `SELECT id FROM items WHERE ${condition}`)
      if (hint !== undefined) expect(told).toContain(hint)
    })

    it('are judged with what is bound', async () => {
      const text = 'SELECT id FROM items WHERE embedding <-> $1 < $2 ORDER BY id'
      const found = await column('direct', text, ['[0,0,1]', 1.25])
      expect(await column('masked', text, ['[0,0,1]', 1.25])).toEqual(found)
      await refused('masked', text, ['[0,0,1]', 1.253])
      await refused('hidden', text, ['[0,0,1]', 1.25])
      const named = { name: 'cut', text, rowMode: 'array' as const }
      const first = await client('masked').query({ ...named, values: ['[0,0,1]', 1.25] })
      expect(first.rows.length).toBe(found.length)
      await expect(
        client('masked').query({ ...named, values: ['[0,0,1]', 1.251] }),
      ).rejects.toMatchObject({ code: '42501' })
      const again = await client('masked').query({ ...named, values: ['[0,0,1]', 1.26] })
      expect(again.rows.length).toBeGreaterThan(0)
    })

    it("hold in pgvector's own pattern for filtered searches", async () => {
      const text = `WITH nearest AS MATERIALIZED (SELECT id, ${distance} AS distance FROM items ORDER BY distance LIMIT 20)
        SELECT id FROM nearest WHERE distance < 0.05 ORDER BY distance`
      expect(await column('masked', text)).toEqual(await column('direct', text))
    })

    it('do not come back as an order among rows whose distances are known', async () => {
      for (const text of [
        "SELECT id FROM together ORDER BY embedding <-> '[0,0,0]' LIMIT 5",
        "SELECT id FROM (SELECT id, embedding FROM items UNION ALL SELECT id, embedding FROM own) u ORDER BY embedding <-> '[0,0,0]' LIMIT 5",
        "SELECT id FROM (SELECT id, embedding <-> '[0,0,0]' AS d FROM items UNION ALL SELECT id, embedding <-> '[9,0,0]' FROM own) u ORDER BY d LIMIT 5",
        "SELECT id FROM items ORDER BY least(embedding <-> '[0,0,0]', 0.7) LIMIT 5",
      ])
        await refused('masked', text)
      const text = "SELECT id FROM nearer ORDER BY embedding <-> '[0,0,0]' LIMIT 5"
      expect(await column('masked', text)).toEqual(await column('direct', text))
    })
  })

  it('count every different distance as a probe, wherever it stands', async () => {
    const five = [1, 2, 3, 4, 5].map((one) => `'[${one},0,0]'`)
    const six = [...five, "'[6,0,0]'"]
    const arms = (list: readonly string[]): string =>
      list
        .map((one) => `(SELECT id FROM items ORDER BY embedding <-> ${one} LIMIT 1)`)
        .join(' UNION ALL ')
    const cuts = (list: readonly string[]): string =>
      `SELECT id FROM items WHERE ${list.map((one) => `embedding <-> ${one} < 9`).join(' AND ')} LIMIT 1`
    for (const text of [arms(six), cuts(six)])
      await expect(client('prober').query(text)).rejects.toThrow(
        'allows 5 probes in 24 h; this needs 6',
      )
    // The same distance shown, ordered by and cut off at is one.
    const one =
      "SELECT id, embedding <-> '[9,0,0]' FROM items WHERE embedding <-> '[9,0,0]' < 99 ORDER BY embedding <-> '[9,0,0]' LIMIT 1"
    expect((await client('prober').query(one)).rowCount).toBe(1)
    await expect(client('prober').query(arms(five))).rejects.toThrow('4 are left, this needs 5')
    expect((await client('prober').query(arms(five.slice(1)))).rowCount).toBe(4)
    await expect(client('prober').query(one)).rejects.toMatchObject({ code: '53400' })
  })

  describe('searches', () => {
    it.each([
      ['hnsw', "embedding <-> '[1,2,3]'", 'items_l2'],
      ['ivfflat', "embedding <=> '[1,2,3]'", 'items_cosine'],
      ['hnsw', "embedding <#> '[1,2,3]'", 'items_inner'],
    ])('are served by %s: %s', async (_, distance, index) => {
      const text = `SELECT id, ${distance} AS distance FROM items ORDER BY ${distance} LIMIT 5`
      const plan = (await column('masked', `EXPLAIN ${text}`)).join('\n')
      expect(plan).toContain(`Index Scan using ${index}`)
      const before = postgres.logSize()
      const found = await client('masked').query(text)
      expect(found.rowCount).toBe(5)
      expect(postgres.log(before)).toContain(text)
    })
  })
})
