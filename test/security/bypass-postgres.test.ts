// Runs the rows of test/corpus/further.yaml through a gateway with policy P1. None may get a weaker verdict than stated, show
// a hidden value in any form, or change anything where the verdict stops it.

import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type CorpusItem, isBypass, leaksIn, stepsOf } from '../support/corpus.js'
import { controlOf } from '../support/corpus-control.js'
import { runItem } from '../support/corpus-driver.js'
import { canary, observe } from '../support/corpus-observe.js'
import { changesBetween, type DatabaseState, stateOf } from '../support/corpus-state.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const file = (name: string): string =>
  readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8')

type Row = CorpusItem['send']

const ROWS: readonly {
  readonly category: string
  readonly as?: 'alice' | 'dan'
  readonly expect: CorpusItem['expect']
  readonly rows: readonly Row[]
}[] = parse(file('further.yaml'))

const HIDDEN = [
  ...['900-55-4001', '900-55-4002', '900-55-4003', '900-55-4004', '900-55-4005'],
  ...['ana.canary@leak.test', 'eve.canary@leak.test', 'SECRETCANARY'],
  ...['0.7317', '0.2931', '0.5113', '0.8211', '0.6361', '0.7411', '0.5501', '0.6607'],
]
/** Components of embeddings as four big-endian bytes. */
const HIDDEN_FLOATS = [0.7317, 0.8211, -0.6361, 0.3137, 0.5501].map((value) => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatBE(value)
  return bytes.toString('hex')
})

const shown = (row: Row): string => {
  const text = typeof row === 'string' ? row : JSON.stringify(row)
  return text.length > 200 ? `${text.slice(0, 200)} …` : text
}

const itemOf = (row: Row, as: 'alice' | 'dan', expected: CorpusItem['expect']): CorpusItem => ({
  id: shown(row),
  plane: 'postgres',
  category: 'further',
  as,
  mode: typeof row === 'string' ? 'simple' : 'messages',
  send: row,
  expect: expected,
  also_ok: [],
  // What a row sends itself it may see again.
  leak_marker: HIDDEN.filter((marker) => !JSON.stringify(row).includes(marker)),
  leak_hex: HIDDEN_FLOATS,
  must_not_change: [],
})

describe.skipIf(!hasPostgres('pgvector'))('further rows through a gateway', () => {
  let server: TestPostgres
  let template: string
  let bench: { gateway: TestGateway; admin: pg.Client; state: DatabaseState } | undefined
  let session: TestConnection | undefined

  const openBench = async (): Promise<NonNullable<typeof bench>> => {
    const database = await server.createDatabase({ template })
    const admin = await server.connect(database)
    const gateway = await startTestGateway({
      postgres: server,
      database,
      policy: file('policy-p1.yaml'),
      users: { alice: ['corp:analysts'], dan: ['corp:vector-admins'] },
    })
    return { gateway, admin, state: await stateOf(admin) }
  }
  const closeBench = async (): Promise<void> => {
    await bench?.admin.end()
    await bench?.gateway.stop()
    bench = undefined
  }

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector', logStatements: true })
    template = await server.createDatabase({
      sql: `CREATE EXTENSION vector;\n${file('setup.sql')}`,
    })
  })
  afterEach(async () => {
    await session?.close()
    session = undefined
  })
  afterAll(async () => {
    await closeBench()
    await server?.stop()
  })

  for (const { category, as = 'alice', expect: expected, rows } of ROWS) {
    it.each(rows.map((row) => [shown(row), row] as const))(`${category}: %s`, async (_, row) => {
      bench ??= await openBench()
      session = await bench.gateway.connectAs(as)
      const { host, port, password, database } = session
      const item = itemOf(row, as, expected)
      const before = server.logSize()
      const log = (): string => server.log(before)
      const control = controlOf(bench.gateway, session, log)
      const seen = await runItem(
        item,
        { host, port, password, database, user: as },
        { control, log },
      )
      const verdict = await observe({
        item,
        seen,
        statementLog: log(),
        holds: control.seen,
        direct: async () => 'not compared',
      })
      expect({ steps: stepsOf(item).length > 0, timedOut: seen.timedOut }).toEqual({
        steps: true,
        timedOut: false,
      })
      const usable = seen.connection.closed || (await canary(seen.connection))
      seen.connection.end()
      const changes = changesBetween(bench.state, await stateOf(bench.admin))
      if (changes.length > 0) await closeBench()
      expect({
        verdict,
        weaker: isBypass(item, verdict),
        leaks: leaksIn(item, seen.bytes),
        usable,
        changes: expected === 'mask' ? [] : changes,
      }).toMatchObject({ weaker: false, leaks: [], usable: true, changes: [] })
    })
  }
})
