// How a client comes back: waits that are spread, an end in time, answers that end it, and the whole of it over a real
// WebSocket that is cut.

import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect as dialTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type ConnectEvent,
  type Connection,
  connect,
  exitCodeOf,
} from '../../../src/client/connect.js'
import { GatewayApi } from '../../../src/client/gateway-api.js'
import { memoryStore } from '../../../src/client/keychain.js'
import {
  giveUpMs,
  LONGEST_WAIT_MS,
  redial,
  SHORTEST_WAIT_MS,
  waitBefore,
} from '../../../src/client/redial.js'
import { accessToken, type LoginContext, saveLogin } from '../../../src/client/session-token.js'
import { StateDir } from '../../../src/client/state-dir.js'
import { VgateError } from '../../../src/core/errors.js'
import { type FakeGateway, PRINCIPAL, startFakeGateway } from '../../support/fake-gateway.js'

const lost = new VgateError('VGATE_GATEWAY_UNREACHABLE', 'gone')

describe('the wait', () => {
  it('lies between 0.2 s and 10 s, and its ceiling doubles', () => {
    expect(
      [0, 1, 2, 3, 4, 5, 400].map((attempt) => Math.round(waitBefore(attempt, 0.999999))),
    ).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
    expect([0, 4, 400].map((attempt) => waitBefore(attempt, 0))).toEqual([200, 200, 200])
    expect([SHORTEST_WAIT_MS, LONGEST_WAIT_MS]).toEqual([200, 10_000])
  })

  it('spreads 100 tunnels of a gateway that starts again: no tenth of a second sees more than a quarter', () => {
    // A fixed sequence in place of randomness (mulberry32), so that the test cannot fail by chance.
    let seed = 7
    const random = (): number => {
      seed = (seed + 0x6d2b79f5) | 0
      let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    }
    const slots = new Map<number, number>()
    for (let tunnel = 0; tunnel < 100; tunnel += 1) {
      let at = 0
      for (let attempt = 0; attempt < 6; attempt += 1) {
        at += waitBefore(attempt, random())
        const slot = Math.floor(at / 100)
        slots.set(slot, (slots.get(slot) ?? 0) + 1)
      }
    }
    expect(Math.max(...slots.values())).toBeLessThanOrEqual(25)
    expect(slots.get(0) ?? 0).toBe(0)
  })

  it('is set by VGATE_RECONNECT in seconds', () => {
    expect([giveUpMs(undefined), giveUpMs(''), giveUpMs('0'), giveUpMs('90')]).toEqual([
      30_000, 30_000, 0, 90_000,
    ])
    expect(() => giveUpMs('2m')).toThrow(/VGATE_RECONNECT is not a number of seconds/)
  })
})

describe('redialling', () => {
  const options = {
    atOnce: true,
    now: () => 0,
    random: () => 0,
    signal: new AbortController().signal,
  }

  it('goes on through passing failures, and answers with what works', async () => {
    const failures = ['VGATE_GATEWAY_UNREACHABLE', 'VGATE_STORE_UNAVAILABLE'] as const
    let tries = 0
    const dial = async (): Promise<string> => {
      const code = failures[tries]
      tries += 1
      if (code !== undefined) throw new VgateError(code, 'not yet')
      return 'back'
    }
    expect(await redial(lost, { ...options, until: 60_000, dial })).toBe('back')
    expect(tries).toBe(3)
  })

  it.each([
    'VGATE_REVOKED',
    'VGATE_GRANT_ENDED',
    'VGATE_LOGIN_REQUIRED',
    'VGATE_DENIED',
  ] as const)('ends with %s, which is an answer', async (code) => {
    let tries = 0
    const dial = async (): Promise<never> => {
      tries += 1
      throw new VgateError(code, 'no')
    }
    await expect(redial(lost, { ...options, until: 60_000, dial })).rejects.toMatchObject({ code })
    expect(tries).toBe(1)
  })

  it('gives up in time, with the last failure, and never sleeps past the end', async () => {
    let at = 0
    const dial = async (): Promise<never> => {
      at += 500
      throw new VgateError('VGATE_GATEWAY_UNREACHABLE', `try at ${at}`)
    }
    await expect(
      redial(lost, { ...options, now: () => at, until: 900, dial }),
    ).rejects.toMatchObject({ message: 'try at 1000' })
    await expect(redial(lost, { ...options, atOnce: false, until: 100, dial })).rejects.toBe(lost)
    at = 0
    const starting = async (): Promise<never> => {
      at += 500
      throw new VgateError('VGATE_STORE_UNAVAILABLE', 'starting')
    }
    await expect(
      redial(lost, { ...options, now: () => at, until: 600, dial: starting }),
    ).rejects.toMatchObject({
      code: 'VGATE_GATEWAY_UNREACHABLE',
      message: 'the gateway did not come back: starting',
    })
  })

  it('stops when it is told to', async () => {
    const stop = new AbortController()
    const waiting = redial(lost, {
      ...options,
      atOnce: false,
      until: 60_000,
      signal: stop.signal,
      dial: () => expect.fail('was dialled'),
    })
    stop.abort()
    expect(await waiting).toBeUndefined()
  })
})

