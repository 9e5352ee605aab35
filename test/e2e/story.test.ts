// The main job, end to end: log in, connect, query with an ordinary client, be masked and refused, list, replay,
// verify. Real binary, real PostgreSQL with pgvector, real provider, real gateway.

import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
thresholds: { ids: 100, rows: 1000, per: 60s }
roles:
  reader:
    allow: [{ access: read, collections: [docs, notes] }]
    mask:
      - { collections: [docs], fields: [email], with: redact }
      - { collections: [docs], fields: [body], detect: [email, phone], with: redact }
      - { collections: [docs], vectors: drop }
    limits: { rows: 100 }
  owner:
    allow: [{ access: admin, collections: ["*"] }]
access:
  - { who: { group: data-science }, role: reader, targets: [prod-*], grant: { default: 1h, max: 8h } }
  - { who: { group: data-owners }, role: owner, targets: [prod-*], grant: { max: 1h } }
holds:
  - { name: destructive, match: { risk: [bulk-delete, bulk-update, bulk-export, drop, index-rebuild] }, approval: { by: [data-owners], count: 1, expires: 15m }, inTransaction: 1s }
`

const SETUP = `
CREATE EXTENSION vector;
CREATE TABLE docs(id int PRIMARY KEY, title text, email text, body text, embedding vector(3));
INSERT INTO docs SELECT g, 'doc '||g, 'person'||g||'@example.org', 'write to person'||g||'@example.org or call', ('['||g||',1,0]')::vector FROM generate_series(1,300) g;
CREATE INDEX ON docs USING hnsw (embedding vector_l2_ops);
CREATE TABLE notes(id int PRIMARY KEY, body text);
INSERT INTO notes SELECT g, 'note '||g FROM generate_series(1,500) g;
CREATE TABLE salaries(id int PRIMARY KEY, amount int);
INSERT INTO salaries VALUES (1, 4711);
ANALYZE;
`

describe.skipIf(!hasPostgres('pgvector'))('the story', () => {
  let postgres: TestPostgres
  let product: Product
  let connection: Running
  let ready: Record<string, unknown>
  let client: pg.Client
  const env = (): Record<string, string> => ready['env'] as Record<string, string>

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({ postgres, database, policy: POLICY })
    await product.login('alice')
    connection = product.start('alice', [
      'connect',
      'prod-vectors',
      '--json',
      '--reason',
      'the story',
    ])
    ready = await connection.event('ready')
    client = await connectClient()
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const connectClient = async (): Promise<pg.Client> => {
    const fresh = new pg.Client({
      host: String(ready['host']),
      port: Number(ready['port']),
      user: env()['PGUSER'],
      password: env()['PGPASSWORD'],
      database: env()['PGDATABASE'],
    })
    await fresh.connect()
    return fresh
  }

  it('says who is logged in, and lists what may be reached', async () => {
    const who = await product.run('alice', ['whoami', '--json'])
    expect(who.exitCode).toBe(0)
    expect(JSON.parse(who.stdout)).toMatchObject({ v: 1, principal: { name: 'alice@example.org' } })
    const targets = await product.run('alice', ['targets', '--json'])
    expect(JSON.parse(targets.stdout)).toMatchObject({
      v: 1,
      targets: [{ name: 'prod-vectors', database: 'pgvector' }],
    })
  })

  it('gives the environment and the connection string', async () => {
    expect(env()).toMatchObject({ PGSSLMODE: 'disable', PGPORT: String(ready['port']) })
    expect(env()['DATABASE_URL']).toContain(`:${ready['port']}/`)
    const shown = await product.run('alice', ['env', 'prod-vectors', '--json'])
    expect(shown.exitCode).toBe(0)
    expect(shown.stdout).toContain(env()['PGPASSWORD'])
  })

  it('masks a column, what detectors find, and the embedding, and still orders by distance', async () => {
    const result = await client.query(
      'SELECT id, title, email, body, embedding, embedding <-> $1 AS distance FROM docs ORDER BY embedding <-> $1 LIMIT 3',
      ['[42.1,1,0]'],
    )
    expect(result.rows.map((row) => row.id)).toEqual([42, 43, 41])
    expect(result.rows[0]).toEqual({
      id: 42,
      title: 'doc 42',
      email: '[masked]',
      body: 'write to [masked] or call',
      embedding: null,
      distance: 0.1,
    })
  })

  it('refuses a table that no role names, in the form of PostgreSQL, naming rule and contact', async () => {
    await expect(client.query('SELECT * FROM salaries')).rejects.toMatchObject({
      code: '42501',
      severity: 'ERROR',
      message: expect.stringContaining('salaries'),
      hint: expect.stringContaining('#vector-help'),
    })
    expect((await client.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 500 }])
    expect(await connection.event('denied')).toMatchObject({
      operation: expect.any(String),
      rule: 'default deny',
    })
  })

  it('fails the transaction as the server would', async () => {
    await client.query('BEGIN')
    await expect(client.query('DELETE FROM notes')).rejects.toMatchObject({ code: '42501' })
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('ROLLBACK')
    expect((await client.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 500 }])
  })

  it('fails an unbounded read at its limit and says what to add', async () => {
    await expect(client.query('SELECT * FROM notes')).rejects.toMatchObject({
      code: '53400',
      message: expect.stringMatching(/100 rows.*limits\.rows/),
    })
    expect((await client.query('SELECT * FROM notes LIMIT 100')).rows).toHaveLength(100)
  })

  it('judges a statement too long for the event loop like any other', async () => {
    const long = 'x'.repeat(300_000)
    expect(
      (await client.query(`SELECT id FROM notes WHERE id = 7 AND body <> '${long}'`)).rows,
    ).toEqual([{ id: 7 }])
    await expect(
      client.query(`SELECT amount FROM salaries WHERE '${long}' <> ''`),
    ).rejects.toMatchObject({ code: '42501' })
  })

  it('rejects a wrong secret and a foreign database', async () => {
    const at = { host: String(ready['host']), port: Number(ready['port']), user: 'x' }
    const wrong = new pg.Client({ ...at, password: 'wrong', database: env()['PGDATABASE'] })
    await expect(wrong.connect()).rejects.toMatchObject({ code: '28P01' })
    const foreign = new pg.Client({ ...at, password: env()['PGPASSWORD'], database: 'postgres' })
    await expect(foreign.connect()).rejects.toMatchObject({ code: '3D000' })
  })

  it('refuses a second connect to the same target, with the pid of the first', async () => {
    const second = await product.run('alice', ['connect', 'prod-vectors', '--json'])
    expect(second.exitCode).toBe(1)
    expect(JSON.parse(second.stdout)).toMatchObject({ error: { code: 'VGATE_ALREADY_CONNECTED' } })
    expect(second.stdout).toContain(String(connection.pid))
  })

  it('runs a command with the environment of the session and gives its exit code', async () => {
    await product.login('bob')
    const child = "process.stdout.write(process.env.PGPORT ? 'set' : 'unset'); process.exit(7)"
    const result = await product.run('bob', [
      'exec',
      'prod-vectors',
      '--',
      process.execPath,
      '-e',
      child,
    ])
    expect(result).toMatchObject({ exitCode: 7, stdout: 'set' })
    expect(
      (await product.run('bob', ['exec', 'prod-vectors', '--', 'no-such-command'])).exitCode,
    ).toBe(127)
  })

  it('holds what a second person would have to approve', async () => {
    const result = await product.run('bob', [
      'exec',
      'prod-vectors',
      '--',
      process.execPath,
      '--input-type=module',
      '-e',
      `import pg from ${JSON.stringify(import.meta.resolve('pg'))}
       const client = new pg.Client(process.env.DATABASE_URL); await client.connect()
       client.on('notice', (notice) => console.log('notice', notice.message))
       await client.query('BEGIN')
       try { await client.query('DELETE FROM notes') } catch (error) { console.log(error.code, error.message) }
       await client.end()`,
    ])
    expect(result.stdout).toMatch(/notice vgate: held by rule holds\.destructive: request req_/)
    expect(result.stdout).toMatch(/^42501 .*request req_.*a transaction is open/m)
    expect((await client.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 500 }])
  })

  it('closes, lists, replays and verifies the session, and finds one changed byte', async () => {
    await client.end()
    expect((await connection.stop('SIGINT')).exitCode).toBe(130)
    const session = String(ready['session'])
    const list = await product.run('alice', ['sessions', '--json'])
    expect(JSON.parse(list.stdout).sessions[0]).toMatchObject({
      id: session,
      state: 'stopped',
      target: 'prod-vectors',
    })
    const replay = await product.run('alice', ['replay', session])
    expect(replay.exitCode).toBe(0)
    expect(replay.stdout).toContain('[masked]')
    expect(replay.stdout).toContain('salaries')
    expect(replay.stdout).not.toContain('@example.org,')
    const file = join(product.directory, 'data', 'recordings', `${session}.vgr`)
    const verified = await product.run('alice', ['verify', file, '--json'])
    expect(verified).toMatchObject({ exitCode: 0 })
    expect(JSON.parse(verified.stdout)).toMatchObject({ verdict: 'closed' })
    const copy = join(product.directory, 'copy.vgr')
    copyFileSync(file, copy)
    const bytes = readFileSync(copy)
    const place = Math.floor(bytes.length * 0.7)
    bytes[place] = (bytes[place] ?? 0) ^ 1
    writeFileSync(copy, bytes)
    const changed = await product.run('alice', ['verify', copy, '--json'])
    expect(changed.exitCode).toBe(10)
    expect(JSON.parse(changed.stdout)).toMatchObject({
      verdict: 'tampered',
      reason: expect.any(String),
      at: expect.anything(),
    })
  })

  it('shows others’ sessions to auditors only', async () => {
    const session = String(ready['session'])
    await product.login('carol')
    const stranger = await product.run('carol', ['replay', session])
    expect(stranger.exitCode).toBe(2)
    const auditor = await product.run('bob', ['replay', session])
    expect(auditor.exitCode).toBe(0)
  })

  it('leaves no secret and no masked value in what the gateway stores', async () => {
    const folders = [join(product.directory, 'data')]
    const files = folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))),
    )
    const all = Buffer.concat(
      files
        .filter((file) => existsSync(file) && statSync(file).isFile())
        .map((file) => readFileSync(file)),
    )
    for (const secret of [postgres.password, env()['PGPASSWORD'] ?? ''])
      expect(all.includes(secret)).toBe(false)
  })

  it('ends cleanly, and its audit log is closed', async () => {
    expect((await product.stopGateway()).exitCode).toBe(0)
    const logs = readdirSync(join(product.directory, 'data'), { recursive: true })
      .map(String)
      .filter((name) => name.includes('log-') && name.endsWith('.vgr'))
    expect(logs.length).toBeGreaterThan(0)
    for (const log of logs) {
      const verified = await product.run('alice', [
        'verify',
        join(product.directory, 'data', log),
        '--json',
      ])
      expect(JSON.parse(verified.stdout)).toMatchObject({ verdict: 'closed' })
    }
  })
})
