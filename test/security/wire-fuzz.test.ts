// Throws broken bytes at the gateway's PostgreSQL end. Whatever comes, the connection ends or answers in time, the
// process lives, other sessions notice nothing, and nothing that is no statement reaches the database.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { canary } from '../support/corpus-observe.js'
import { startTestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { RawPostgres } from '../support/raw-postgres.js'
import { encode, message, startup } from '../support/raw-postgres-messages.js'

const file = (name: string): string =>
  readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8')
const RUNS = 60
const SEED = 1

describe.skipIf(!hasPostgres('pgvector'))('broken bytes', () => {
  let server: TestPostgres
  let database: string
  let gateway: Awaited<ReturnType<typeof startTestGateway>>
  let session: Awaited<ReturnType<typeof gateway.connectAs>>
  let witness: RawPostgres

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector', logStatements: true })
    database = await server.createDatabase({
      sql: `CREATE EXTENSION vector;\n${file('setup.sql')}`,
    })
    gateway = await startTestGateway({
      postgres: server,
      database,
      policy: file('policy-p1.yaml'),
      users: { alice: ['corp:analysts'], dan: ['corp:vector-admins'] },
    })
    session = await gateway.connectAs('alice')
    witness = await login(await gateway.connectAs('dan'))
  })
  afterAll(async () => {
    witness?.end()
    await gateway?.stop()
    await server?.stop()
  })

  const login = ({ host, port, password, user }: typeof session): Promise<RawPostgres> =>
    RawPostgres.login({ host, port, password, user, database, timeoutMs: 8_000 })

  /** Sends bytes, then ends its side; the gateway must end or fall silent, and the witness must not notice. */
  const survives = async (raw: RawPostgres, bytes: Buffer): Promise<void> => {
    raw.send(bytes)
    raw.step({ m: 'S' })
    raw.step({ m: 'X' })
    raw.end()
    expect(await canary(witness)).toBe(true)
  }

  it('before authentication', async () => {
    const start = startup([
      ['user', 'alice'],
      ['database', 'x'],
    ])
    const opening = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.nat({ max: start.length - 1 }), fc.nat({ max: 255 }))
        .map(([at, value]) => changed(start, at, value)),
      fc.integer().map((length) => Buffer.concat([int32(length), start.subarray(4)])),
      fc
        .integer()
        .map((version) => Buffer.concat([int32(start.length), int32(version), start.subarray(8)])),
    )
    await fc.assert(
      fc.asyncProperty(opening, async (bytes) => {
        const raw = await RawPostgres.open({ host: session.host, port: session.port })
        await survives(raw, bytes)
      }),
      { seed: SEED, numRuns: RUNS },
    )
  })

  it('after authentication', async () => {
    const whole = Buffer.concat([
      encode({ m: 'P', name: 's', sql: 'SELECT id FROM docs WHERE id = $1', oids: [23] }),
      encode({ m: 'B', stmt: 's', params: ['1'], rfmt: [1] }),
      encode({ m: 'D', kind: 'P' }),
      encode({ m: 'E' }),
      encode({ m: 'S' }),
      encode({ m: 'Q', sql: 'SELECT title FROM docs' }),
    ])
    const broken = fc.oneof(
      fc
        .tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }))
        .map(([at, value]) => changed(whole, at, value)),
      fc.nat({ max: whole.length }).map((end) => whole.subarray(0, end)),
      fc
        .tuple(fc.nat({ max: 255 }), fc.uint8Array({ maxLength: 200 }))
        .map(([type, body]) => message(String.fromCharCode(type), Buffer.from(body))),
      fc
        .tuple(fc.constantFrom(...'QPBDECFdfp'), fc.integer())
        .map(([type, length]) =>
          Buffer.concat([Buffer.from(type), int32(length), Buffer.alloc(40)]),
        ),
      fc.uint8Array({ minLength: 1, maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    )
    await fc.assert(
      fc.asyncProperty(broken, async (bytes) => survives(await login(session), bytes)),
      { seed: SEED, numRuns: RUNS },
    )
  })

  it('in pieces of any size, a good exchange stays good', async () => {
    const exchange = Buffer.concat([
      encode({ m: 'P', sql: 'SELECT id FROM docs WHERE id = $1', oids: [23] }),
      encode({ m: 'B', params: ['3'] }),
      encode({ m: 'E' }),
      encode({ m: 'S' }),
    ])
    const cuts = fc.array(fc.nat({ max: exchange.length }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(cuts, async (places) => {
        const raw = await login(session)
        const from = raw.replies.length
        const edges = [0, ...places.sort((a, b) => a - b), exchange.length]
        for (const [index, edge] of edges.slice(1).entries()) {
          raw.send(exchange.subarray(edges[index], edge))
          await new Promise((resolve) => setImmediate(resolve))
        }
        expect(await raw.waitFor('Z', from)).toBe('found')
        expect(
          raw.replies
            .slice(from)
            .map((reply) => reply.type)
            .join(''),
        ).toBe('12DCZ')
        raw.end()
      }),
      { seed: SEED, numRuns: 20 },
    )
  })

  it('the database saw nothing but whole statements', async () => {
    const complaints = server
      .log()
      .split('\n')
      .filter((line) => /syntax error|invalid message|invalid frontend|PANIC/.test(line))
      .filter((line) => !line.includes('vgate')) // a refused message is exchanged for one that must fail
    expect(complaints).toEqual([])
  })
})

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value | 0)
  return bytes
}

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = value
  return copy
}
