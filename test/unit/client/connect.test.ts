// The client against a real WebSocket server that speaks the mux: connect, bytes, backpressure, ends.

import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer, connect as dial, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Closed,
  type ConnectEvent,
  type Connection,
  type ConnectOptions,
  connect,
  exitCodeOf,
} from '../../../src/client/connect.js'
import { GatewayApi } from '../../../src/client/gateway-api.js'
import { memoryStore } from '../../../src/client/keychain.js'
import { stablePort } from '../../../src/client/local-port.js'
import { RuntimeFile } from '../../../src/client/runtime-file.js'
import { accessToken, type LoginContext, saveLogin } from '../../../src/client/session-token.js'
import { StateDir } from '../../../src/client/state-dir.js'
import { RESET } from '../../../src/tunnel/stream.js'
import { type FakeGateway, PRINCIPAL, startFakeGateway } from '../../support/fake-gateway.js'

let gateway: FakeGateway
let context: LoginContext
let folder: string
const open: Connection[] = []

beforeEach(async () => {
  gateway = await startFakeGateway()
  folder = mkdtempSync(join(tmpdir(), 'vgate-'))
  context = { gateway: { url: gateway.url }, state: new StateDir(folder), store: memoryStore() }
  await saveLogin(context, {
    provider: { name: 'corp', issuer: 'http://127.0.0.1:1', clientId: 'vgate-cli', scopes: [] },
    accessToken: 'token-0',
    expiresAt: new Date(Date.now() + 900_000).toISOString(),
    principal: { ...PRINCIPAL, kind: 'person' },
  })
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.stop()))
  await gateway.close()
  rmSync(folder, { recursive: true, force: true })
})

async function start(
  change: Partial<ConnectOptions> = {},
  events: ConnectEvent[] = [],
): Promise<Connection> {
  const api = new GatewayApi(context.gateway, () => accessToken(context))
  const options: ConnectOptions = {
    request: { target: 'prod-vectors' },
    command: 'connect',
    version: '0.1.0',
    newSecret: false,
    reconnectMs: 0,
    wait: true,
    ...change,
  }
  const connection = await connect(context, api, options, (event) => events.push(event))
  open.push(connection)
  return connection
}

async function dialLocal(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = dial({ port, host, allowHalfOpen: true })
  await once(socket, 'connect')
  return socket
}

/** Resolves with the code of a refusal; fails when there is none. */
async function refusal(
  work: Promise<unknown>,
): Promise<{ code: unknown; message: string; exit: unknown }> {
  return work.then(
    () => expect.fail('was not refused'),
    (error: Error & { code?: unknown; faces?: { exit: unknown } }) => ({
      code: error.code,
      message: error.message,
      exit: error.faces?.exit,
    }),
  )
}

