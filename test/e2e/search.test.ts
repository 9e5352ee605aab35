// Who did what, asked through the binary: sessions by what was done in them, who wrote or deleted a key, and following
// sessions live. One gateway, one database; what is read comes from the recordings.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FoundKey, FoundSessions } from '../../src/core/api-sessions.js'
import { settingsOf } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Result, type Running, startProduct } from '../support/product.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'
import { type Login, raw } from '../support/recorded-session.js'
import { auditText } from '../support/stored-text.js'

const POLICY = `
thresholds: { ids: 5, rows: 1000, per: 60s }
roles:
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: writer, targets: [prod-*] }
  - { who: { group: data-owners }, role: writer, targets: [prod-*] }
holds:
  - { name: destructive, match: { risk: [bulk-delete] }, approval: { by: [data-owners], count: 1, expires: 15m } }
`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, title text);
INSERT INTO docs SELECT g, 'note '||g FROM generate_series(1,20) g; ANALYZE;`

describe.skipIf(!hasPostgres('plain'))('searching what was done', () => {
  let postgres: TestPostgres
  let product: Product
  let watch: Running
  let alice: string
  let bob: string

  const session = async (
    person: string,
    work: (client: pg.Client, connection: Running, at: Login) => Promise<void>,
  ): Promise<string> => {
    const connection = product.start(person, ['connect', 'prod-vectors', '--json'])
    const ready = await connection.event('ready')
    const client = new pg.Client({ connectionString: String(ready['url']) })
    await client.connect()
    await work(client, connection, settingsOf(ready) as Login)
    await client.end()
    await connection.stop()
    return String(ready['session'])
  }
  const list = async (person: string, ...filters: string[]): Promise<string[]> => {
    const found = await product.run(person, ['sessions', 'list', '--json', ...filters])
    return (JSON.parse(found.stdout) as FoundSessions).sessions.map((one) => one.id)
  }
  const key = async (person: string, value: string): Promise<FoundKey> => {
    const args = ['audit', 'search', '--collection', 'docs', '--key', value, '--json']
    return JSON.parse((await product.run(person, args)).stdout) as FoundKey
  }
  const nameOf = async (person: string): Promise<string> => {
    const { stdout } = await product.run(person, ['whoami', '--json'])
    return (JSON.parse(stdout) as { principal: { name: string } }).principal.name
  }
  /** Asks until it is so; the test's own time limit ends it. */
  const until = async (so: () => Promise<boolean>): Promise<void> => {
    while (!(await so())) await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const indexed = (id: string): Promise<void> =>
    until(async () => (await list('bob', '--collection', 'docs')).includes(id))

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({ postgres, database, policy: POLICY })
    await Promise.all([product.login('alice'), product.login('bob')])
    watch = product.start('bob', ['sessions', 'watch', '--json'])
    await watch.event('watching')
    alice = await session('alice', async (client, connection) => {
      await client.query('INSERT INTO docs VALUES ($1, $2)', [42, 'annual report'])
      await client.query('BEGIN')
      await client.query("UPDATE docs SET title = 'other' WHERE id = 42")
      await client.query('ROLLBACK')
      await client.query('SELECT * FROM secrets').catch(() => undefined)
      const removed = client.query('DELETE FROM docs WHERE id IN (42, 13, 14, 15, 16, 17)')
      const { request } = (await connection.event('held')) as { request: string }
      await product.run('bob', ['approve', request, '--yes'])
      expect((await removed).rowCount).toBe(6)
    })
    bob = await session('bob', async (client) => {
      await client.query("INSERT INTO docs VALUES (43, E'\\x1b]0;own\\x07')")
      await client.query("UPDATE docs SET title = 'old' WHERE id < 3")
    })
    await indexed(alice)
    await indexed(bob)
  })

  it('says who inserted, changed and deleted a key, how it ended and who approved', async () => {
    const { named, unnamed } = await key('bob', '42')
    expect(named.found.map((one) => [one.operation, one.outcome, one.session])).toEqual([
      ['delete', 'done', alice],
      ['update', 'rolled_back', alice],
      ['insert', 'done', alice],
    ])
    const [removed, , inserted] = named.found
    expect(removed?.principal.name).toContain('alice')
    expect(removed?.rows).toBe(6)
    expect(removed?.approval?.by[0]?.name).toContain('bob')
    expect(inserted?.approval).toBeUndefined()
    expect(Date.now() - Date.parse(inserted?.at ?? '')).toBeLessThan(300_000)
    expect(unnamed.found.map((one) => [one.session, one.predicate])).toEqual([
      [bob, "UPDATE docs SET title = 'old' WHERE id < 3"],
    ])
    const shown = await product.run('bob', [
      'audit',
      'search',
      '--collection',
      'docs',
      '--key',
      '42',
    ])
    expect(shown.stdout).toContain('not named: these may have touched key 42 of docs')
    expect(shown.stdout).toContain('rolled back')
  })

  it('finds sessions by what was done in them', async () => {
    const cases: [string[], string[]][] = [
      [['--collection', 'docs', '--decision', 'hold', '--since', '1h'], [alice]],
      [['--key', '43', '--person', await nameOf('bob')], [bob]],
      [['--text', 'report" OR "docs'], []],
      [['--collection', 'docs', '--limit', '1', '--before', bob], [alice]],
    ]
    const found = await Promise.all(cases.map(([filters]) => list('bob', ...filters)))
    expect(found).toEqual(cases.map(([, wanted]) => wanted))
  })

  it('shows and counts to others nothing but their own', async () => {
    const [all, byKey, other, own, paged] = await Promise.all([
      list('alice'),
      list('alice', '--key', '43'),
      key('alice', '43'),
      key('alice', '42'),
      product.run('alice', ['sessions', 'list', '--before', bob, '--json']),
    ])
    expect([all, byKey]).toEqual([[alice], []])
    expect([other.named.found, other.unnamed.found, other.index.unread]).toEqual([[], [], 0])
    expect(own.named.found).toHaveLength(3)
    expect(JSON.parse(paged.stdout)).toMatchObject({ error: { code: 'VGATE_NOT_FOUND' } })
  })

  it('audits every search, and shows nothing that moves a terminal', async () => {
    const searches = (): number =>
      auditText(join(product.directory, 'data')).split('"search.made"').length
    const before = searches()
    const hostile = '\u001b]0;own\u0007\u202e'
    const args = ['audit', 'search', '--collection', hostile, '--key', hostile]
    const shown = await Promise.all([
      product.run('alice', args),
      product.run('alice', [...args, '--json']),
      product.run('bob', ['sessions', 'list', '--text', hostile, '--person', hostile]),
    ])
    for (const { exitCode, stdout, stderr } of shown) {
      expect(exitCode).toBe(0)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f\u202e]/)
    }
    expect(searches()).toBe(before + 3)
  })

  it('follows sessions live, and ends with Ctrl-C', async () => {
    const started = watch.seen.filter((one) => one['event'] === 'started')
    expect(started.map((one) => (one['session'] as { id: string }).id)).toEqual([alice, bob])
    expect(await watch.event('held')).toMatchObject({
      held: { session: alice, operation: 'delete' },
    })
    const ended = (): string[] =>
      watch.seen
        .filter((one) => one['event'] === 'ended')
        .map((one) => (one['session'] as { id: string }).id)
    await until(async () => ended().includes(bob))
    const stopped: Result = await watch.stop('SIGINT')
    expect([stopped.exitCode, stopped.stderr]).toEqual([130, ''])
  })

  const copiedIn = (format: string, data: string): (MessageStep | Buffer)[] => [
    { m: 'Q', sql: `COPY docs(title, id) FROM STDIN (FORMAT ${format})` },
    { m: 'd', data: data.slice(0, 9) },
    { m: 'd', data: data.slice(9) },
    { m: 'c' },
  ]

  it('says who copied a row in, and who may have where the rows do not tell', async () => {
    const copier = await session('bob', async (_client, _connection, at) => {
      await raw(at, copiedIn('text', 'copied\t7001\ncopied\t7002\n'))
      await raw(at, copiedIn('csv', '"copied, too",7003\n'))
      await raw(at, [
        { m: 'Q', sql: "COPY docs FROM STDIN WHERE title = 'x'" },
        { m: 'd', data: '7004\tx\n7005\ty\n' },
        { m: 'c' },
      ])
    })
    await until(async () => (await list('bob', '--key', '7001')).includes(copier))
    const touched = async (value: string): Promise<unknown> => {
      const { named, unnamed } = await key('bob', value)
      const may = unnamed.found.filter(({ session: id }) => id === copier)
      return [
        named.found.map((one) => [one.operation, one.outcome, one.rows, one.session]),
        may.map((one) => one.predicate),
      ]
    }
    const may = ["COPY docs FROM STDIN WHERE title = 'x'"]
    expect(await touched('7002')).toEqual([[['import', 'done', 2, copier]], may])
    expect(await touched('7003')).toEqual([[['import', 'done', 1, copier]], may])
    expect(await touched('7004')).toEqual([[], may])
  })

  afterAll(async () => {
    await watch?.stop()
    await product?.stop()
    await postgres?.stop()
  })

  it('takes up at the start what was not read, and tells what was tampered with', async () => {
    await product.stopGateway()
    const recordings = join(product.directory, 'data', 'recordings')
    const file = join(recordings, `${bob}.vgr`)
    const bytes = readFileSync(file)
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1
    writeFileSync(file, bytes)
    const store = join(product.directory, 'data', 'vgate.db')
    const { default: Database } = await import('libsql')
    const raw = new Database(store)
    for (const table of ['session_touches', 'session_uses', 'session_index', 'session_text'])
      raw.exec(`DELETE FROM ${table}`)
    raw.close()
    await product.startGateway()
    await indexed(alice)
    await until(async () => (await key('bob', '43')).index.unread === 1)
    const { named, index } = await key('bob', '43')
    expect([named.found, index.some]).toEqual([[], [{ session: bob, state: 'tampered' }]])
    expect((await key('alice', '43')).index.unread).toBe(0)
  }, 180_000)
})
