// Attacks on the tunnel of a running gateway by somebody who may log in: other people's grants, sessions out of turn,
// frames that no client sends, floods, and what is left when a WebSocket dies. After each the gateway still serves.

import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { encodeFrame, type FrameType, TYPE } from '../../src/tunnel/frame.js'
import { connectLocally, openClient } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'
import { askGrant, openTunnel, type RawTunnel } from '../support/raw-tunnel.js'

const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
  - { who: { group: contractors }, role: reader, targets: [prod-vectors] }
`
const SETUP =
  "CREATE TABLE docs(id int, body text); INSERT INTO docs SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g"
const ENDPOINT = Buffer.from('postgres')

describe.skipIf(!hasPostgres('plain'))('the tunnel', () => {
  let postgres: TestPostgres
  let database: string
  let product: Product

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({
      postgres,
      database,
      policy: POLICY,
      more: 'limits: { sessionsPerPrincipal: 5 }\n',
    })
    await Promise.all([product.login('alice'), product.login('carol')])
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const tunnels: RawTunnel[] = []
  const open = async (person = 'alice'): Promise<RawTunnel> => {
    const tunnel = await openTunnel(product, person)
    tunnels.push(tunnel)
    return tunnel
  }
  const openWithSession = async (): Promise<RawTunnel> => {
    const tunnel = await open()
    tunnel.openSession(await askGrant(product, 'alice'))
    await tunnel.message('session')
    return tunnel
  }
  const states = async (): Promise<string[]> => {
    const list = await product.run('alice', ['sessions', 'list', '--json'])
    return (JSON.parse(list.stdout) as { sessions: { state: string }[] }).sessions.map(
      (session) => session.state,
    )
  }

  afterEach(async () => {
    for (const tunnel of tunnels.splice(0)) tunnel.socket.terminate()
    await expect.poll(states).not.toContain('open')
  })

  it.each([
    ['of somebody else', () => askGrant(product, 'carol')],
    ['that was never given', async () => 'grt_00000000000000000000'],
    ['that is no id', async () => "x' OR '1'='1"],
  ])('opens no session with a grant %s', async (_, grant) => {
    const tunnel = await open()
    tunnel.openSession(await grant())
    expect(await tunnel.message('end')).toMatchObject({ reason: 'error', code: 'VGATE_NOT_FOUND' })
    await tunnel.closed
  })

  it('opens no session with a grant that has ended', async () => {
    const grant = await askGrant(product, 'alice', 1)
    await new Promise((resolve) => setTimeout(resolve, 1_050))
    const tunnel = await open()
    tunnel.openSession(grant)
    expect(await tunnel.message('end')).toMatchObject({ code: 'VGATE_GRANT_ENDED' })
  })

  it('carries one session, whatever is asked', async () => {
    const tunnel = await openWithSession()
    tunnel.openSession(await askGrant(product, 'alice'))
    expect(await tunnel.message('end')).toMatchObject({ code: 'VGATE_PROTOCOL_VIOLATION' })
    await tunnel.closed
    expect(tunnel.messages.filter((message) => message['type'] === 'session')).toHaveLength(1)
  })

  it('opens no stream before its session', async () => {
    const tunnel = await open()
    tunnel.send(1, TYPE.OPEN, 0, ENDPOINT)
    expect(await tunnel.frame(1, TYPE.RESET)).toMatchObject({ argument: 1 })
    tunnel.openSession(await askGrant(product, 'alice'))
    tunnel.send(3, TYPE.OPEN, 0, ENDPOINT)
    expect(await tunnel.frame(3, TYPE.RESET)).toMatchObject({ argument: 1 })
    await tunnel.message('session')
    tunnel.send(5, TYPE.OPEN, 0, Buffer.from('http'))
    expect(await tunnel.frame(5, TYPE.RESET)).toMatchObject({ argument: 1 })
  })

  const messages: [string, unknown][] = [
    ['null', null],
    ['a list', []],
    ['an unknown type', { type: 'approve' }],
    ['an extra member', { type: 'close_session', principal: 'usr_0' }],
    ['a session without a secret', { type: 'open_session', grant: 'x' }],
    ['a prototype', JSON.parse('{"type":"close_session","__proto__":{"a":1}}')],
  ]
  it.each(messages)('ends at a control message that is %s', async (_, message) => {
    const tunnel = await open()
    tunnel.control(message)
    expect(await tunnel.message('end')).toMatchObject({ reason: 'error' })
    await tunnel.closed
  })

  const raw = (stream: number, type: number, argument: number, length: number): Buffer =>
    encodeFrame(stream, type as FrameType, argument, Buffer.alloc(length, 0x61))
  const windowful = (tunnel: RawTunnel): void => {
    tunnel.send(1, TYPE.OPEN, 0, ENDPOINT)
    // A start-up packet that is never finished, and then all that the window gives and more.
    for (let left = 17; left > 0; left -= 1) tunnel.socket.send(raw(1, TYPE.DATA, 0, 16_384))
  }
  const frames: [string, (tunnel: RawTunnel) => void][] = [
    ['text', (tunnel) => tunnel.socket.send('hello')],
    ['an empty message', (tunnel) => tunnel.socket.send(Buffer.alloc(0))],
    ['an unknown type', (tunnel) => tunnel.socket.send(raw(1, 99, 0, 1))],
    [
      'data for a stream that was never opened',
      (tunnel) => tunnel.socket.send(raw(9, TYPE.DATA, 0, 1)),
    ],
    [
      'credit that was not spent',
      (tunnel) => {
        tunnel.send(1, TYPE.OPEN, 0, ENDPOINT)
        tunnel.send(1, TYPE.CREDIT, 1000)
      },
    ],
    ["the gateway's own stream ids", (tunnel) => tunnel.send(2, TYPE.OPEN, 0, ENDPOINT)],
    [
      'a stream opened twice',
      (tunnel) => {
        tunnel.send(1, TYPE.OPEN, 0, ENDPOINT)
        tunnel.send(1, TYPE.OPEN, 0, ENDPOINT)
      },
    ],
    [
      'a control message without end',
      (tunnel) => {
        for (let left = 17; left > 0; left -= 1) tunnel.socket.send(raw(0, TYPE.CONTROL, 1, 16_384))
      },
    ],
    ['tiny continued control messages', (tunnel) => tunnel.socket.send(raw(0, TYPE.CONTROL, 1, 1))],
    ['control that is not JSON', (tunnel) => tunnel.socket.send(raw(0, TYPE.CONTROL, 0, 10))],
  ]
  it.each(frames)('closes with 1002 at %s', async (_, attack) => {
    const tunnel = await openWithSession()
    attack(tunnel)
    expect(await tunnel.closed).toMatchObject({ code: 1002 })
  })

  it('never holds more of a stream than its window', async () => {
    const tunnel = await openWithSession()
    windowful(tunnel)
    // The unfinished packet is refused by its length, or the window is: the tunnel or the stream ends.
    await Promise.race([tunnel.closed, tunnel.frame(1, TYPE.END), tunnel.frame(1, TYPE.RESET)])
  })

  const bytesOf = (tunnel: RawTunnel): Socket =>
    (tunnel.socket as unknown as { _socket: Socket })._socket
  const wire: [string, number, Buffer][] = [
    ['an unmasked frame', 1002, Buffer.from([0x82, 0x02, 1, 2])],
    ['a reserved opcode', 1002, Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ['reserved bits', 1002, Buffer.from([0xf2, 0x80, 0, 0, 0, 0])],
    [
      'a message of 2^63 bytes',
      1009,
      Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
    ],
    ['a message of 16 KiB and 9 bytes', 1009, Buffer.from([0x82, 0xfe, 0x40, 0x09, 0, 0, 0, 0])],
    ['a continuation of nothing', 1002, Buffer.from([0x80, 0x80, 0, 0, 0, 0])],
    ['a fragmented ping', 1002, Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
  ]
  it.each(wire)('closes at %s on the wire', async (_, code, bytes) => {
    const tunnel = await open()
    bytesOf(tunnel).write(bytes)
    expect(await tunnel.closed).toMatchObject({ code })
  })

  const memoryOf = (pid: number): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  /** Writes without reading until the gateway hangs up or `times` are through. */
  const flood = async (tunnel: RawTunnel, chunk: Buffer, times: number): Promise<boolean> => {
    const socket = bytesOf(tunnel)
    socket.pause()
    let gone = false
    socket.once('close', () => {
      gone = true
    })
    for (let left = times; left > 0 && !gone; left -= 1) {
      const drained = new Promise<void>((resolve) => {
        socket.write(chunk, () => resolve())
      })
      await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 2_000))])
    }
    socket.resume()
    return gone
  }

  it.each([
    ['pings of the WebSocket', Buffer.from([0x89, 0xfd, 0, 0, 0, 0, ...Buffer.alloc(125)])],
    ['pings of the tunnel', Buffer.from([0x82, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, TYPE.PING, 0, 0, 0])],
    ['fragments of one byte', Buffer.from([0x00, 0x81, 0, 0, 0, 0, 1])],
    ['empty fragments', Buffer.from([0x00, 0x80, 0, 0, 0, 0])],
  ])('keeps its memory under a flood of %s by one who does not read', async (_, unit) => {
    const tunnel = await open()
    const before = memoryOf(product.gatewayPid())
    if (unit[0] === 0) bytesOf(tunnel).write(Buffer.from([0x02, 0x80, 0, 0, 0, 0]))
    const chunk = Buffer.concat(
      Array.from({ length: Math.ceil((64 * 1024) / unit.length) }, () => unit),
    )
    await flood(tunnel, chunk, 400)
    // Answers that waited for this reader would be some 300 MiB; less than 100 is what the collector leaves lying.
    expect(memoryOf(product.gatewayPid()) - before).toBeLessThan(100)
    expect((await product.run('alice', ['whoami'])).exitCode).toBe(0)
  })

  it('opens no more WebSockets for one person than sessions and a few', async () => {
    const opened = await Promise.allSettled(Array.from({ length: 40 }, () => open()))
    const refused = opened.filter((one) => one.status === 'rejected')
    expect(refused.length).toBeGreaterThanOrEqual(20)
    expect(String(refused[0]?.status === 'rejected' && refused[0].reason)).toContain('429')
    await open('carol')
  })

  it('ends the session and lets the database go when the WebSocket dies', async () => {
    const { running: connection, at } = await connectLocally(product, 'alice')
    const client = await openClient(at)
    const asking = client.query('SELECT * FROM docs').catch((error: Error) => error)
    const admin = await postgres.connect(database)
    const busy = async (): Promise<number> =>
      (
        await admin.query(
          "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = $1 AND query LIKE '%FROM docs%' AND pid <> pg_backend_pid()",
          [database],
        )
      ).rows.length
    await connection.stop('SIGKILL')
    expect(await asking).toBeInstanceOf(Error)
    await expect.poll(busy).toBe(0)
    await expect.poll(async () => (await states())[0]).toBe('stopped')
    await admin.end()
  })

  it('cuts a stream at the end of its grant, within a second, in the words of the protocol', async () => {
    const { running, ready, at } = await connectLocally(product, 'alice', ['--ttl', '3s'])
    const end = Date.parse(String(ready['expires_at']))
    const client = await openClient(at)
    // The word may come during a query or between two: pg hands it to the query, or to whoever listens.
    let code: unknown
    client.on('error', (error: Error & { code?: string }) => {
      code ??= error.code
    })
    const asked = async (): Promise<number> => {
      for (;;) {
        try {
          await client.query('SELECT * FROM docs LIMIT 3000')
        } catch (error) {
          code ??= (error as { code?: string }).code
          return Date.now()
        }
      }
    }
    const cutAt = await asked()
    expect(code).toBe('57P01')
    expect(cutAt - end).toBeLessThan(5_000)
    expect(cutAt - end).toBeGreaterThan(-50)
    const result = await running.ended
    expect(result.exitCode).toBe(0)
    expect(result.stdout).toContain('"reason":"expired"')
  })
})
