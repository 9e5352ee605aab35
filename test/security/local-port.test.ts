// Attacks on the local port and on what a command line keeps: floods and slow handshakes by others of the machine,
// processes that die, several at once, locks that stay behind, readers that go away, Ctrl-C at any time.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'
import { openRaw, rawHttp } from '../support/raw-http.js'
import { expireAccess, storedLogin } from '../support/stored-login.js'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
`

describe.skipIf(!hasPostgres('plain'))('a command line', () => {
  let postgres: TestPostgres
  let product: Product

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const sql = 'CREATE TABLE docs(id int PRIMARY KEY); INSERT INTO docs VALUES (1)'
    const database = await postgres.createDatabase({ sql })
    const more = 'limits: { handshake: 3s, connectionsPerSession: 20 }\n'
    product = await startProduct({ postgres, database, policy: POLICY, more })
    await product.login('alice')
  })

  afterEach(() => product.stopLeft())
  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const clientOf = (ready: Record<string, unknown>, password?: string): pg.Client => {
    const env = ready['env'] as Record<string, string>
    const client = new pg.Client({
      host: String(ready['host']),
      port: Number(ready['port']),
      user: 'x',
      password: password ?? env['PGPASSWORD'],
      database: env['PGDATABASE'],
    })
    client.on('error', () => undefined)
    return client
  }
  const serves = async (ready: Record<string, unknown>): Promise<void> => {
    const client = clientOf(ready)
    await client.connect()
    expect((await client.query('SELECT id FROM docs')).rows).toEqual([{ id: 1 }])
    await client.end()
  }

  it('survives a thousand silent connections, wrong secrets and other protocols', async () => {
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const ready = await connection.event('ready')
    const port = Number(ready['port'])
    const open: Promise<void>[] = []
    const silent = async (): Promise<void> => {
      const socket = await openRaw(port)
      open.push(
        new Promise((resolve) => {
          if (socket.destroyed) resolve()
          socket.once('close', () => resolve())
          socket.once('end', () => socket.destroy())
          socket.resume()
        }),
      )
    }
    for (let at = 0; at < 1_000; at += 50) await Promise.all(Array.from({ length: 50 }, silent))
    // All are let go by the deadline of the handshake, though none of them ever closes.
    await Promise.all(open)
    await serves(ready)
    await expect(clientOf(ready, 'wrong').connect()).rejects.toMatchObject({ code: '28P01' })
    for (const bytes of [
      'GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01',
      '\0\0\0\0',
      '\x7f\xff\xff\xff\0\x03\0\0',
      '\0\0\0\x08\x04\xd2\x16\x30',
    ]) {
      const answer = await rawHttp(port, bytes, 20_000)
      expect({ bytes, closed: answer.closed }).toEqual({ bytes, closed: true })
      expect(answer.text).not.toMatch(/HTTP\/1|AuthenticationOk/)
    }
    await serves(ready)
    expect((await connection.stop()).exitCode).toBe(143)
  })

  it('takes over after a connect that was killed, with its port and its secret', async () => {
    const first = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const before = await first.event('ready')
    await first.stop('SIGKILL')
    const gone = await product.run('alice', ['env', 'prod-vectors'])
    expect(gone.exitCode).toBe(1)
    const second = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const after = await second.event('ready')
    expect([after['port'], after['url']]).toEqual([before['port'], before['url']])
    await serves(after)
    const third = await product.run('alice', ['connect', 'prod-vectors', '--json'])
    expect(third.stdout).toContain('VGATE_ALREADY_CONNECTED')
    await second.stop()
    expect(readdirSync(join(product.stateOf('alice'), 'run'))).toEqual([])
  })

  it('renews once when several need it, and the login lives on', async () => {
    const before = storedLogin(product, 'alice')
    expireAccess(product, 'alice')
    const all = await Promise.all(
      ['whoami', 'targets', 'whoami', 'sessions'].map((name) => product.run('alice', [name])),
    )
    expect(all.map((result) => result.exitCode)).toEqual([0, 0, 0, 0])
    const after = storedLogin(product, 'alice')
    expect(after.accessToken).not.toBe(before.accessToken)
    expireAccess(product, 'alice')
    expect((await product.run('alice', ['whoami'])).exitCode).toBe(0)
  })

  it.each([
    ['of a process that is gone', '999999999 aaaa'],
    ['that holds nonsense', '../../etc'],
  ])('is not kept by locks %s', async (_, content) => {
    const state = product.stateOf('alice')
    const before = readdirSync(state)
    expireAccess(product, 'alice')
    const running = product.run('alice', ['whoami'])
    await running
    const lock = join(state, 'tokens.json.lock.999')
    writeFileSync(lock, content, { mode: 0o600 })
    expireAccess(product, 'alice')
    expect((await product.run('alice', ['whoami'])).exitCode).toBe(0)
    expect(existsSync(lock)).toBe(false)
    // A lock is one numbered file, also when it is free.
    const names = (all: string[]): string[] => all.map((name) => name.replace(/\.\d+$/, '')).sort()
    expect(names(readdirSync(state))).toEqual(names(before))
  })

  const environment = (): NodeJS.ProcessEnv => ({
    PATH: process.env['PATH'],
    HOME: join(product.directory, 'homes', 'alice'),
    VGATE_CONFIG_DIR: product.stateOf('alice'),
    VGATE_TOKEN_STORE: 'file',
    VGATE_GATEWAY: product.url,
  })

  it('keeps the child of exec when nobody reads what is said beside it', async () => {
    const script =
      "setTimeout(() => { process.stdout.write('done ' + (process.env.PGPASSWORD ?? '').length); process.exit(7) }, 1500)"
    const child = spawn(
      process.execPath,
      [BIN, 'exec', 'prod-vectors', '--ttl', '1s', '--', process.execPath, '-e', script],
      { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] },
    )
    child.stderr.destroy()
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    const code = await new Promise((resolve) => child.once('close', resolve))
    expect(out).toBe('done 32')
    expect(code).toBe(125)
  })

  it('ends quietly when nobody reads its data', async () => {
    const child = spawn(process.execPath, [BIN, 'targets'], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
    expect(said).toBe('')
  })

  it('ends with 130 at Ctrl-C while a login waits, and while a connect starts, leaving nothing', async () => {
    const login = product.start('dave', ['login', '--json', '--no-browser'])
    await login.event('device_code')
    expect((await login.stop('SIGINT')).exitCode).toBe(130)
    const connecting = product.start('alice', ['connect', 'prod-vectors', '--json'])
    await new Promise((resolve) => setTimeout(resolve, 900))
    const { exitCode } = await connecting.stop('SIGINT')
    expect([130, -1]).toContain(exitCode)
    const run = join(product.stateOf('alice'), 'run')
    mkdirSync(run, { recursive: true })
    expect(readdirSync(run)).toEqual([])
  })
})
