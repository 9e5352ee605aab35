// What goes wrong, as a person meets it: each with its exit code, one clear message with the next step, no stack trace,
// nothing lost. Through the real binary.

import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Result, startProduct } from '../support/product.js'

const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
  - { who: { group: contractors }, role: reader, targets: [prod-vectors], grant: { reason: required } }
`
const SETUP =
  'CREATE TABLE docs(id int PRIMARY KEY, title text); INSERT INTO docs SELECT g, g::text FROM generate_series(1,10) g'

const noTrace = (result: Result): void => {
  expect(`${result.stdout}${result.stderr}`).not.toMatch(/\n\s+at .+:\d+:\d+/)
}

describe.skipIf(!hasPostgres('plain'))('bad input', () => {
  let postgres: TestPostgres
  let database: string
  let product: Product

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({ postgres, database, policy: POLICY })
    await product.login('alice')
  })

  afterEach(() => product.stopLeft())
  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const refused = async (
    run: Promise<Result>,
    exitCode: number,
    message: RegExp,
    next: RegExp,
  ): Promise<void> => {
    const result = await run
    noTrace(result)
    expect({ exitCode: result.exitCode, stderr: result.stderr }).toMatchObject({
      exitCode,
      stderr: expect.stringMatching(message),
    })
    expect(result.stderr).toMatch(next)
  }

  it('without a login', () =>
    refused(product.run('nobody', ['connect', 'prod-vectors']), 4, /log/i, /vgate login/))

  it('an unreachable gateway', () =>
    refused(
      product.run('alice', ['login', '--no-browser', '--gateway', 'http://127.0.0.1:9']),
      8,
      /127\.0\.0\.1:9/,
      /check|running/i,
    ))

  it('a gateway in plain http beyond loopback', async () => {
    const result = await product.run('alice', [
      'login',
      '--no-browser',
      '--gateway',
      'http://192.0.2.1:8443',
    ])
    expect(result.exitCode).not.toBe(0)
    expect(result.stderr).toMatch(/https/)
    noTrace(result)
  })

  it('an unknown target, as one without access', async () => {
    const unknown = await product.run('alice', ['connect', 'no-such-target'])
    await product.login('bob')
    const withoutAccess = await product.run('bob', ['connect', 'prod-vectors'])
    expect(unknown.exitCode).toBe(2)
    expect(withoutAccess.exitCode).toBe(2)
    expect(unknown.stderr.replaceAll('no-such-target', 'X')).toBe(
      withoutAccess.stderr.replaceAll('prod-vectors', 'X'),
    )
    noTrace(unknown)
  })

  it('a missing reason where one is required', async () => {
    await product.login('carol')
    await refused(product.run('carol', ['connect', 'prod-vectors']), 2, /reason/, /--reason/)
  })

  it('a port in use by somebody else', async () => {
    const taken: Server = createServer()
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, '127.0.0.1', () => {
        const address = taken.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
    await refused(
      product.run('alice', ['connect', 'prod-vectors', '--port', String(port)]),
      1,
      new RegExp(`${port}`),
      /--port/,
    )
    taken.close()
  })

  it('an unknown flag and a missing argument are usage', async () => {
    expect((await product.run('alice', ['connect', '--nonsense'])).exitCode).toBe(2)
    expect((await product.run('alice', ['connect'])).exitCode).toBe(2)
  })

  it('a foreign token', async () => {
    const result = await fetch(`${product.url}/v1/whoami`, {
      headers: { authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' },
    })
    expect(result.status).toBe(401)
    expect(await result.json()).toMatchObject({ error: { code: 'VGATE_TOKEN_INVALID' } })
  })

  it('a configuration: every problem with line and column, and nothing started', async () => {
    const directory = join(product.directory, 'bad')
    mkdirSync(directory)
    const file = join(directory, 'vgate.yaml')
    writeFileSync(
      file,
      'gateway:\n  listn: 127.0.0.1:0\n  data: ./data\nrecordings:\n  encryptTo: [age1x]\npolicy: file:p.yaml\n',
    )
    for (const command of ['check', 'start']) {
      const result = await product.run('alice', ['gateway', command, '--config', file])
      noTrace(result)
      expect(result.exitCode).toBe(11)
      expect(result.stderr).toMatch(/vgate\.yaml:2:3: .*listn/)
      expect(result.stderr).toMatch(/listen/)
      expect(result.stderr).toMatch(/encryptTo.*not supported yet/)
    }
  })

  it('a policy: unknown role, unknown key', async () => {
    const directory = join(product.directory, 'bad-policy')
    mkdirSync(directory)
    writeFileSync(
      join(directory, 'p.yaml'),
      'roles: {}\naccess:\n  - { who: { group: data-science }, role: reder, targets: [x] }\nfoo: 1\n',
    )
    writeFileSync(
      join(directory, 'vgate.yaml'),
      `gateway: { listen: "127.0.0.1:0" }
