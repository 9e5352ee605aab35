// Owns the benchmark of masking: as many rounds as asked for, each in a process of its own.

import { availableParallelism, cpus } from 'node:os'
import { execa } from 'execa'
import { expect, it } from 'vitest'
import { readDocuments } from '../../src/demo/documents.js'
import { bundled } from '../support/bundled.js'
import { startPostgres } from '../support/postgres.js'
import { MASKING_HEADING, type MaskingRound, maskingPage } from './masking-page.js'
import { writeSection } from './section.js'

const options = JSON.parse(process.env['VGATE_BENCH'] ?? '{}') as {
  load?: number
  rounds?: number
  write?: boolean
}
const ROUNDS = options.rounds ?? 1
const SQL = `
  create extension vector;
  create table docs (id int primary key, title text, email text, body text, ssn text, embedding vector(1536));
`
/** Of no value twice, as real ones are. */
const EMBEDDING = `(select array_agg(sin(g * 7919 + d))::vector from generate_series(1, 1536) d)`

it('masking', async () => {
  const postgres = await startPostgres({ kind: 'pgvector' })
  try {
    const { host, port, superuser: user, password } = postgres
    const database = await postgres.createDatabase({ sql: SQL })
    const documents = readDocuments()
    const client = await postgres.connect(database)
    const columns = (['subject', 'email', 'body'] as const).map((name) =>
      documents.map((one) => one[name]),
    )
    await client.query(
      `insert into docs select g, t, e, b, '078-05-1120', null
       from unnest($1::text[], $2::text[], $3::text[]) with ordinality as d(t, e, b, g)`,
      columns,
    )
    await client.query(
      `update docs g0 set embedding = v from (select g, ${EMBEDDING} as v from generate_series(1, 10) g) s where s.g = g0.id`,
    )
    await client.query('analyze')
    await client.end()
    const script = await bundled('test/bench/masking-round.ts')
    const at = JSON.stringify({ host, port, user, password, database })
    const rounds: MaskingRound[] = []
    for (let round = 1; round <= ROUNDS; round += 1) {
      const { stdout } = await execa(process.execPath, [script, at])
      rounds.push(JSON.parse(stdout) as MaskingRound)
      process.stdout.write(`masking: round ${round} of ${ROUNDS}\n`)
    }
    const machine = `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`
    const textBytes = documents.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)
    const text = maskingPage({ rounds, machine, load: options.load ?? 0, textBytes })
    if (options.write === true) writeSection(MASKING_HEADING, text)
    process.stdout.write(`${text}\n`)
    expect(rounds).toHaveLength(ROUNDS)
  } finally {
    await postgres.stop()
  }
})
