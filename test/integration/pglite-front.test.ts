// The demo database's front: one PGlite backend must look like a server to several connections at once.

import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { embedPhrase, vectorLiteral } from '../../src/demo/embed.js'
import { type DemoDatabase, openDemoDatabase } from '../../src/demo/pglite-database.js'
import { type Front, startFront } from '../../src/demo/pglite-front.js'
import {
  Framer,
  int32,
  type Message,
  message,
  query,
  SYNC,
  strings,
} from '../../src/demo/pglite-wire.js'

const PASSWORD = 'demo secret'

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The client's last word of SCRAM-SHA-256 (RFC 5802 §3). */
function scramFinal(bare: string, challenge: string): string {
  const [, nonce = '', salt = '', iterations = ''] =
    /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge) ?? []
  const salted = pbkdf2Sync(PASSWORD, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256')
  const key = hmac(salted, 'Client Key')
  const ending = `c=biws,r=${nonce}`
  const signature = hmac(
    createHash('sha256').update(key).digest(),
    `${bare},${challenge},${ending}`,
  )
  const proof = Buffer.from(key.map((byte, index) => byte ^ (signature[index] ?? 0)))
  return `${ending},p=${proof.toString('base64')}`
}

/** A connection that sends exactly these bytes. */
class Raw {
  readonly socket: Socket
  readonly #framer = new Framer(1 << 28)
  readonly #messages: Message[] = []
  #wake: () => void = () => undefined

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (chunk) => {
      this.#framer.push(Buffer.from(chunk))
      for (let next = this.#framer.next(false); next !== undefined; next = this.#framer.next(false))
        this.#messages.push(next)
      this.#wake()
    })
    this.socket.on('close', () => this.#wake())
    this.socket.on('error', () => undefined)
  }