describe('a lost tunnel', () => {
  let gateway: FakeGateway
  let context: LoginContext
  let folder: string
  let events: ConnectEvent[]
  const open: Connection[] = []

  beforeEach(async () => {
    gateway = await startFakeGateway()
    folder = mkdtempSync(join(tmpdir(), 'vgate-'))
    events = []
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

  async function start(reconnectMs = 20_000): Promise<Connection> {
    const api = new GatewayApi(context.gateway, () => accessToken(context))
    const connection = await connect(
      context,
      api,
      {
        request: { target: 'prod-vectors' },
        command: 'connect',
        version: '0.1.0',
        newSecret: false,
        wait: true,
        reconnectMs,
      },
      (event) => events.push(event),
    )
    open.push(connection)
    return connection
  }

  async function dialLocal(port: number): Promise<Socket> {
    const socket = dialTcp({ port, host: '127.0.0.1', allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
  }

  const event = async (name: string): Promise<ConnectEvent> => {
    await expect.poll(() => events.map((one) => one.event), { timeout: 10_000 }).toContain(name)
    return events.find((one) => one.event === name) ?? expect.fail()
  }

  const numbered = (): void => {
    gateway.onOpen = (tunnel) =>
      tunnel.tell({
        type: 'session',
        session: `ses_${gateway.tunnels.length}`,
        target: 'prod-vectors',
        database: 'pgvector',
        database_name: 'vectors',
        endpoints: ['postgres'],
        expires_at: new Date(Date.now() + 3_600_000).toISOString(),
      })
  }

  it('is dialled again: what was open is cut and not sent again, the same port and secret serve on', async () => {
    numbered()
    const bytes: Buffer[] = []
    const echo = gateway.onStream
    gateway.onStream = (stream) => {
      stream.attach({
        data: (data) => bytes.push(data),
        end: () => {},
        drain: () => {},
        reset: () => {},
      })
    }
    const connection = await start()
    const socket = await dialLocal(connection.ready.port)
    const cut = once(socket, 'end')
    socket.resume()
    socket.write('INSERT once')
    await expect.poll(() => Buffer.concat(bytes).toString()).toBe('INSERT once')
    gateway.onStream = echo
    gateway.tunnels[0]?.socket.terminate()
    await cut
    socket.end()
    expect(await event('reconnecting')).toMatchObject({
      cut: 1,
      message: expect.stringContaining('the gateway is gone'),
    })
    expect(await event('reconnected')).toMatchObject({ session: 'ses_2' })
    expect(gateway.tunnels).toHaveLength(2)
    expect(gateway.tunnels[1]?.opened.grant).toBe('grt_1')
    expect(gateway.tunnels[1]?.opened.secret).toEqual(gateway.tunnels[0]?.opened.secret)
    expect(Buffer.concat(bytes).toString()).toBe('INSERT once')
    const again = await dialLocal(connection.ready.port)
    again.end('hello again')
    const parts: Buffer[] = []
    for await (const part of again) parts.push(part as Buffer)
    expect(Buffer.concat(parts).toString()).toBe('hello again')
    const noted = (): string =>
      readdirSync(join(folder, 'run'))
        .map((name) => String(readFileSync(join(folder, 'run', name))))
        .join()
    await expect.poll(noted).toContain('"session":"ses_2"')
  })

  it('closes new connections at once while there is no tunnel', async () => {
    const connection = await start()
    gateway.refuseTunnel = [
      503,
      { error: { code: 'VGATE_STORE_UNAVAILABLE', message: 'starting' } },
    ]
    gateway.tunnels[0]?.socket.terminate()
    await event('reconnecting')
    const socket = await dialLocal(connection.ready.port)
    const ended = once(socket, 'end')
    socket.resume()
    await ended
    gateway.refuseTunnel = undefined
    await event('reconnected')
  })

  it('ends when the time is over, with gateway_lost and exit 8', async () => {
    const connection = await start(1_500)
    gateway.refuseTunnel = [
      503,
      { error: { code: 'VGATE_STORE_UNAVAILABLE', message: 'starting' } },
    ]
    gateway.tunnels[0]?.socket.terminate()
    const closed = await connection.closed
    expect(closed.reason).toBe('gateway_lost')
    expect(exitCodeOf(closed)).toBe(8)
  })

  it('ends with the answer of a gateway that says revoked', async () => {
    const connection = await start()
    gateway.refuseTunnel = [403, { error: { code: 'VGATE_REVOKED', message: 'revoked by ops' } }]
    gateway.tunnels[0]?.socket.terminate()
    const closed = await connection.closed
    expect(closed).toMatchObject({ reason: 'revoked', error: { message: 'revoked by ops' } })
    expect(exitCodeOf(closed)).toBe(5)
  })

  it('is not dialled again after `end`, nor after a broken rule on either side', async () => {
    const ended = await start()
    gateway.tunnels[0]?.tell({ type: 'end', reason: 'stopped', message: 'over' })
    expect((await ended.closed).reason).toBe('stopped')
    const hostile = await start()
    gateway.tunnels[1]?.socket.send(Buffer.alloc(3))
    expect(await hostile.closed).toMatchObject({
      reason: 'gateway_lost',
      error: { message: expect.stringContaining('shorter than a header') },
    })
    const accused = await start()
    gateway.tunnels[2]?.socket.close(1002, 'tunnel: unknown frame type 99')
    expect(await accused.closed).toMatchObject({
      reason: 'gateway_lost',
      error: { message: expect.stringContaining('unknown frame type 99') },
    })
    expect(events).toEqual([])
    expect(gateway.tunnels).toHaveLength(3)
  })

  it('stops at once in the middle of reconnecting', async () => {
    const connection = await start()
    gateway.refuseTunnel = [
      503,
      { error: { code: 'VGATE_STORE_UNAVAILABLE', message: 'starting' } },
    ]
    gateway.tunnels[0]?.socket.terminate()
    await event('reconnecting')
    await connection.stop()
    expect(await connection.closed).toEqual({ reason: 'stopped' })
  })
})
