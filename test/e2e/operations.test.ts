// A gateway in operation: its policy changes under live sessions, its logins are renewed by many processes at once, and
// what stops a start is said in one message. Real binary, real provider, real PostgreSQL.

import { chmodSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'
import { auditText } from '../support/stored-text.js'

const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, email text);
INSERT INTO docs SELECT g, 'person'||g||'@example.org' FROM generate_series(1,20) g;`

const READER = 'allow: [{ access: read, collections: [docs] }]'
const MASK = ', mask: [{ collections: [docs], fields: [email], with: redact }]'
const policyOf = (reader: string, who = 'data-science'): string => `roles:
  reader: { ${reader} }
  owner: { allow: [{ access: admin, collections: ["*"] }] }
access:
  - { who: { group: ${who} }, role: reader, targets: [prod-*], grant: { default: 1h, max: 8h } }
  - { who: { group: data-owners }, role: owner, targets: [prod-*], grant: { default: 1h } }
`

describe.skipIf(!hasPostgres('pgvector'))('a gateway in operation', () => {
  let postgres: TestPostgres
  let product: Product

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({ postgres, database, policy: policyOf(READER) })
    await Promise.all([product.login('alice'), product.login('bob')])
  })
  afterEach(() => product.stopLeft())
  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const file = (): string => join(product.directory, 'policy.yaml')
  const replacePolicy = (text: string): void => {
    writeFileSync(`${file()}.new`, text)
    renameSync(`${file()}.new`, file())
  }
  const open = async (person: string): Promise<{ connection: Running; client: pg.Client }> => {
    const connection = product.start(person, ['connect', 'prod-vectors', '--json'])
    const ready = await connection.event('ready')
    const client = new pg.Client({ connectionString: String(ready['url']) })
    // A session that is cut is what is tested.
    client.on('error', () => undefined)
    await client.connect()
    return { connection, client }
  }
  /** Asks until the answer is this; the test's own time limit ends it. */
  const until = async (ask: () => Promise<unknown>, wanted: unknown): Promise<void> => {
    while ((await ask()) !== wanted) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const audited = (type: string): number =>
    auditText(join(product.directory, 'data')).split(`"${type}"`).length - 1

  it('masks by a new policy what was prepared under the old one, and goes on under it when the next is broken', async () => {
    const { connection, client } = await open('alice')
    const email = async (): Promise<unknown> =>
      (await client.query({ name: 'one', text: 'SELECT email FROM docs WHERE id = 1' })).rows[0]
        ?.email
    expect(await email()).toBe('person1@example.org')
    replacePolicy(policyOf(READER + MASK))
    await until(email, '[masked]')
    expect(audited('policy.loaded')).toBe(1)

    writeFileSync(file(), policyOf(READER).replace('allow:', 'alow:'))
    await until(async () => audited('policy.rejected'), 1)
    expect(await email()).toBe('[masked]')
    await client.end()
    await connection.stop()
  })

  it('takes the policy up on SIGHUP and lives on', async () => {
    writeFileSync(file(), policyOf(`${READER}${MASK}, limits: { rows: 100 }`))
    process.kill(product.gatewayPid(), 'SIGHUP')
    await until(async () => audited('policy.loaded'), 2)
    expect((await product.run('alice', ['targets', '--json'])).exitCode).toBe(0)
  })

  it('ends sessions whose role is gone as revoked, within a second, and no others', async () => {
    const alice = await open('alice')
    const bob = await open('bob')
    const started = Date.now()
    replacePolicy(policyOf(READER, 'nobody'))
    const closed = await alice.connection.event('closed')
    expect(closed).toMatchObject({ reason: 'revoked' })
    expect(Date.now() - started).toBeLessThan(5_000)
    expect((await alice.connection.ended).exitCode).toBe(5)
    expect((await bob.client.query('SELECT count(*)::int AS n FROM docs')).rows).toEqual([
      { n: 20 },
    ])
    const again = await product.run('alice', ['exec', 'prod-vectors', '--', 'true'])
    expect(again.exitCode).toBe(2)
    await bob.client.end()
    await bob.connection.stop()
  })

  it('keeps the login when six processes renew it at once, by refresh tokens that are worth one use each', async () => {
    const tokens = join(product.stateOf('bob'), 'tokens.json')
    const read = (): { entries: Record<string, string> } =>
      JSON.parse(readFileSync(tokens, 'utf8')) as { entries: Record<string, string> }
    for (let round = 0; round < 2; round += 1) {
      const stored = read()
      const [account = '', text = ''] =
        Object.entries(stored.entries).find(([name]) => name.startsWith('login ')) ?? []
      const login = JSON.parse(text) as Record<string, string>
      const past = JSON.stringify({
        ...login,
        accessToken: 'gone',
        expiresAt: '2020-01-01T00:00:00Z',
      })
      writeFileSync(
        tokens,
        JSON.stringify({ ...stored, entries: { ...stored.entries, [account]: past } }),
      )
      const all = await Promise.all(
        Array.from({ length: 6 }, () => product.run('bob', ['whoami', '--json'])),
      )
      expect(all.map((one) => one.exitCode)).toEqual(Array(6).fill(0))
      const after = JSON.parse(read().entries[account] ?? '') as Record<string, string>
      expect(after['refreshToken']).not.toBe(login['refreshToken'])
    }
  })

  it('lets a session outlive the token that it began with', async () => {
    const { connection, client } = await open('bob')
    // What a logout ends is the token; the grant stands.
    expect((await product.run('bob', ['logout'])).exitCode).toBe(0)
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    await client.end()
    await connection.stop()
  })

  it('shows `expiring` once, five minutes before the end, and not at all for a shorter grant', async () => {
    replacePolicy(policyOf(READER))
    await product.login('bob')
    const short = product.start('bob', ['connect', 'prod-vectors', '--json', '--ttl', '4s'])
    await short.event('ready')
    const { exitCode } = await short.ended
    expect({ exitCode, events: short.seen.map((one) => one['event']) }).toEqual({
      exitCode: 0,
      events: ['ready', 'closed'],
    })
    // Five minutes and two seconds: the warning comes after two.
    const long = product.start('bob', ['connect', 'prod-vectors', '--json', '--ttl', '302s'])
    const ready = await long.event('ready')
    const expiring = await long.event('expiring')
    expect(expiring).toMatchObject({ v: 1, expires_at: ready['expires_at'] })
    const left = Date.parse(String(expiring['expires_at'])) - Date.parse(String(expiring['at']))
    expect(Math.abs(left - 300_000)).toBeLessThan(10_000)
    await long.stop()
  })

  describe('does not start', () => {
    const start = () =>
      product.run('gateway', ['gateway', 'start', '--config', product.configFile, '--json'])
    const failure = async (): Promise<unknown> => {
      const { exitCode, stdout } = await start()
      const last = stdout.trim().split('\n').at(-1) ?? ''
      return { exitCode, ...(JSON.parse(last) as { error: object }).error }
    }

    it('while another gateway uses its data directory', async () => {
      expect(await failure()).toMatchObject({
        exitCode: 9,
        code: 'VGATE_STORE_UNAVAILABLE',
        message: 'the store (vgate.db) is in use by another process',
      })
    })

    it('when the port is taken, and says where it is configured', async () => {
      const other = join(product.directory, 'other.yaml')
      writeFileSync(other, readFileSync(product.configFile, 'utf8').replace('./data', './data2'))
      const { exitCode, stdout } = await product.run('gateway', [
        ...['gateway', 'start', '--config', other, '--json'],
      ])
      expect(exitCode).toBe(1)
      expect(JSON.parse(stdout)).toMatchObject({
        error: {
          code: 'VGATE_PORT_IN_USE',
          message: expect.stringMatching(/^cannot listen on 127\.0\.0\.1:\d+: /),
          hint: expect.stringContaining('gateway.listen'),
        },
      })
    })

    it('when the master key can be read by others', async () => {
      await product.stopGateway()
      const key = join(product.directory, 'data.master.key')
      chmodSync(key, 0o644)
      expect(await failure()).toMatchObject({
        exitCode: 11,
        message: `the master key ${key} can be read by other users`,
        hint: `run: chmod 600 ${key}`,
      })
      chmodSync(key, 0o600)
      expect(statSync(key).mode & 0o777).toBe(0o600)
      await product.startGateway()
    })
  })
})