  startup(code: number, ...words: string[]): void {
    const body = Buffer.concat([
      int32(code),
      ...words.map((word) => Buffer.from(`${word}\0`)),
      Buffer.from(words.length > 0 ? '\0' : ''),
    ])
    this.socket.write(Buffer.concat([int32(body.length + 4), body]))
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages))
  }

  /** All messages up to and with the first of this type. */
  async until(type: string): Promise<Message[]> {
    for (;;) {
      const at = this.#messages.findIndex((one) => one.type === type)
      if (at >= 0) return this.#messages.splice(0, at + 1)
      if (this.socket.destroyed)
        throw new Error(`closed before ${type}: ${this.#messages.map((one) => one.type).join('')}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async login(version = 196608, ...more: string[]): Promise<Message[]> {
    this.startup(version, 'user', 'vgate', 'database', 'postgres', ...more)
    const first = await this.until('R')
    const bare = 'n=,r=client'
    const opening = Buffer.from(`n,,${bare}`)
    this.send(message('p', 'SCRAM-SHA-256', int32(opening.length), opening))
    const challenge = (await this.until('R')).at(-1)?.payload.toString('utf8', 4) ?? ''
    this.send(message('p', Buffer.from(scramFinal(bare, challenge))))
    return [...first, ...(await this.until('Z'))]
  }
}

const parse = (name: string, text: string): Buffer => message('P', name, text, Buffer.alloc(2))
const bindExecute = (name: string): Buffer =>
  Buffer.concat([message('B', '', name, Buffer.alloc(6)), message('E', '', int32(0))])
const types = (messages: readonly Message[]): string => messages.map(({ type }) => type).join('')
const errorOf = (messages: readonly Message[]): string[] =>
  strings(messages.find(({ type }) => type === 'E')?.payload ?? Buffer.alloc(0))
const value = (messages: readonly Message[]): string | undefined =>
  messages
    .find(({ type }) => type === 'D')
    ?.payload.subarray(6)
    .toString('utf8')

describe('the demo database’s front', () => {
  let database: DemoDatabase
  let front: Front
  const open: (pg.Client | Raw)[] = []

  beforeAll(async () => {
    database = await openDemoDatabase()
    front = await startFront(database.execute, {
      username: 'vgate',
      password: PASSWORD,
      databaseName: 'postgres',
      maxQueuedBytes: 8_000_000,
    })
  }, 120_000)
  afterAll(async () => {
    await front.close()
    await database.close()
  })
  afterEach(async () => {
    for (const one of open.splice(0)) {
      if (one instanceof Raw) one.socket.destroy()
      else await one.end()
    }
  })

  const client = async (options: pg.ClientConfig = {}): Promise<pg.Client> => {
    const one = new pg.Client({
      host: '127.0.0.1',
      port: front.port,
      user: 'vgate',
      password: PASSWORD,
      database: 'postgres',
      ...options,
    })
    await one.connect()
    open.push(one)
    return one
  }
  const raw = (): Raw => {
    const one = new Raw(front.port)
    open.push(one)
    return one
  }

  it('refuses a wrong password, a foreign database and a foreign user', async () => {
    await expect(client({ password: 'no' })).rejects.toMatchObject({
      code: '28P01',
      message: 'password authentication failed',
    })
    await expect(client({ user: 'postgres' })).rejects.toMatchObject({ code: '28P01' })
    await expect(client({ database: 'other' })).rejects.toMatchObject({ code: '3D000' })
  })

  it('refuses a mechanism it does not speak, and a password without one', async () => {
    for (const answer of [
      message('p', PASSWORD),
      message('p', 'SCRAM-SHA-1', int32(0)),
      message('p', Buffer.alloc(0)),
    ]) {
      const one = raw()
      one.startup(196608, 'user', 'vgate', 'database', 'postgres')
      await one.until('R')
      one.send(answer)
      expect(errorOf(await one.until('E'))).toContain('C28P01')
    }
  })

  it('answers N to SSLRequest and GSSENCRequest, and goes on', async () => {
    for (const code of [80877103, 80877104]) {
      const one = connect(front.port, '127.0.0.1')
      one.write(Buffer.concat([int32(8), int32(code)]))
      const [answer] = await once(one, 'data')
      expect(String(answer)).toBe('N')
      one.destroy()
    }
  })

  it('answers protocol 3.2 as 3.0 and names the options it does not know', async () => {
    const one = raw()
    const greeting = await one.login(196610, '_pq_.some', 'x')
    const negotiated = greeting.find(({ type }) => type === 'v')
    expect(negotiated?.payload.readInt32BE(0)).toBe(196608)
    expect(strings(negotiated?.payload.subarray(8) ?? Buffer.alloc(0))).toEqual(['_pq_.some'])
    expect(types(greeting)).toMatch(/^vRRRS+KZ$/)
  })

  it('closes on a CancelRequest and on a length out of bounds', async () => {
    const cancel = raw()
    cancel.startup(80877102)
    await once(cancel.socket, 'close')
    const huge = raw()
    huge.socket.write(Buffer.from('7fffffff00030000', 'hex'))
    expect(errorOf(await huge.until('E'))).toContain('C08P01')
  })

  it('reports the start-up settings of each connection, and refuses one that the server refuses', async () => {
    const one = raw()
    const greeting = await one.login(
      196608,
      'application_name',
      'first',
      'options',
      '-c statement_timeout=7000',
    )
    const statuses = greeting
      .filter(({ type }) => type === 'S')
      .map(({ payload }) => strings(payload))
    expect(statuses).toContainEqual(['application_name', 'first'])
    expect(statuses).toContainEqual(['server_version', expect.stringMatching(/^1[78]/)])
    one.send(query('SHOW statement_timeout'))
    expect(value(await one.until('Z'))).toBe('7s')
    await expect(client({ options: '-c statement_timeout=never' })).rejects.toMatchObject({
      code: '22023',
    })
  })

  it('never runs one connection’s statement for another’s Bind', async () => {
    const [one, two] = [raw(), raw()]
    await one.login()
    await two.login()
    one.send(parse('s', "SELECT 'of one'"), SYNC)
    await one.until('Z')
    two.send(parse('s', "SELECT 'of two'"), SYNC)
    await two.until('Z')
    one.send(bindExecute('s'), SYNC)
    expect(value(await one.until('Z'))).toBe('of one')
    two.send(bindExecute('s'), SYNC)
    expect(value(await two.until('Z'))).toBe('of two')
  })

  it('keeps the unnamed statement of each, and does not know a name that only the other has', async () => {
    const [one, two] = [raw(), raw()]
    await one.login()
    await two.login()
    one.send(parse('', "SELECT 'unnamed of one'"), parse('mine', 'SELECT 1'), SYNC)
    await one.until('Z')
    two.send(bindExecute(''), SYNC)
    expect(errorOf(await two.until('Z'))).toContain('C26000')
    two.send(bindExecute('mine'), SYNC)
    expect(errorOf(await two.until('Z'))).toContain('C26000')
    one.send(bindExecute(''), SYNC)
    expect(value(await one.until('Z'))).toBe('unnamed of one')
  })

  it('does not leak SET, PREPARE or DEALLOCATE ALL, and gives each its own back', async () => {
    const [one, two] = [await client(), await client()]
    await one.query(
      "SET statement_timeout = '90s'; SET hnsw.ef_search = 77; PREPARE plan AS SELECT 'planned'::text AS said",
    )
    expect((await two.query('SHOW statement_timeout')).rows).toEqual([{ statement_timeout: '0' }])
    await expect(two.query('EXECUTE plan')).rejects.toMatchObject({ code: '26000' })
    await two.query('DISCARD ALL')
    expect((await one.query('SHOW statement_timeout')).rows).toEqual([{ statement_timeout: '90s' }])
    expect((await one.query('SHOW hnsw.ef_search')).rows).toEqual([{ 'hnsw.ef_search': '77' }])
    expect((await one.query('EXECUTE plan')).rows).toEqual([{ said: 'planned' }])
  })

  it('makes others wait for the end of a transaction, and no longer', async () => {
    const [one, two] = [await client(), await client()]
    const order: string[] = []
    await one.query('BEGIN')
    const waiting = two.query('SELECT 1').then(() => order.push('two'))
    await one.query('SELECT 1')
    await one.query('SELECT 2')
    order.push('one')
    await one.query('COMMIT')
    await waiting
    expect(order).toEqual(['one', 'two'])
  })

  it('rolls back and goes on when a connection vanishes inside a transaction', async () => {
    const two = await client()
    const one = raw()
    await one.login()
    one.send(query('BEGIN'), query("INSERT INTO notes VALUES (99, 'x', 'x', now())"))
    await one.until('Z')
    await one.until('Z')
    one.socket.destroy()
    expect((await two.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 3 }])
  })

  it('does not wait for a client that has prepared and thinks', async () => {
    const [one, two] = [raw(), await client()]
    await one.login()
    one.send(
      parse('slow', "SELECT 'after thinking'"),
      message('D', Buffer.from('Sslow\0')),
      message('H'),
    )
    expect(types(await one.until('T'))).toBe('1tT')
    expect((await two.query('SELECT 5 AS n')).rows).toEqual([{ n: 5 }])
    one.send(bindExecute('slow'), SYNC)
    const answer = await one.until('Z')
    expect([types(answer), value(answer)]).toEqual(['2DCZ', 'after thinking'])
  })

  it('skips to Sync after an error, as a server does', async () => {
    const one = raw()
    await one.login()
    one.send(parse('', 'SELEC'), bindExecute(''), parse('', 'SELECT 1'), SYNC, query('SELECT 2'))
    expect(types(await one.until('Z'))).toBe('EZ')
    expect(types(await one.until('Z'))).toBe('TDCZ')
  })

  it('does not let a paused reader block the others', async () => {
    const [one, two] = [raw(), await client()]
    await one.login()
    one.socket.pause()
    one.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 6000)"))
    expect((await two.query('SELECT 6 AS n')).rows).toEqual([{ n: 6 }])
    one.socket.resume()
    const answer = await one.until('Z')
    expect(answer.filter(({ type }) => type === 'D')).toHaveLength(6000)
  })

  it('closes a connection whose unread answers pass the cap, and only that one', async () => {
    const [one, two] = [raw(), await client()]
    await one.login()
    const closed = once(one.socket, 'close')
    one.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 30000)"))
    await closed
    expect((await two.query('SELECT 7 AS n')).rows).toEqual([{ n: 7 }])
  })

  it.each([
    'COPY notes FROM STDIN',
    'copy notes (id) from /* a comment */ stdin with (format csv)',
    'SELECT 1; COPY notes FROM\n-- a comment\nSTDIN',
  ])('refuses %j instead of wedging', async (text) => {
    const one = await client()
    await expect(one.query(text)).rejects.toMatchObject({
      code: '0A000',
      message: 'COPY FROM STDIN is not supported by the demo database',
    })
    await expect(one.query({ text: 'COPY notes FROM STDIN', values: [] })).rejects.toMatchObject({
      code: '0A000',
    })
    expect((await one.query("SELECT 'copy a from stdin' AS t")).rows).toEqual([
      { t: 'copy a from stdin' },
    ])
  })

  it('finds related documents through the HNSW index', async () => {
    const one = await client()
    const near = vectorLiteral(embedPhrase('the war in iraq'))
    const plan = await one.query(
      `EXPLAIN SELECT id FROM docs ORDER BY embedding <=> '${near}' LIMIT 5`,
    )
    expect(plan.rows.map((row) => row['QUERY PLAN']).join('\n')).toContain(
      'Index Scan using docs_embedding',
    )
    const found = await one.query('SELECT subject FROM docs ORDER BY embedding <=> $1 LIMIT 5', [
      near,
    ])
    expect(found.rows.map((row) => row.subject).join(' ')).toMatch(/Iraq/)
  })
})
