// Owns abuse of the wire that a login allows: long statements, floods, strange counts, other people's cancel keys.
// After each row another user's session must still answer, and nothing hidden may have been seen.

import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isOne } from '../support/corpus-observe.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres } from '../support/raw-postgres.js'
import { cancelRequest, encode, message } from '../support/raw-postgres-messages.js'

const file = (name: string): string =>
  readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8')

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff])
const int32 = (value: number): Buffer => Buffer.from([value >>> 24, value >> 16, value >> 8, value])
const names = Buffer.from('\0\0')

describe.skipIf(!hasPostgres('pgvector'))('abuse of the wire', () => {
  let server: TestPostgres
  let database: string
  let gateway: TestGateway
  let alices: TestConnection
  let dans: TestConnection
  let alice: RawPostgres
  let dan: RawPostgres

  const login = (session: TestConnection): Promise<RawPostgres> => {
    const { host, port, password, user } = session
    return RawPostgres.login({ host, port, password, database, user, timeoutMs: 30_000 })
  }

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
    database = await server.createDatabase({
      sql: `CREATE EXTENSION vector;\n${file('setup.sql')}`,
    })
    gateway = await startTestGateway({
      postgres: server,
      database,
      policy: file('policy-p1.yaml'),
      users: { alice: ['corp:analysts'], dan: ['corp:vector-admins'] },
    })
  })
  beforeEach(async () => {
    alices = await gateway.connectAs('alice')
    dans = await gateway.connectAs('dan')
    alice = await login(alices)
    dan = await login(dans)
  })
  afterEach(async () => {
    expect(isOne(await dan.query('SELECT 1'))).toBe(true)
    const seen = alice.received.toString('latin1')
    for (const hidden of ['900-55', 'SECRETCANARY', 'leak.test']) expect(seen).not.toContain(hidden)
    alice.end()
    dan.end()
    await alices.close()
    await dans.close()
  })
  afterAll(async () => {
    await gateway?.stop()
    await server?.stop()
  })

  it.each([
    ['more formats than values', [names, int16(3), int16(1), int16(1), int16(1), int16(1)]],
    ['a negative number of values', [names, int16(0), int16(0xffff)]],
    ['a value longer than the message', [names, int16(0), int16(1), int32(0x7fffffff)]],
    ['a value of length -2', [names, int16(0), int16(1), int32(0xfffffffe), int16(0)]],
    ['a format code that does not exist', [names, int16(1), int16(2), int16(0), int16(0)]],
    ['bytes after the end', [names, int16(0), int16(0), int16(0), int16(7)]],
    ['a name without its end', [Buffer.from('abc')]],
    ['a name that is not UTF-8', [Buffer.from([0xff, 0, 0]), int16(0), int16(0), int16(0)]],
  ])('a Bind with %s ends this connection alone', async (_, body) => {
    alice.send(encode({ m: 'P', sql: 'SELECT 1' }), message('B', ...body), encode({ m: 'S' }))
    expect(await alice.waitClosed()).toBe('found')
    expect(alice.replies.some((reply) => reply.type === 'E')).toBe(true)
  })

  it('65,535 parameters are counted, not trusted', async () => {
    const from = alice.replies.length
    const sql = `SELECT id FROM notes WHERE id IN (${Array.from({ length: 65_535 }, (_, at) => `$${at + 1}`).join(',')}) LIMIT 1`
    const values = Buffer.concat(
      Array.from({ length: 65_535 }, () => Buffer.concat([int32(1), Buffer.from('7')])),
    )
    alice.send(
      encode({ m: 'P', sql }),
      message('B', names, int16(0), int16(65_535), values, int16(0)),
      encode({ m: 'E' }),
      encode({ m: 'S' }),
    )
    await alice.waitFor('Z', from)
    expect(isOne(await alice.query('SELECT 1'))).toBe(true)
  })

  it('a flood without Sync does not starve another session', async () => {
    const unit = Buffer.concat([
      encode({ m: 'P', sql: 'SELECT id FROM docs WHERE id = 1' }),
      encode({ m: 'B' }),
      encode({ m: 'E' }),
    ])
    for (let times = 0; times < 10; times += 1) alice.send(Buffer.concat(Array(200).fill(unit)))
    for (let times = 0; times < 5; times += 1) {
      const started = Date.now()
      expect(isOne(await dan.query('SELECT 1'))).toBe(true)
      expect(Date.now() - started).toBeLessThan(10_000)
    }
  })

  it('a flood of refusals does not starve another session', async () => {
    const unit = encode({ m: 'Q', sql: 'SELECT * FROM nowhere' })
    alice.send(Buffer.concat(Array(200).fill(unit)))
    const started = Date.now()
    expect(isOne(await dan.query('SELECT 1'))).toBe(true)
    expect(Date.now() - started).toBeLessThan(10_000)
  })

  it('a portal that was suspended goes on masking and counting after other work', async () => {
    await alice.query('BEGIN')
    const from = alice.replies.length
    alice.send(
      encode({ m: 'P', sql: 'SELECT ssn FROM docs', name: 's' }),
      encode({ m: 'B', stmt: 's', portal: 'p' }),
      encode({ m: 'E', portal: 'p', max: 2 }),
      encode({ m: 'P', sql: 'SELECT title FROM docs', name: 't' }),
      encode({ m: 'B', stmt: 't', portal: 'q', rfmt: [1] }),
      encode({ m: 'E', portal: 'q', max: 1 }),
      encode({ m: 'E', portal: 'p', max: 0 }),
      encode({ m: 'S' }),
    )
    await alice.waitFor('Z', from)
    expect(alice.replies.slice(from).filter((reply) => reply.type === 'D')).toHaveLength(6)
    await alice.query('ROLLBACK')
  })

  it('a cancel key of another user’s session cancels nothing', async () => {
    const key = dan.replies.find((reply) => reply.type === 'K')?.body
    if (key === undefined) throw new Error('no key')
    const answer = dan.query('SELECT pg_sleep(1)')
    for (const each of [
      key,
      Buffer.alloc(8),
      Buffer.concat([key.subarray(0, 4), Buffer.alloc(4)]),
    ]) {
      const raw = await RawPostgres.open({ host: alices.host, port: alices.port })
      raw.send(cancelRequest(each))
      await raw.waitClosed()
      raw.end()
    }
    const errors = (await answer).filter((reply) => reply.type === 'E')
    expect(errors.map((reply) => errorFields(reply.body)['C'])).toEqual([])
  })

  it('what is read past COPY’s end is a statement of its own', async () => {
    const from = alice.replies.length
    alice.send(
      encode({ m: 'Q', sql: 'COPY notes FROM STDIN' }),
      encode({ m: 'd', data: '99001\tt\tx\n' }),
      encode({ m: 'c' }),
      encode({ m: 'Q', sql: 'SELECT body FROM secret_docs' }),
    )
    // The COPY is held and answered with no; what follows it is read as statements of their own.
    await expect.poll(() => alices.held.length).toBe(1)
    const approver = await gateway.person('erin', ['corp:vector-approvers'])
    await gateway.requests.deny(approver, alices.held[0]?.request ?? '', 'not in this test')
    const ready = (): number[] =>
      alice.replies.flatMap((reply, at) => (at >= from && reply.type === 'Z' ? [at] : []))
    for (let end = from; ready().length < 2; end = (ready().at(-1) ?? end) + 1)
      expect(await alice.waitFor('Z', end)).toBe('found')
    const codes = alice.replies
      .slice(from)
      .flatMap((reply) => (reply.type === 'E' ? [errorFields(reply.body)['C']] : []))
    expect(codes).toEqual(['42501', '42501'])
    expect(isOne(await alice.query('SELECT 1'))).toBe(true)
  })
})
