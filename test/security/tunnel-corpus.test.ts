// The tunnel's items of the corpus, and more peers that cheat, against the gateway's real endpoint on a real socket. The
// session behind it is a stand-in: nothing here gets past the tunnel. Each ends with one clear error in bounded memory.

import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { VgateError } from '../../src/core/errors.js'
import type { CloseReason } from '../../src/core/grant.js'
import type { Principal } from '../../src/core/principal.js'
import type { GatewayConfig } from '../../src/gateway/config.js'
import { createServer, refusalOf } from '../../src/gateway/http-server.js'
import { TunnelEndpoint } from '../../src/gateway/tunnel-endpoint.js'
import type { DataPlane } from '../../src/proxy/data-plane.js'
import { encodeFrame, type FrameType, MAX_PAYLOAD_BYTES, TYPE } from '../../src/tunnel/frame.js'
import { rawHttp, request } from '../support/raw-http.js'
import { openRawWebSocket, type RawWebSocket, rawFrame } from '../support/raw-websocket.js'

const MIB = 1024 * 1024
const BINARY = 2
const config = {
  listen: { host: '127.0.0.1', port: 0 },
  publicUrl: 'http://127.0.0.1',
} as unknown as GatewayConfig

let server: Server
let endpoint: TunnelEndpoint
let port: number
let streams: Duplex[]
let ends: string[]
let reports: unknown[]
let endSession: (reason: CloseReason, error: VgateError) => void

beforeEach(async () => {
  streams = []
  ends = []
  reports = []
  const dataPlane = {
    open: async (
      _request: unknown,
      _secret: unknown,
      events: { ending: typeof endSession; ended: typeof endSession },
    ) => {
      endSession = (reason, error) => {
        for (const stream of streams) stream.destroy()
        events.ending(reason, error)
        events.ended(reason, error)
      }
      return {
        id: 'ses_1',
        lease: {
          target: { name: 't', database: 'pgvector', databaseName: 'd' },
          grant: { endsAt: Date.now() + 60_000 },
        },
        connect: (stream: Duplex) => {
          stream.on('error', () => undefined)
          streams.push(stream)
        },
        end: async (reason: string, error: VgateError) =>
          void ends.push(`${reason}: ${error.message}`),
      }
    },
  } as unknown as DataPlane
  endpoint = new TunnelEndpoint({
    authenticate: async () => ({ id: 'usr_1' }) as Principal,
    refusalOf: (incoming) => refusalOf({ ...config, publicUrl: 'http://127.0.0.1' }, incoming),
    dataPlane,
    maxStreams: 100,
    maxTunnels: 10,
    report: (event, error) => reports.push([event, error]),
  })
  server = createServer(config, (_request, response) => response.end())
  server.on('upgrade', (incoming, socket, head) => void endpoint.upgrade(incoming, socket, head))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})

