// Rebuilding a hidden embedding from distances to vectors of the attacker's choice, through a gateway over a real pgvector:
// no more comes out than docs/embedding-privacy.md says, a budget of probes stops it, and `scores: exact` gives it all.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import {
  type Ask,
  type AskedMetric,
  byAxes,
  byMoving,
  byRanks,
  nearness,
  seeded,
  unitVector,
} from '../support/reconstruction.js'

const SIZE = 16
const HIDDEN = 8
const KNOWN = 60
const STEP = 0.01
const PROBES = 40

const ROLES = { exact: 'exact', rounded: '{ round: 2 }', hidden: 'hide', budgeted: '{ round: 2 }' }
const POLICY = `
roles:
${Object.entries(ROLES)
  .map(
    ([name, scores]) => `  ${name}:
    allow: [{ access: read, collections: [docs] }]
    mask: [{ collections: [docs], vectors: drop, scores: ${scores} }]
${name === 'budgeted' ? `    budget: [{ collections: [docs], probes: ${PROBES}, per: 24h }]` : ''}`,
  )
  .join('\n')}
access:
${Object.keys(ROLES)
  .map((name) => `  - { who: { group: ${name} }, role: ${name}, targets: ["*"] }`)
  .join('\n')}
`

const DISTANCES: Readonly<Record<AskedMetric, string>> = {
  l2: 'embedding <-> $1',
  cosine: 'embedding <=> $1',
  inner: 'embedding <#> $1',
  l1: 'l1_distance(embedding, $1)',
}

const random = seeded(20_261_122)
const truth = Array.from({ length: HIDDEN + KNOWN }, () => unitVector(SIZE, random))
const literal = (vector: readonly number[]): string => `[${vector.join()}]`

describe.skipIf(!hasPostgres('pgvector'))('rebuilding a hidden embedding', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  const clients = new Map<string, pg.Client>()

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
    const rows = truth.map((each, index) => `(${index}, '${literal(each)}')`)
    const database = await postgres.createDatabase({
      sql: `CREATE EXTENSION vector;
        CREATE TABLE docs(id int PRIMARY KEY, embedding vector(${SIZE}) NOT NULL);
        INSERT INTO docs VALUES ${rows.join()}`,
    })
    const users = Object.fromEntries(Object.keys(ROLES).map((name) => [name, [`corp:${name}`]]))
    gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
    for (const name of Object.keys(ROLES)) {
      const { host, port, user, password, database: at } = await gateway.connectAs(name)
      const client = new pg.Client({ host, port, user, password, database: at })
      await client.connect()
      clients.set(name, client)
    }
  })
  afterAll(async () => {
    await Promise.all([...clients.values()].map((client) => client.end()))
    await gateway?.stop()
    await postgres?.stop()
  })

  /** Asks as a role, and counts. */
  const asker = (role: keyof typeof ROLES): { ask: Ask; asked: () => number } => {
    let count = 0
    return {
      asked: () => count,
      ask: async (metric, vector) => {
        const text = `SELECT ${DISTANCES[metric]} AS d FROM docs WHERE id < ${HIDDEN} ORDER BY id`
        const { rows } = (await clients
          .get(role)
          ?.query<{ d: number | null }>(text, [literal(vector)])) ?? { rows: [] }
        count += 1
        return rows.map(({ d }) => d)
      },
    }
  }
  const worst = (guesses: readonly (readonly number[])[]): number =>
    Math.max(...guesses.map((guess, row) => nearness(guess, truth[row] ?? []).error))

  const METRICS = Object.keys(DISTANCES) as AskedMetric[]

  it.each(METRICS)('gives all of it where scores are exact: %s', async (metric) => {
    expect(
      worst(await byAxes(asker('exact').ask, metric, SIZE, { scale: 4, divided: false })),
    ).toBeLessThan(1e-4)
  })

  // What the documentation says of one probe (two for l2) a dimension: an error of step / √12 a component, for l1 by
  // the root of the dimensions less, whatever the length of the vector that is asked with.
  it.each(
    METRICS.flatMap((metric) => [1, 8, 1e3].map((scale) => [metric, scale] as const)),
  )('gives no more than its rounding where scores are rounded: %s, asked with length %d', async (metric, scale) => {
    const { ask, asked } = asker('rounded')
    const guesses = await byAxes(ask, metric, SIZE, { scale, divided: true })
    const errors = guesses.map((guess, row) => nearness(guess, truth[row] ?? []).error)
    const mean = errors.reduce((sum, each) => sum + each, 0) / errors.length
    const bound = STEP / Math.sqrt(12) / (metric === 'l1' ? Math.sqrt(SIZE) : 1)
    expect(asked()).toBe(metric === 'l2' ? 2 * SIZE : SIZE)
    // Two l2 probes from both sides are averaged.
    expect(mean).toBeGreaterThan(bound * (metric === 'l2' ? 0.5 : 0.7))
    expect(mean).toBeLessThan(bound * 2.5)
  })

  it('gives all of it to moved vectors, in as many probes as the documentation says', async () => {
    const { ask, asked } = asker('rounded')
    const guess = await byMoving(ask, SIZE, { row: 0, step: STEP, turns: 8 })
    expect(nearness(guess, truth[0] ?? []).error).toBeLessThan(5e-4)
    expect(asked()).toBe(SIZE * 2 * 9)
  })

  it('is stopped by a budget of probes', async () => {
    const { ask, asked } = asker('budgeted')
    await expect(byMoving(ask, SIZE, { row: 0, step: STEP, turns: 8 })).rejects.toMatchObject({
      code: '53400',
    })
    expect(asked()).toBe(PROBES)
    await expect(byAxes(ask, 'cosine', SIZE, { scale: 1, divided: true })).rejects.toMatchObject({
      code: '53400',
    })
  })

  it('has the order alone where scores are hidden', async () => {
    for (const metric of METRICS)
      for (const guess of await byAxes(asker('hidden').ask, metric, SIZE, {
        scale: 4,
        divided: true,
      }))
        expect(Math.hypot(...guess)).toBe(0)
    const known = new Map(truth.flatMap((each, id) => (id === 0 ? [] : [[id, each] as const])))
    const order = async (vector: readonly number[]): Promise<number[]> => {
      const text = 'SELECT id FROM docs ORDER BY embedding <-> $1 LIMIT 100'
      const found = await clients.get('hidden')?.query<{ id: number }>(text, [literal(vector)])
      return (found?.rows ?? []).map(({ id }) => id)
    }
    const options = { hidden: 0, probes: 4 * SIZE, random: seeded(7) }
    const { cosine } = nearness(await byRanks(order, known, options), truth[0] ?? [])
    expect(cosine).toBeGreaterThan(0.9)
    expect(cosine).toBeLessThan(0.99999)
  })
})
