// Owns the benchmark of decisions: as many rounds as asked for, each in a process of its own.

import { availableParallelism, cpus } from 'node:os'
import { execa } from 'execa'
import { expect, it } from 'vitest'
import { bundled } from '../support/bundled.js'
import { startPostgres } from '../support/postgres.js'
import { DECISIONS_HEADING, type DecisionRound, decisionPage } from './decision-page.js'
import { writeSection } from './section.js'

const options = JSON.parse(process.env['VGATE_BENCH'] ?? '{}') as {
  load?: number
  rounds?: number
  write?: boolean
}
const ROUNDS = options.rounds ?? 1
const SQL = `
  create extension vector;
  create table docs (id int primary key, title text, email text, embedding vector(1536));
  create table products_one (id int primary key, name text);
`

it('decisions', async () => {
  const postgres = await startPostgres({ kind: 'pgvector' })
  try {
    const { host, port, superuser: user, password } = postgres
    const database = await postgres.createDatabase({ sql: SQL })
    const script = await bundled('test/bench/decision-round.ts')
    const at = JSON.stringify({ host, port, user, password, database })
    const rounds: DecisionRound[] = []
    for (let round = 1; round <= ROUNDS; round += 1) {
      const { stdout } = await execa(process.execPath, [script, at])
      rounds.push(JSON.parse(stdout) as DecisionRound)
      process.stdout.write(`decisions: round ${round} of ${ROUNDS}\n`)
    }
    const machine = `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`
    const text = decisionPage({ rounds, machine, load: options.load ?? 0 })
    if (options.write === true) writeSection(DECISIONS_HEADING, text)
    process.stdout.write(`${text}\n`)
    expect(rounds).toHaveLength(ROUNDS)
  } finally {
    await postgres.stop()
  }
})