afterEach(async () => {
  endpoint.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const tunnelFrame = (stream: number, type: FrameType, argument = 0, payload?: Buffer): Buffer =>
  rawFrame({ opcode: BINARY, payload: encodeFrame(stream, type, argument, payload) })
const control = (message: object): Buffer =>
  tunnelFrame(0, TYPE.CONTROL, 0, Buffer.from(JSON.stringify(message)))
const OPEN = control({
  type: 'open_session',
  grant: 'grt_1',
  client: { version: '0', platform: 'test', command: 'connect' },
  secret: { iterations: 4096, salt: 'c2FsdA==', storedKey: 'a2V5', serverKey: 'a2V5' },
})

/** A raw tunnel with its session open. */
async function openTunnel(): Promise<RawWebSocket> {
  const tunnel = await openRawWebSocket(port)
  tunnel.socket.write(OPEN)
  await expect.poll(() => tunnel.received().toString('latin1')).toContain('"type":"session"')
  return tunnel
}

const memory = (): number => process.memoryUsage().rss

describe('the corpus', () => {
  it('names the items that stand below, and no other of the tunnel', () => {
    const text = readFileSync(new URL('../corpus/bypass-corpus.yaml', import.meta.url), 'utf8')
    const corpus: unknown = parse(text)
    const items = (Array.isArray(corpus) ? corpus : Object.values(corpus ?? {}).flat()) as {
      id?: string
      plane?: string
    }[]
    const own = readFileSync(new URL(import.meta.url), 'utf8')
    const ids = items.filter((item) => item.plane === 'ws-tunnel').map((item) => item.id ?? '')
    expect(ids.length).toBeGreaterThan(6)
    expect(ids.filter((id) => !own.includes(`'${id}`))).toEqual([])
  })

  it('ws-002: a million fragments of one byte end with one error, in bounded memory', async () => {
    const tunnel = await openRawWebSocket(port)
    const before = memory()
    const first = rawFrame({ fin: false, opcode: BINARY, payload: Buffer.alloc(1) })
    const next = rawFrame({ fin: false, opcode: 0, payload: Buffer.alloc(1) })
    tunnel.socket.write(first)
    const block = Buffer.concat(Array.from({ length: 10_000 }, () => next))
    for (let at = 0; at < 100; at += 1) tunnel.socket.write(block)
    const end = await tunnel.closed()
    expect([end.gone, [1008, 1009].includes(end.code)]).toEqual([true, true])
    expect(memory() - before).toBeLessThan(64 * MIB)
  })

  it('ws-006: a frame without a mask is refused with 1002', async () => {
    const tunnel = await openRawWebSocket(port)
    tunnel.socket.write(rawFrame({ opcode: BINARY, masked: false, payload: Buffer.alloc(8, 1) }))
    expect(await tunnel.closed()).toMatchObject({ code: 1002, gone: true })
  })

  it.each([
    ['a reserved opcode', { opcode: 3 }],
    ['a reserved control opcode', { opcode: 11 }],
    ['RSV1, which means compression', { opcode: BINARY, rsv: 4, payload: Buffer.alloc(8) }],
    ['RSV2', { opcode: BINARY, rsv: 2, payload: Buffer.alloc(8) }],
    ['RSV3', { opcode: BINARY, rsv: 1, payload: Buffer.alloc(8) }],
    ['a fragmented control frame', { opcode: 9, fin: false }],
    ['a long control frame', { opcode: 9, payload: Buffer.alloc(126) }],
    ['a continuation of nothing', { opcode: 0, payload: Buffer.alloc(8) }],
  ])('ws-007: %s is refused with 1002', async (_name, frame) => {
    const tunnel = await openRawWebSocket(port)
    tunnel.socket.write(rawFrame(frame))
    expect(await tunnel.closed()).toMatchObject({ code: 1002, gone: true })
  })

  it('ws-009: a flood of pings is cut, and answered by less than it sent', async () => {
    const tunnel = await openTunnel()
    const before = tunnel.received().length
    const ping = rawFrame({ opcode: 9, payload: Buffer.alloc(100) })
    tunnel.socket.write(Buffer.concat(Array.from({ length: 100_000 }, () => ping)))
    expect(await tunnel.closed()).toMatchObject({
      code: 1008,
      reason: 'too many pings',
      gone: true,
    })
    expect(tunnel.received().length - before).toBeLessThan(101 * ping.length)
  })

  it('ws-012: 64 KB of spaces as a subprotocol cost nothing', async () => {
    const lines = (spaces: number): string[] => [
      `Host: 127.0.0.1:${port}`,
      ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Authorization: Bearer token'],
      `Sec-WebSocket-Protocol: b,${' '.repeat(spaces)}x`,
    ]
    const long = await rawHttp(port, request('GET /v1/tunnel', lines(65_536)), 5_000)
    expect([long.status, long.closed]).toEqual([431, true])
    const cpu = process.cpuUsage()
    const short = await rawHttp(port, request('GET /v1/tunnel', lines(15_000)), 5_000)
    expect([short.status, short.closed]).toEqual([400, true])
    expect(process.cpuUsage(cpu).user).toBeLessThan(5_000_000)
  })

  it('ws-018: a grant that ends cuts the stream at once and says why', async () => {
    const tunnel = await openTunnel()
    tunnel.socket.write(tunnelFrame(1, TYPE.OPEN, 0, Buffer.from('postgres')))
    await expect.poll(() => streams.length).toBe(1)
    const from = Date.now()
    endSession('expired', new VgateError('VGATE_GRANT_ENDED', 'the grant has ended'))
    const end = await tunnel.closed()
    expect(end).toMatchObject({ code: 1000, reason: 'expired', gone: true })
    expect(tunnel.received().toString('latin1')).toContain(
      '{"type":"end","reason":"expired","code":"VGATE_GRANT_ENDED","message":"the grant has ended"',
    )
    expect(Date.now() - from).toBeLessThan(20_000)
  })

  it('ws-022: a close reason of control characters ends the session, and reaches no log', async () => {
    const tunnel = await openTunnel()
    const reason = Buffer.alloc(123, '\u001b]0;x\u0007\n')
    tunnel.socket.write(
      rawFrame({ opcode: 8, payload: Buffer.concat([Buffer.from([3, 232]), reason]) }),
    )
    expect(await tunnel.closed()).toMatchObject({ code: 1000 })
    await expect.poll(() => ends).toEqual(['stopped: the client is gone'])
    expect(reports).toEqual([])
  })
})

describe('a peer that cheats', () => {
  const data = (bytes: number): Buffer => Buffer.alloc(bytes, 1)
  const opened = tunnelFrame(1, TYPE.OPEN, 0, Buffer.from('postgres'))
  const window = Array.from({ length: 17 }, () =>
    tunnelFrame(1, TYPE.DATA, 0, data(MAX_PAYLOAD_BYTES)),
  )
  const full = tunnelFrame(0, TYPE.CONTROL, 1, data(MAX_PAYLOAD_BYTES))

  it.each([
    [
      'an unknown frame',
      [rawFrame({ opcode: BINARY, payload: Buffer.from([0, 0, 0, 0, 99, 0, 0, 0]) })],
      'unknown frame type 99',
    ],
    [
      'a zeroed frame',
      [rawFrame({ opcode: BINARY, payload: Buffer.alloc(8) })],
      'unknown frame type 0',
    ],
    ['more than its window', [opened, ...window], 'exceeds its window of 262144 bytes'],
    [
      'credit that it was not owed',
      [opened, tunnelFrame(1, TYPE.CREDIT, 1)],
      'CREDIT of 1 bytes on stream 1 exceeds what was sent',
    ],
    [
      'data for a stream that was never opened',
      [tunnelFrame(9, TYPE.DATA, 0, data(1))],
      'stream 9, which was never opened',
    ],
    [
      'a stream id of the gateway',
      [tunnelFrame(2, TYPE.OPEN, 0, Buffer.from('postgres'))],
      'whose ids are not the peer',
    ],
    [
      'control fragments without an end',
      Array.from({ length: 17 }, () => full),
      'control message longer than 262144 bytes',
    ],
    [
      'tiny control fragments',
      [tunnelFrame(0, TYPE.CONTROL, 1, data(1))],
      'a continued CONTROL frame that is not full',
    ],
    ['text', [rawFrame({ opcode: 1, payload: Buffer.from('hello') })], 'a text message'],
  ])('with %s is closed with 1002 and the rule', async (_name, frames, rule) => {
    const tunnel = await openTunnel()
    tunnel.socket.write(Buffer.concat(frames))
    const end = await tunnel.closed()
    expect([end.code, end.gone]).toEqual([1002, true])
    expect(end.reason).toContain(rule)
    await expect.poll(() => [...new Set(ends)]).toEqual(['stopped: the client is gone'])
  })

  it('with streams above the limit gets LIMIT for each, and keeps those it has', async () => {
    const tunnel = await openTunnel()
    const opens = Array.from({ length: 1_000 }, (_, index) =>
      tunnelFrame(2 * index + 1, TYPE.OPEN, 0, Buffer.from('postgres')),
    )
    tunnel.socket.write(Buffer.concat(opens))
    const refusals = (): number =>
      tunnel.received().toString('latin1').split('more than 100 connections').length - 1
    await expect.poll(refusals, { timeout: 10_000 }).toBe(900)
    expect(streams).toHaveLength(100)
    tunnel.socket.destroy()
  })

  it('that asks and never reads is cut, in bounded memory', async () => {
    const tunnel = await openTunnel()
    tunnel.socket.pause()
    const before = memory()
    const ping = tunnelFrame(0, TYPE.PING)
    const block = Buffer.concat(Array.from({ length: 20_000 }, () => ping))
    for (let at = 0; at < 50; at += 1) tunnel.socket.write(block)
    await expect
      .poll(() => [...new Set(ends)], { timeout: 20_000 })
      .toEqual(['stopped: the client is gone'])
    expect(memory() - before).toBeLessThan(64 * MIB)
    tunnel.socket.destroy()
  })
})

describe('a client of another version', () => {
  it.each([
    ['vgate.tunnel.v2', 'the client speaks 2', 'the gateway is the older one'],
    ['vgate.tunnel.v0', 'the client speaks 0', 'the client is the older one: update vgate'],
  ])('%s is told what both speak', async (subprotocol, message, hint) => {
    const answer = await openRawWebSocket(port, [`Sec-WebSocket-Protocol: ${subprotocol}`]).then(
      () => expect.fail('was not refused'),
      (error: Error) => error.message,
    )
    expect(answer).toContain('HTTP/1.1 426 ')
    expect(answer).toContain('"code":"VGATE_VERSION_UNSUPPORTED"')
    expect(answer).toContain(message)
    expect(answer).toContain(hint)
  })

  it('that speaks ours too is served', async () => {
    const tunnel = await openRawWebSocket(port, [
      'Sec-WebSocket-Protocol: vgate.tunnel.v2, vgate.tunnel.v1',
    ])
    tunnel.socket.destroy()
  })
})
