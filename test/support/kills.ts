// Owns killing a data plane at random moments under mixed load, and comparing what PostgreSQL ran with what was
// recorded. A few kills for the suite, many by script.

import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { pairOf } from '../../src/audit/keys.js'
import { openVerified } from '../../src/audit/read.js'
import { recoverRecordings } from '../../src/audit/recover.js'
import { systemClock } from '../../src/core/clock.js'
import { bundled } from './bundled.js'
import type { TestPostgres } from './postgres.js'

/** Tags are this plus a number, so that nothing else in a log or a recording looks like one. */
const TAG = 7_100_000_000
const TAGS = /\b71\d{8}\b/g
const POLICY = `
roles: { writer: { allow: [{ access: write, collections: [docs] }], limits: { rows: 50 } } }
access: [{ who: { group: team }, role: writer, targets: ["*"] }]
`
export const KILLS_SQL =
  'CREATE TABLE docs(id bigint, body text); INSERT INTO docs VALUES (1, $$a$$)'

export interface Kills {
  readonly kills: number
  /** Statements that PostgreSQL ran for the clients. */
  readonly executed: number
  /** Statements with a permit recorded. */
  readonly intents: number
  /** Ran without a recorded permit. */
  readonly unrecorded: readonly string[]
  /** Verdict → recordings. */
  readonly verdicts: Readonly<Record<string, number>>
  /** What was left open, over all: bytes of torn blocks cut off. */
  readonly torn: number
}

/** Kills `kills` data planes, each after a random part of `loadMs`. The database is empty but for KILLS_SQL. */
export async function killUnderLoad(options: {
  readonly postgres: TestPostgres
  readonly database: string
  readonly kills: number
  readonly loadMs: number
  readonly seed: number
}): Promise<Kills> {
  const { postgres, database, kills, loadMs } = options
  const directory = mkdtempSync(join(tmpdir(), 'vgate-kills-'))
  const { privateKey } = generateKeyPairSync('ed25519')
  const pair = pairOf(privateKey, '2026-03-01T12:00:00.000Z')
  const keyPem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  const { host, port, superuser, password } = postgres
  let random = options.seed
  let tag = TAG
  const next = (): string => {
    tag += 1
    return String(tag)
  }
  const intents = new Set<string>()
  const verdicts: Record<string, number> = {}
  let torn = 0
  const script = await bundled('test/support/killed-data-plane.mjs')
  try {
    for (let kill = 0; kill < kills; kill += 1) {
      const folder = join(directory, String(kill))
      const given = {
        directory: folder,
        keyPem,
        durability: kill % 4 === 3 ? 'strict' : 'standard',
        policy: POLICY,
        postgres: { host, port, superuser, password },
        database,
        role: 'writer',
      }
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
      await loadAndKill(script, given, (random % 1_000) * (loadMs / 1_000), next)
      for (const { torn: bytes } of await recoverRecordings(folder, pair, { clock: systemClock }))
        torn += bytes
      for (const name of readdirSync(folder)) {
        const verdict = await readInto(join(folder, name), pair.key, intents)
        verdicts[verdict] = (verdicts[verdict] ?? 0) + 1
      }
    }
    const executed = new Set((await postgres.log()).match(TAGS))
    const unrecorded = [...executed].filter((one) => !intents.has(one))
    return { kills, executed: executed.size, intents: intents.size, unrecorded, verdicts, torn }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function loadAndKill(
  script: string,
  given: object,
  afterMs: number,
  next: () => string,
): Promise<void> {
  const child = spawn(process.execPath, [script, JSON.stringify(given)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  try {
    const lines = createInterface({ input: child.stdout })
    const [line] = (await once(lines, 'line')) as [string]
    const [first, second] = JSON.parse(line) as [pg.ClientConfig, pg.ClientConfig]
    const load = [first, first, second, second].map((at, index) => run(at, index, next))
    // Not before work is under way: until then a kill finds nothing to lose.
    await Promise.race(load.map(({ started }) => started))
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    child.kill('SIGKILL')
    await Promise.all(load.map(({ ended }) => ended))
  } finally {
    child.kill('SIGKILL')
    await gone
  }
}

/** One client that works until it is cut: reads, prepared reads, writes, batches, transactions and refused statements. */
function run(
  at: pg.ClientConfig,
  index: number,
  next: () => string,
): { readonly started: Promise<void>; readonly ended: Promise<void> } {
  const client = new pg.Client(at)
  client.on('error', () => undefined)
  const statements: readonly (() => Promise<unknown>)[] = [
    () => client.query(`SELECT id, ${next()} FROM docs WHERE id = 1 LIMIT 1`),
    () => client.query('SELECT body FROM docs WHERE id = $1::bigint LIMIT 1', [next()]),
    () => client.query(`INSERT INTO docs VALUES (${next()}, 'x')`),
    () => client.query('INSERT INTO docs VALUES ($1, $2)', [next(), 'y'.repeat(2_000)]),
    () => client.query({ name: 'again', text: 'SELECT $1::bigint', values: [next()] }),
    () =>
      client.query(
        `INSERT INTO docs VALUES (${next()}, 'a'); INSERT INTO docs VALUES (${next()}, 'b')`,
      ),
    () => client.query(`BEGIN; UPDATE docs SET body = 'z' WHERE id = ${next()}; COMMIT`),
    () =>
      client.query(`DROP TABLE refused_${next()}`).catch((error: Error & { code?: string }) => {
        if (error.code === undefined) throw error // cut, not refused
      }),
  ]
  let begin: () => void = () => undefined
  const started = new Promise<void>((resolve) => {
    begin = resolve
  })
  const work = async (): Promise<void> => {
    await client.connect()
    for (let turn = index; ; turn += 1) {
      await statements[turn % statements.length]?.()
      if (turn > index + statements.length) begin()
    }
  }
  // It ends when it is cut.
  return { started, ended: work().catch(() => begin()) }
}

/** Notes the tags of every permitted intent; answers the verdict. */
async function readInto(
  path: string,
  key: Parameters<typeof openVerified>[1]['keys'][number] & object,
  intents: Set<string>,
): Promise<string> {
  const { verification, records } = await openVerified(path, { keys: [key] })
  for await (const record of records()) {
    if (record.type !== 'operation.judged' || record['verdict'] !== 'permit') continue
    const words = `${String(record['text'])} ${JSON.stringify(record['parameters'] ?? [])}`
    for (const found of words.match(TAGS) ?? []) intents.add(found)
  }
  return verification.verdict
}