describe('connect', () => {
  it('is ready on the stable port, with the environment of the database', async () => {
    const { ready } = await start()
    const port = stablePort(gateway.url, 'prod-vectors', PRINCIPAL.id)
    expect(ready).toMatchObject({
      session: 'ses_1',
      target: 'prod-vectors',
      host: '127.0.0.1',
      port,
      endpoints: { postgres: `127.0.0.1:${port}` },
    })
    expect(ready.env).toMatchObject({
      PGHOST: '127.0.0.1',
      PGPORT: String(port),
      PGDATABASE: 'vectors',
      PGSSLMODE: 'disable',
    })
    expect(ready.notes).toEqual(['owner needs approval'])
    expect(gateway.tunnels[0]?.opened).toMatchObject({
      grant: 'grt_1',
      client: { command: 'connect', version: '0.1.0' },
      secret: { iterations: 4096 },
    })
    // The secret stays here: the gateway has a verifier.
    expect(JSON.stringify(gateway.tunnels[0]?.opened)).not.toContain(ready.env['PGPASSWORD'])
  })

  it('listens on every loopback family', async () => {
    const { ready } = await start()
    const sockets = [
      await dialLocal(ready.port),
      await dialLocal(ready.port, '::1').catch(() => undefined),
    ]
    const { networkInterfaces } = await import('node:os')
    const six = Object.values(networkInterfaces())
      .flat()
      .some((address) => address?.address === '::1')
    expect(sockets[1] !== undefined).toBe(six)
    for (const socket of sockets) socket?.destroy()
  })

  it('carries bytes both ways and the half-close', async () => {
    const { ready } = await start()
    const socket = await dialLocal(ready.port)
    socket.end('hello')
    const parts: Buffer[] = []
    for await (const part of socket) parts.push(part as Buffer)
    expect(Buffer.concat(parts).toString()).toBe('hello')
  })

  it('streams 50 MB beside a stalled stream, in bounded memory', { timeout: 60_000 }, async () => {
    const { ready } = await start()
    const stalled = await dialLocal(ready.port)
    stalled.pause()
    // More than the windows and the kernel hold: the echo of it cannot all come back while nobody reads.
    let taken = 0
    const block = Buffer.alloc(64 * 1024, 1)
    const push = (): void => {
      while (taken < 64 * 1024 * 1024) {
        taken += block.length
        if (!stalled.write(block)) return void stalled.once('drain', push)
      }
    }
    push()
    const total = 50 * 1024 * 1024
    const socket = await dialLocal(ready.port)
    const before = process.memoryUsage()
    let sent = 0
    let got = 0
    let wrong = 0
    let peak = 0
    const chunk = Buffer.alloc(64 * 1024)
    for (let at = 0; at < chunk.length; at += 1) chunk[at] = at % 251
    const send = (): void => {
      while (sent < total) {
        sent += chunk.length
        if (!socket.write(chunk)) return void socket.once('drain', send)
      }
      socket.end()
    }
    send()
    for await (const part of socket as AsyncIterable<Buffer>) {
      if (part[0] !== (got % chunk.length) % 251) wrong += 1
      got += part.length
      const { arrayBuffers } = process.memoryUsage()
      peak = Math.max(peak, arrayBuffers - before.arrayBuffers)
    }
    expect({ got, wrong }).toEqual({ got: total, wrong: 0 })
    expect(peak).toBeLessThan(48 * 1024 * 1024)
    expect(taken).toBeLessThan(32 * 1024 * 1024)
    stalled.destroy()
  })

  it('keeps its secret, and replaces it when asked', async () => {
    const first = await start()
    await first.stop()
    const second = await start()
    expect(second.ready.env['PGPASSWORD']).toBe(first.ready.env['PGPASSWORD'])
    await second.stop()
    const third = await start({ newSecret: true })
    expect(third.ready.env['PGPASSWORD']).not.toBe(first.ready.env['PGPASSWORD'])
    expect(third.ready.env['PGPASSWORD']).toMatch(/^[\w-]{32}$/)
  })

  it('leaves a private note while it runs, and none after', async () => {
    const connection = await start()
    const file = new RuntimeFile(context.state, gateway.url, 'prod-vectors')
    expect(statSync(file.path).mode & 0o777).toBe(0o600)
    expect(await file.read()).toMatchObject({ pid: process.pid, port: connection.ready.port })
    await connection.stop()
    expect(existsSync(file.path)).toBe(false)
    expect(await connection.closed).toEqual({ reason: 'stopped' })
    expect(gateway.closedSessions()).toBe(1)
  })

  it('refuses a second connect, naming the process', async () => {
    await context.state.write(
      {
        v: 1,
        pid: process.ppid,
        gateway: gateway.url,
        target: 'prod-vectors',
        session: 's',
        host: 'h',
        port: 20001,
        url: 'u',
        env: {},
        expires_at: 'x',
      },
      'run',
      new RuntimeFile(context.state, gateway.url, 'prod-vectors').path.split('/').at(-1) ?? '',
    )
    expect(await refusal(start())).toEqual({
      code: 'VGATE_ALREADY_CONNECTED',
      message: `already connected to prod-vectors on port 20001 by process ${process.ppid}`,
      exit: 1,
    })
  })

  it('refuses a port that another program has, and leaves nothing open', async () => {
    const port = stablePort(gateway.url, 'prod-vectors', PRINCIPAL.id)
    const other = createServer().listen(port, '127.0.0.1')
    await once(other, 'listening')
    expect(await refusal(start())).toEqual({
      code: 'VGATE_PORT_IN_USE',
      message: `port ${port} is in use by another program`,
      exit: 1,
    })
    expect(gateway.closedSessions()).toBe(1)
    other.close()
  })

  it.each([
    '0.0.0.0',
    '192.168.1.4',
    '::',
    'example.com',
    '127.0.0.1.example.com',
  ])('refuses to listen on %s', async (bind) => {
    expect(await refusal(start({ bind }))).toMatchObject({ code: 'VGATE_USAGE', exit: 2 })
  })

  it('listens on a private unix socket', async () => {
    const path = join(folder, '.s.PGSQL.5432')
    const { ready } = await start({ socket: path })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(ready).toMatchObject({ host: folder, port: 5432 })
    const socket = dial(path)
    socket.write('x')
    expect(String((await once(socket, 'data'))[0])).toBe('x')
    socket.destroy()
  })

  it('gives exec a free port, a secret of its own and no note', async () => {
    const one = await start({ command: 'exec' })
    const two = await start({ command: 'exec' })
    expect(one.ready.port).not.toBe(two.ready.port)
    expect(one.ready.env['PGPASSWORD']).not.toBe(two.ready.env['PGPASSWORD'])
    expect(await new RuntimeFile(context.state, gateway.url, 'prod-vectors').read()).toBeUndefined()
  })
})

