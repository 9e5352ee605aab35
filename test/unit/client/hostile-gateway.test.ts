// A gateway that breaks the rules: each time its tunnel ends with the reason, nothing piles up, and another tunnel of the
// same process goes on. And a thousand streams in one tunnel.

import { once } from 'node:events'
import { createServer, connect as dialTcp, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { WebSocket } from 'ws'
import { tieSocket } from '../../../src/client/stream-socket.js'
import { dialTunnel, openSession, type Tunnel } from '../../../src/client/tunnel-client.js'
import type { VgateError } from '../../../src/core/errors.js'
import { encodeFrame, type FrameType, TYPE } from '../../../src/tunnel/frame.js'
import type { MuxStream } from '../../../src/tunnel/stream.js'
import { type FakeGateway, type FakeTunnel, startFakeGateway } from '../../support/fake-gateway.js'

const MIB = 1024 * 1024
const closing: (() => Promise<unknown>)[] = []
let gateway: FakeGateway

beforeEach(async () => {
  gateway = await startFakeGateway({ maxStreams: 1_000 })
  closing.push(() => gateway.close())
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Side {
  readonly tunnel: Tunnel
  readonly remote: FakeTunnel
  readonly lost: Promise<VgateError>
}

async function open(): Promise<Side> {
  const socket = await dialTunnel({ url: gateway.url }, 'token')
  let lose: (error: VgateError) => void = () => undefined
  const lost = new Promise<VgateError>((resolve) => {
    lose = resolve
  })
  const tunnel = await openSession(
    socket,
    {
      type: 'open_session',
      grant: 'grt_1',
      client: { version: '0', platform: 'test', command: 'connect' },
      secret: { iterations: 4096, salt: '', storedKey: '', serverKey: '' },
    },
    { message: () => undefined, lost: (error) => lose(error) },
  )
  closing.push(() => tunnel.close())
  return { tunnel, remote: gateway.tunnels.at(-1) ?? expect.fail(), lost }
}

async function listen(tunnel: Tunnel): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) =>
    tieSocket(tunnel.mux, 'postgres', socket),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  return (server.address() as { port: number }).port
}

async function dial(port: number): Promise<Socket> {
  const socket = dialTcp({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  closing.push(async () => socket.destroy())
  return socket
}

async function echoes(port: number, text: string): Promise<string> {
  const socket = await dial(port)
  socket.end(text)
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

const raw = (stream: number, type: number, argument = 0, length = 0): Buffer =>
  encodeFrame(stream, type as FrameType, argument, Buffer.alloc(length, 0x61))
const times = (count: number, message: Buffer) => (socket: WebSocket) => {
  for (let left = count; left > 0; left -= 1) socket.send(message)
}

describe('a hostile gateway', () => {
  it.each<[string, (socket: WebSocket) => void, string]>([
    ['an unknown frame type', times(1, raw(1, 99)), 'unknown frame type 99'],
    ['a text message', (socket) => socket.send('hello'), 'a text message'],
    ['data for a stream never opened', times(1, raw(9, TYPE.DATA, 0, 1)), 'which was never opened'],
    [
      'a stream of its own',
      (socket) => socket.send(encodeFrame(2, TYPE.OPEN, 0, Buffer.from('postgres'))),
      'may not open streams',
    ],
    [
      'more than the window',
      times(17, raw(1, TYPE.DATA, 0, 16_384)),
      'exceeds its window of 262144 bytes',
    ],
    ['credit that was not spent', times(1, raw(1, TYPE.CREDIT, 1_000)), 'exceeds what was sent'],
    ['two ends', times(2, raw(1, TYPE.END)), 'second END on stream 1'],
    ['control without end', times(17, raw(0, TYPE.CONTROL, 1, 16_384)), 'longer than 262144 bytes'],
    ['tiny fragments of control', times(1, raw(0, TYPE.CONTROL, 1, 1)), 'that is not full'],
    ['control that is not JSON', times(1, raw(0, TYPE.CONTROL, 0, 10)), 'not JSON in UTF-8'],
  ])('that sends %s loses its tunnel, with the reason, and no other', async (_, attack, reason) => {
    const other = await open()
    const otherPort = await listen(other.tunnel)
    gateway.onStream = (stream: MuxStream) =>
      stream.attach({ data: () => {}, end: () => {}, reset: () => {}, drain: () => {} })
    const { tunnel, remote, lost } = await open()
    // Nobody reads: nothing of the window comes back.
    tunnel.mux.open('postgres', { data() {}, end() {}, reset() {}, drain() {} })
    await expect.poll(() => remote.mux.size, { timeout: 10_000 }).toBe(1)
    attack(remote.socket)
    const error = await lost
    expect(error.message).toContain(reason)
    expect(tunnel.mux.size).toBe(0)
    gateway.onStream = (stream) => {
      stream.attach({
        data: (bytes) => void stream.write(bytes),
        end: () => stream.end(),
        reset: () => {},
        drain: () => {},
      })
    }
    expect(await echoes(otherPort, 'still here')).toBe('still here')
  })

  it.each<[string, Buffer]>([
    [
      'messages that it does not know',
      encodeFrame(0, TYPE.CONTROL, 0, Buffer.from('{"type":"later"}')),
    ],
    ['pings', raw(0, TYPE.PING)],
    ['frames for a stream that is over', raw(1, TYPE.DATA, 0, 16_384)],
  ])('that floods with %s costs no memory', async (_, message) => {
    const { tunnel, remote } = await open()
    const port = await listen(tunnel)
    expect(await echoes(port, 'first')).toBe('first')
    await expect.poll(() => tunnel.mux.size, { timeout: 10_000 }).toBe(0)
    const before = process.memoryUsage().rss
    for (let round = 0; round < 40; round += 1) {
      for (let left = 100; left > 0; left -= 1) remote.socket.send(message)
      await expect
        .poll(() => remote.socket.bufferedAmount, { interval: 1, timeout: 10_000 })
        .toBe(0)
    }
    // Both ends live in this process: 64 MB went by.
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB)
    expect(await echoes(port, 'again')).toBe('again')
  })
})

it('a tunnel carries a thousand streams at once, each with its own bytes', {
  timeout: 60_000,
}, async () => {
  const { tunnel } = await open()
  const port = await listen(tunnel)
  const sockets = await Promise.all(Array.from({ length: 1_000 }, () => dial(port)))
  for (const [index, socket] of sockets.entries()) socket.write(`stream ${index}`)
  const answers = sockets.map(async (socket) => String((await once(socket, 'data'))[0]))
  expect(await Promise.all(answers)).toEqual(sockets.map((_, index) => `stream ${index}`))
  expect(tunnel.mux.size).toBe(1_000)
  const refused = await dial(port)
  refused.resume()
  await once(refused, 'end')
})
