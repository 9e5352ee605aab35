// Rebuilds hidden embeddings of a real size from distances, through a gateway over a real pgvector, and writes what came
// out into docs/embedding-privacy.md.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, it } from 'vitest'
import { startTestGateway } from '../support/gateway.js'
import { startPostgres } from '../support/postgres.js'
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

const PAGE = fileURLToPath(new URL('../../docs/embedding-privacy.md', import.meta.url))
const SIZE = 256
const HIDDEN = 8
const KNOWN = 1000

const ROLES = {
  exact: 'exact',
  round3: '{ round: 3 }',
  round2: '{ round: 2 }',
  round1: '{ round: 1 }',
  hide: 'hide',
}
type Role = keyof typeof ROLES
const POLICY = `
roles:
${Object.entries(ROLES)
  .map(
    ([name, scores]) => `  ${name}:
    allow: [{ access: read, collections: [docs] }]
    mask: [{ collections: [docs], vectors: drop, scores: ${scores} }]`,
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

const random = seeded(384)
const truth = Array.from({ length: HIDDEN + KNOWN }, () => unitVector(SIZE, random))
const literal = (vector: readonly number[]): string => `[${vector.join()}]`
const mean = (values: readonly number[]): number =>
  values.reduce((sum, each) => sum + each, 0) / values.length

/** Puts a text between the marks of the page. */
function writeBetween(text: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const [before, rest = ''] = page.split('<!-- measured -->')
  const [, after = ''] = rest.split('<!-- end -->')
  writeFileSync(PAGE, `${before}<!-- measured -->\n${text}\n<!-- end -->${after}`)
}

it('rebuilds what it can', async () => {
  const postgres = await startPostgres({ kind: 'pgvector' })
  const rows = truth.map((each, index) => `(${index}, '${literal(each)}')`)
  const database = await postgres.createDatabase({
    sql: `CREATE EXTENSION vector; CREATE TABLE docs(id int PRIMARY KEY, embedding vector(${SIZE}) NOT NULL);
      INSERT INTO docs VALUES ${rows.join()}`,
  })
  const users = Object.fromEntries(Object.keys(ROLES).map((name) => [name, [`corp:${name}`]]))
  const gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
  const clients = new Map<string, pg.Client>()
  for (const name of Object.keys(ROLES)) {
    const { host, port, user, password, database: at } = await gateway.connectAs(name)
    const client = new pg.Client({ host, port, user, password, database: at })
    await client.connect()
    clients.set(name, client)
  }
  let asked = 0
  const ask =
    (role: Role): Ask =>
    async (metric, vector) => {
      asked += 1
      const text = `SELECT ${DISTANCES[metric]} AS d FROM docs WHERE id < ${HIDDEN} ORDER BY id`
      const found = await clients.get(role)?.query<{ d: number | null }>(text, [literal(vector)])
      return (found?.rows ?? []).map(({ d }) => d)
    }
  const order = async (vector: readonly number[]): Promise<number[]> => {
    asked += 1
    const text = `SELECT id FROM docs ORDER BY embedding <-> $1 LIMIT ${HIDDEN + KNOWN}`
    const found = await clients.get('hide')?.query<{ id: number }>(text, [literal(vector)])
    return (found?.rows ?? []).map(({ id }) => id)
  }
  const lines: string[] = []
  const note = (scores: string, attack: string, guesses: readonly (readonly number[])[]): void => {
    const found = guesses.map((guess, row) => nearness(guess, truth[row] ?? []))
    const error = mean(found.map((each) => each.error)).toPrecision(2)
    const cosine = mean(found.map((each) => each.cosine)).toFixed(5)
    lines.push(`| \`${scores}\` | ${attack} | ${asked} | ${error} | ${cosine} |`)
    asked = 0
  }
  for (const role of Object.keys(ROLES) as Role[])
    for (const metric of Object.keys(DISTANCES) as AskedMetric[])
      for (const scale of metric === 'inner' || metric === 'l2' ? [1, 1000] : [1]) {
        const options = { scale: metric === 'l1' ? 8 : scale, divided: role !== 'exact' }
        const guesses = await byAxes(ask(role), metric, SIZE, options)
        note(ROLES[role], `${metric}, asked with length ${options.scale}`, guesses)
      }
  const moved = { row: 0, step: 0.01, turns: 8 }
  note(ROLES.round2, 'l2, moved until it changes, one row', [
    await byMoving(ask('round2'), SIZE, moved),
  ])
  const known = new Map(truth.flatMap((each, id) => (id === 0 ? [] : [[id, each] as const])))
  for (const probes of [2 * SIZE, 8 * SIZE]) {
    const options = { hidden: 0, probes, random: seeded(7) }
    note(ROLES.hide, `ranks among ${KNOWN} known rows, one row`, [
      await byRanks(order, known, options),
    ])
  }
  writeBetween(
    [
      `Random embeddings of length 1, ${SIZE} dimensions (a component is ${(1 / Math.sqrt(SIZE)).toPrecision(3)} at the root mean square), PostgreSQL 16 with pgvector 0.6.2. Error: root mean square of a component. Cosine: of the angle to the truth; 1 is the embedding itself.`,
      '',
      '| `scores` | attack | probes | error | cosine |',
      '|---|---|---|---|---|',
      ...lines,
    ].join('\n'),
  )
  expect(lines).toHaveLength(33)
  await Promise.all([...clients.values()].map((client) => client.end()))
  await gateway.stop()
  await postgres.stop()
})