describe('the end of a connection', () => {
  it.each([
    ['expired', 0],
    ['revoked', 5],
    ['stopped', 8],
    ['upstream_lost', 9],
    ['gateway_lost', 8],
    ['error', 1],
  ] as const)('by the gateway with %s exits with %i', async (reason, exit) => {
    const connection = await start()
    gateway.tunnels[0]?.tell({ type: 'end', reason, message: 'it is over' })
    const closed = await connection.closed
    expect(closed).toMatchObject({ reason, error: { message: 'it is over' } })
    expect(exitCodeOf(closed)).toBe(exit)
  })

  it('takes the exit code of the error that the gateway names', () => {
    const closed: Closed = { reason: 'error' }
    expect(exitCodeOf(closed)).toBe(1)
  })

  it('is gateway_lost when the tunnel breaks, and cuts what is open', async () => {
    const connection = await start()
    const socket = await dialLocal(connection.ready.port)
    socket.resume()
    const ended = once(socket, 'close')
    gateway.tunnels[0]?.socket.terminate()
    expect(await connection.closed).toMatchObject({
      reason: 'gateway_lost',
      error: { code: 'VGATE_GATEWAY_UNREACHABLE' },
    })
    socket.end()
    await ended
  })

  it('closes the tunnel with 1002 when the gateway breaks its rules', async () => {
    const connection = await start()
    const code = new Promise((resolve) => gateway.tunnels[0]?.socket.on('close', resolve))
    gateway.tunnels[0]?.socket.send(Buffer.alloc(3))
    expect(await code).toBe(1002)
    expect((await connection.closed).error?.message).toContain('shorter than a header')
  })

  it('drops what a stalled client has not taken half a second after a reset', async () => {
    gateway.onStream = (stream) => {
      stream.attach({ data: () => {}, end: () => {}, drain: () => {}, reset: () => {} })
      stream.write(Buffer.alloc(128 * 1024))
      stream.end()
      queueMicrotask(() => stream.reset(RESET.ENDED, 'cut'))
    }
    const connection = await start()
    const socket = await dialLocal(connection.ready.port)
    socket.on('error', () => {})
    socket.pause()
    const from = Date.now()
    await new Promise<void>((resolve) => {
      const poll = setInterval(() => {
        socket.write('x', (error) => {
          if (!error) return
          clearInterval(poll)
          resolve()
        })
      }, 20)
    })
    expect(Date.now() - from).toBeLessThan(3_000)
    socket.destroy()
  })

  it('tells what happens while it runs', async () => {
    const events: ConnectEvent[] = []
    const connection = await start({}, events)
    gateway.tunnels[0]?.tell({
      type: 'denied',
      operation: 'drop',
      rule: 'default deny',
      message: 'no',
    })
    gateway.tunnels[0]?.tell({ type: 'expiring', expires_at: '2026-01-01T00:00:00.000Z' })
    gateway.tunnels[0]?.tell({ type: 'end', reason: 'expired', message: 'over' })
    await connection.closed
    expect(events).toEqual([
      { event: 'denied', operation: 'drop', rule: 'default deny', message: 'no' },
      { event: 'expiring', expires_at: '2026-01-01T00:00:00.000Z' },
    ])
  })
})

describe('a refusal', () => {
  it('of the grant keeps code, message and exit', async () => {
    expect(await refusal(start({ request: { target: 'nope' } }))).toEqual({
      code: 'VGATE_TARGET_UNKNOWN',
      message: 'no target nope is open to you',
      exit: 2,
    })
  })

  it('of the upgrade keeps code and message', async () => {
    gateway.refuseTunnel = [
      401,
      { error: { code: 'VGATE_TOKEN_EXPIRED', message: 'the token has ended' } },
    ]
    expect(await refusal(start())).toEqual({
      code: 'VGATE_TOKEN_EXPIRED',
      message: 'the token has ended',
      exit: 4,
    })
  })

  it('of the session keeps code and message', async () => {
    gateway.onOpen = (tunnel) =>
      tunnel.tell({
        type: 'end',
        reason: 'error',
        code: 'VGATE_REVOKED',
        message: 'revoked meanwhile',
      })
    expect(await refusal(start())).toEqual({
      code: 'VGATE_REVOKED',
      message: 'revoked meanwhile',
      exit: 5,
    })
  })

  it('of the connection names the address', async () => {
    await gateway.close()
    expect(await refusal(start())).toEqual({
      code: 'VGATE_GATEWAY_UNREACHABLE',
      message: `cannot reach ${gateway.url}: nothing listens there`,
      exit: 8,
    })
    gateway = await startFakeGateway()
  })
})