identity: { providers: { corp: { type: oidc, issuer: "${product.issuer}", clientId: vgate } } }
targets: { x: { database: pgvector, address: "postgres://127.0.0.1/x", tls: off, credential: { username: u, password: "env:VGATE_TEST_DB_PASSWORD" } } }
policy: file:p.yaml
`,
    )
    const result = await product.run('alice', [
      'gateway',
      'check',
      '--config',
      join(directory, 'vgate.yaml'),
    ])
    expect(result.exitCode).toBe(11)
    expect(result.stderr).toMatch(/p\.yaml:4:1: .*foo/)
    noTrace(result)
  })

  it('verify: what is no recording, and what is not there', async () => {
    const file = join(product.directory, 'none.vgr')
    writeFileSync(file, 'not a recording')
    const result = await product.run('alice', ['verify', file, '--json'])
    expect(result.exitCode).toBe(10)
    expect(JSON.parse(result.stdout)).toMatchObject({ verdict: 'tampered' })
    expect(
      (await product.run('alice', ['verify', join(product.directory, 'missing.vgr')])).exitCode,
    ).toBe(2)
  })

  it('a wrong password at the database: the client is told whose fault it is, and the secret is nowhere', async () => {
    const other = await startProduct({
      postgres: { ...postgres, password: 'definitely-wrong' },
      database,
      policy: POLICY,
    })
    try {
      await other.login('alice')
      const connection = other.start('alice', ['connect', 'prod-vectors', '--json'])
      const ready = await connection.event('ready')
      const client = new pg.Client(String((ready['env'] as Record<string, string>)['DATABASE_URL']))
      await expect(client.connect()).rejects.toMatchObject({
        message: expect.stringMatching(/database refused/),
      })
      const ended = await connection.stop()
      expect(ended.stdout + ended.stderr).not.toContain('definitely-wrong')
    } finally {
      await other.stop()
    }
  })

  it('a database that goes away in the middle of a query, and comes back', async () => {
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const ready = await connection.event('ready')
    const url = String((ready['env'] as Record<string, string>)['DATABASE_URL'])
    const client = new pg.Client(url)
    await client.connect()
    client.on('error', () => undefined)
    const direct = await postgres.connect(database)
    const query = client.query('SELECT pg_sleep(60)')
    const backend = async (): Promise<number> =>
      (
        await direct.query(
          "SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()",
        )
      ).rows[0].n
    const settled = query.then(
      () => undefined,
      (error: unknown) => error,
    )
    while ((await backend()) === 0);
    expect(await settled).toBeInstanceOf(Error)
    await direct.end()
    const again = new pg.Client(url)
    await again.connect()
    expect((await again.query('SELECT count(*)::int AS n FROM docs')).rows).toEqual([{ n: 10 }])
    await again.end()
    await connection.stop()
  })

  it('a closed terminal ends connect and leaves no trace of it', async () => {
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    await connection.event('ready')
    expect((await connection.stop('SIGHUP')).exitCode).toBe(129)
    await refused(product.run('alice', ['env', 'prod-vectors']), 1, /prod-vectors/, /vgate connect/)
  })

  it('a gateway that dies under an open session', async () => {
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'], {
      env: { VGATE_RECONNECT: '0' },
    })
    await connection.event('ready')
    await product.stopGateway('SIGKILL')
    expect(await connection.event('closed')).toMatchObject({ reason: 'gateway_lost' })
    expect((await connection.ended).exitCode).toBe(8)
    await product.startGateway()
    const list = await product.run('alice', ['sessions', '--json'])
    expect(
      JSON.parse(list.stdout).sessions.map((session: { state: string }) => session.state),
    ).toContain('crashed')
  })
})
