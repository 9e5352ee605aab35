// Owns measuring once what masking costs in-process: a gateway's side of one connection is given the bytes that a real
// client and a real database sent, again and again, under roles that differ in their masks alone; and the detectors
// over real text. A script for a process of its own. Takes the address of a database as JSON; prints one round's figures.

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { JudgeRequest, Question, Ruling } from '../../src/core/adapter.js'
import { isOperation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { detectorNamed } from '../../src/masking/detectors.js'
import { createMasker } from '../../src/masking/masker.js'
import { compilePolicy } from '../../src/policy/compile.js'
import { loadPolicy } from '../../src/policy/schema.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import type { Catalogue } from '../../src/protocol/postgres/statement.js'
import { Decisions } from '../../src/proxy/decisions.js'
import { RawPostgres } from '../support/raw-postgres.js'
import { encode, message } from '../support/raw-postgres-messages.js'
import { ScriptedHost, typesOf } from '../support/scripted-host.js'
import type { MaskingRound } from './masking-page.js'

const POLICY = `
roles:
  plain: { allow: [{ access: read, collections: [docs] }] }
  masked:
    allow: [{ access: read, collections: [docs] }]
    mask: [{ collections: [docs], fields: [email], with: redact }]
  elsewhere:
    allow: [{ access: read, collections: [docs] }]
    mask: [{ collections: [docs], fields: [ssn], with: redact }]
  detected:
    allow: [{ access: read, collections: [docs] }]
    mask: [{ collections: [docs], fields: [body], detect: [email, phone, card, iban, ssn], with: redact }]
  dropped:
    allow: [{ access: read, collections: [docs] }]
    mask: [{ collections: [docs], vectors: drop }]
access: [{ who: { group: people }, role: plain, targets: ["*"] }, { who: { group: people }, role: masked, targets: ["*"] }, { who: { group: people }, role: elsewhere, targets: ["*"] }, { who: { group: people }, role: detected, targets: ["*"] }, { who: { group: people }, role: dropped, targets: ["*"] }]
`
/** A page of rows, one row, and ten embeddings of 1,536 floats as text. */
const QUERIES = {
  rows: 'SELECT id, title, email, body FROM docs ORDER BY id LIMIT 200',
  one: 'SELECT id, title, email FROM docs WHERE id = 7',
  vectors: 'SELECT id, email, embedding FROM docs ORDER BY id LIMIT 10',
} as const
const CELLS = [
  ['rows', ['plain', 'elsewhere', 'masked', 'detected']],
  ['one', ['plain', 'elsewhere', 'masked']],
  ['vectors', ['plain', 'dropped']],
] as const
const ROUND_MS = 300
const TURNS = 9
const PERSON = {
  id: 'usr_1',
  kind: 'person' as const,
  provider: 'corp',
  issuer: 'https://corp.example',
  subject: 'u1',
  name: 'alice',
  groups: ['corp:people'],
  claims: {},
}
const policy = compilePolicy(loadPolicy(POLICY, 'policy.yaml'), {
  actions: PGVECTOR.actions,
  peopleProviders: ['corp'],
})
const analyzer = createAnalyzer(PGVECTOR.product)
const masker = createMasker({ hashKey: Buffer.alloc(32, 7) })

/** What the decision says; every statement of this benchmark is permitted. */
function rulingFor(role: string): (request: JudgeRequest) => Ruling {
  const decisions = new Decisions()
  const roles = [role]
  return ({ operations, phase }) => ({
    verdict: 'permit',
    obligations: operations.map((operation) => {
      if (!isOperation(operation)) throw new Error(operation.reason)
      const asked = { principal: PERSON, roles, target: 'prod', operation, phase }
      const decision = decisions.decide(policy, asked)
      if (decision.verdict !== 'permit') throw new Error(JSON.stringify(decision))
      return decision.obligations
    }),
  })
}

/** Keeps nothing of what is delivered: it is counted in nobody's favour. */
class ReplayHost extends ScriptedHost {
  readonly #catalogue: Catalogue

  constructor(role: string, catalogue: Catalogue) {
    super({ judge: rulingFor(role), masker, analyzer, randomBytes })
    this.#catalogue = catalogue
  }

  override ask(id: number, _question?: Question): void {
    this.adapter.answered(id, { ok: true, value: this.#catalogue })
  }

  override delivered(): void {}
}

interface Replay {
  /** One query, from the client's bytes to what the client is given; its length. */
  run(): number
}

/** Runs a prepared statement once through the adapter against the database, and keeps what the database sent. */
async function recorded(role: string, text: string, catalogue: Catalogue): Promise<Replay> {
  const host = new ReplayHost(role, catalogue)
  const upstream = await RawPostgres.login(at)
  await host.login()
  /** Lets client and database talk until the client is told that it is over; what the database sent, in turns. */
  const answers = async (): Promise<Buffer[]> => {
    const turns: Buffer[] = []
    let told = ''
    for (let from = upstream.replies.length; !told.includes('Z'); from = upstream.replies.length) {
      await host.settle()
      const { types, bytes } = host.upstream()
      upstream.send(bytes)
      // A Flush is answered up to what stands before it: the CloseComplete of a guard.
      const last = types.endsWith('H') ? '3' : 'Z'
      const wanted = [...types].filter((type) => type === (last === '3' ? 'C' : 'S')).length
      const come = (): number =>
        upstream.replies.slice(from).filter(({ type }) => type === last).length
      while (come() < wanted)
        if ((await upstream.waitFor(last, upstream.replies.length)) !== 'found')
          throw new Error(types)
      const turn = Buffer.concat(
        upstream.replies.slice(from).map(({ type, body }) => message(type, body)),
      )
      turns.push(turn)
      host.adapter.fromUpstream(turn)
      await host.settle()
      told += typesOf(host.client())
    }
    return turns
  }
  const name = `bench_${role}`
  host.adapter.fromClient(Buffer.concat([encode({ m: 'P', name, sql: text }), encode({ m: 'S' })]))
  await answers()
  const cycle = Buffer.concat([
    encode({ m: 'B', portal: '', stmt: name, params: [] }),
    encode({ m: 'D', kind: 'P', name: '' }),
    encode({ m: 'E', portal: '' }),
    encode({ m: 'S' }),
  ])
  // The first one brings guards that later ones do not need.
  let turns: Buffer[] = []
  for (let turn = 0; turn < 3; turn += 1) {
    host.adapter.fromClient(cycle)
    turns = await answers()
  }
  upstream.end()
  const chunks = turns.flatMap((turn) =>
    Array.from({ length: Math.ceil(turn.length / 65_536) }, (_, index) =>
      turn.subarray(index * 65_536, (index + 1) * 65_536),
    ),
  )
  return {
    run: () => {
      host.adapter.fromClient(cycle)
      for (const chunk of chunks) host.adapter.fromUpstream(chunk)
      host.requests.length = 0
      host.upstream()
      const { length } = host.client()
      if (host.closed !== undefined || length === 0)
        throw new Error(`${role}: ${String(host.closed)}`)
      return length
    },
  }
}

/** Microseconds of CPU for one query. */
function cost(replay: Replay): number {
  const until = performance.now() + ROUND_MS
  const before = process.cpuUsage()
  let runs = 0
  for (; performance.now() < until; runs += 1) replay.run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / runs
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** All roles in turn, so that a slow moment is everybody's. */
async function cells(catalogue: Catalogue): Promise<MaskingRound['queries']> {
  const found: MaskingRound['queries'] = {}
  for (const [query, roles] of CELLS) {
    const replays: { role: string; replay: Replay; all: number[]; bytes: number }[] = []
    for (const role of roles) {
      const replay = await recorded(role, QUERIES[query], catalogue)
      replays.push({ role, replay, all: [], bytes: replay.run() })
    }
    for (const { replay } of replays) cost(replay)
    for (let turn = 0; turn < TURNS; turn += 1)
      for (const one of replays) one.all.push(cost(one.replay))
    found[query] = Object.fromEntries(
      replays.map(({ role, all, bytes }) => [role, { micros: median(all), bytes }]),
    )
  }
  return found
}

/** Megabytes of text in a second of CPU. */
function detecting(texts: readonly string[]): MaskingRound['detectors'] {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  const names = ['email', 'phone', 'card', 'iban', 'ssn', 're2:ACME-[0-9]{6}', 're2:(?i)secret']
  return Object.fromEntries(
    names.map((name) => {
      const detector = detectorNamed(name)
      const once = (): number => texts.reduce((sum, text) => sum + detector(text).length, 0)
      once()
      const until = performance.now() + ROUND_MS
      const before = process.cpuUsage()
      let runs = 0
      let findings = 0
      for (; performance.now() < until; runs += 1) findings = once()
      const { user, system } = process.cpuUsage(before)
      return [name, { megabytes: (bytes * runs) / (user + system), findings }]
    }),
  )
}

const at = JSON.parse(process.argv[2] ?? '{}') as {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}
const client = new pg.Client(at)
await client.connect()
await analyzer.prepare()
const catalogue = await analyzer.loadCatalogue(async (text) => {
  const { rows } = await client.query<(string | null)[]>({
    text,
    rowMode: 'array',
    types: { getTypeParser: () => (value: string) => value },
  })
  return rows
}, undefined)
const { rows: texts } = await client.query<{ body: string }>('SELECT body FROM docs ORDER BY id')
await client.end()
const round: MaskingRound = {
  queries: await cells(catalogue),
  detectors: detecting(texts.map(({ body }) => body)),
}
process.stdout.write(JSON.stringify(round))
