// What an attacker found in the join: expressions that "cannot fail" and do, if a masked value has a certain letter; a norm
// that the type of a parameter makes another; probes that a cast makes of one constant.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: ["*"] }, { access: write, collections: [own] }]
    mask:
      - { collections: [people], fields: [email, ssn], with: redact }
      - { collections: [items], vectors: drop, scores: { round: 2 } }
  prober:
    allow: [{ access: read, collections: ["*"] }]
    mask: [{ collections: [items], vectors: drop, scores: { round: 2 } }]
    budget: [{ collections: [items], probes: 3, per: 24h }]
access:
  - { who: { group: corp:reader }, role: reader, targets: ["*"] }
  - { who: { group: corp:prober }, role: prober, targets: ["*"] }
`
const SETUP = `CREATE EXTENSION vector;
CREATE TABLE people(id int PRIMARY KEY, email text, ssn varchar(20));
INSERT INTO people VALUES (1, 'kanari1@leak.test', '900');
CREATE TABLE own(id int, t text);
CREATE TABLE items(id int PRIMARY KEY, embedding vector(3));
INSERT INTO items SELECT g, ARRAY[sin(g), cos(g), g / 100.0]::vector FROM generate_series(1, 20) g;
`
/** Zeros of the text become four bytes each where the ssn has the digit, and stay as they are where not. */
const grown = (text: string, digit: string): string =>
  `to_jsonb(translate(${text}, translate(ssn, '0${digit}', 'z0'), U&'\\+01F600'))`

describe.skipIf(!hasPostgres('pgvector'))('wholes and probes', () => {
  let server: TestPostgres
  let gateway: TestGateway
  const clients: Record<string, pg.Client> = {}

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
    const database = await server.createDatabase({ sql: SETUP })
    const users = { reader: ['corp:reader'], prober: ['corp:prober'] }
    gateway = await startTestGateway({
      postgres: server,
      database,
      policy: POLICY,
      users,
    })
    for (const name of Object.keys(users)) {
      const { host, port, user, password, database: at } = await gateway.connectAs(name)
      const client = new pg.Client({
        host,
        port,
        user,
        password,
        database: at,
      })
      await client.connect()
      clients[name] = client
    }
  })
  afterAll(async () => {
    await Promise.all(Object.values(clients).map((client) => client.end()))
    await gateway?.stop()
    await server?.stop()
  })

  const told = async (user: string, text: string, values?: unknown[]): Promise<unknown> => {
    try {
      const query = {
        text,
        rowMode: 'array' as const,
        ...(values === undefined ? {} : { values }),
      }
      return (await clients[user]?.query(query))?.rows
    } catch (error) {
      return (error as { code?: string }).code
    }
  }
  /** The ssn is 900: it has a nine and no eight, and nobody may see which. */
  const alike = async (text: (digit: string) => string, values?: unknown[]): Promise<void> => {
    expect(await told('reader', text('9'), values)).toEqual(await told('reader', text('8'), values))
  }

  test('a constant that is cast to a long type is long', async () => {
    await alike(
      (digit) =>
        `WITH c AS MATERIALIZED (SELECT id, ${grown("concat('0'::bit(80000000), id)", digit)} FROM people)
        SELECT id FROM c`,
    )
  }, 60_000)

  test('a column of a temporary table can be as long as its owner likes', async () => {
    await told('reader', "CREATE TEMP TABLE big AS SELECT repeat('0', 70000000) AS t")
    await alike(
      (digit) =>
        `WITH c AS MATERIALIZED (SELECT id, ${grown('t', digit)} FROM big, people) SELECT id FROM c`,
    )
    await told('reader', 'DROP TABLE big')
  }, 60_000)

  test('so can a column of a table that they may write', async () => {
    await told('reader', "INSERT INTO own SELECT 1, repeat('0', 70000000)")
    await alike(
      (digit) =>
        `WITH c AS MATERIALIZED (SELECT people.id, ${grown('t', digit)} FROM own, people) SELECT id FROM c`,
    )
  }, 60_000)

  test('a parameter that stands beside a column in a UNION is long', async () => {
    await alike(
      (digit) =>
        `WITH s AS (SELECT email AS t FROM people WHERE false UNION ALL SELECT $1), c AS MATERIALIZED (
        SELECT id, ${grown('concat(t, t, t, t, t, t, t)', digit)} FROM people, s) SELECT id FROM c`,
      ['0'.repeat(10_000_000)],
    )
  }, 60_000)

  test('a list holds as many values as it has rows', async () => {
    await alike(
      (digit) =>
        `WITH c AS MATERIALIZED (SELECT id, ARRAY(SELECT translate($1, translate(ssn, '0${digit}', 'z0'),
        U&'\\+01F600') FROM people, generate_series(1, 1000) LIMIT 1000) FROM people) SELECT id FROM c`,
      ['0'.repeat(300_000)],
    )
  }, 180_000)

  test('the norm of a parameter hangs on its type: "char" makes 48 of 0', async () => {
    await told(
      'reader',
      'PREPARE p("char"[]) AS SELECT embedding <#> $1::int[]::vector FROM items ORDER BY id LIMIT 3',
    )
    const rows = await told('reader', "EXECUTE p('{0,0,1}')")
    // Of length 1, or withheld, or refused.
    for (const [value] of Array.isArray(rows) ? (rows as [unknown][]) : [])
      expect(Math.abs(Number(value))).toBeLessThan(2)
  })

  test('a constant that is cast in several ways is several probes', async () => {
    const arm = (length: number): string =>
      `SELECT embedding <-> '{100000,010000,001000}'::varchar(${length})[]::real[]::vector FROM items WHERE id = 1`
    expect(await told('prober', [1, 2, 3, 4, 5, 6].map(arm).join(' UNION ALL '))).toBe('53400')
  })
})
