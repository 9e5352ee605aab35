// Every way out of the client goes through the proxy that the environment names, and no password is shown.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as dialTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect } from '../../../src/client/connect.js'
import { fetchBy, outboundFetch } from '../../../src/client/fetch-by.js'
import { GatewayApi } from '../../../src/client/gateway-api.js'
import { memoryStore } from '../../../src/client/keychain.js'
import { proxyFor } from '../../../src/client/proxy.js'
import { accessToken, type LoginContext, saveLogin } from '../../../src/client/session-token.js'
import { StateDir } from '../../../src/client/state-dir.js'
import { dialTunnel } from '../../../src/client/tunnel-client.js'
import { selfSignedCertificate } from '../../support/certificates.js'
import { type ConnectProxy, startConnectProxy } from '../../support/connect-proxy.js'
import { type FakeGateway, PRINCIPAL, startFakeGateway } from '../../support/fake-gateway.js'

const NAMES = ['https_proxy', 'http_proxy', 'no_proxy', 'all_proxy']
const saved = new Map<string, string | undefined>()

beforeEach(() => {
  for (const name of NAMES.flatMap((one) => [one, one.toUpperCase(), `npm_config_${one}`])) {
    saved.set(name, process.env[name])
    delete process.env[name]
  }
})
afterEach(() => {
  for (const [name, value] of saved) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
})

const origin = (url: string): string | undefined => proxyFor(new URL(url))?.origin

describe('the proxy of an address', () => {
  it.each(['HTTPS_PROXY', 'https_proxy'])('comes from %s, also for the tunnel', (name) => {
    process.env[name] = 'http://proxy.example.com:3128'
    expect(origin('https://vgate.example.com')).toBe('http://proxy.example.com:3128')
    expect(origin('wss://vgate.example.com/v1/tunnel')).toBe('http://proxy.example.com:3128')
    expect(origin('http://vgate.example.com')).toBeUndefined()
  })

  it('never stands between this machine and itself', () => {
    process.env['HTTPS_PROXY'] = 'http://proxy.example.com:3128'
    process.env['HTTP_PROXY'] = 'http://proxy.example.com:3128'
    for (const host of ['127.0.0.1:8443', '127.8.9.1', 'localhost:1', '[::1]:8443'])
      expect([origin(`https://${host}`), origin(`ws://${host}`)]).toEqual([undefined, undefined])
    expect(origin('http://issuer.example.com')).toBe('http://proxy.example.com:3128')
  })

  it.each([
    ['vgate.example.com', undefined],
    ['other.example.com', 'http://p:1'],
    ['.example.com', undefined],
    ['*.example.com', undefined],
    ['example.com', 'http://p:1'],
    ['vgate.example.com:443', undefined],
    ['vgate.example.com:8443', 'http://p:1'],
    ['*', undefined],
    ['a.test, vgate.example.com', undefined],
  ])('is left out by NO_PROXY=%s: %s', (rule, expected) => {
    process.env['https_proxy'] = 'http://p:1'
    process.env['NO_PROXY'] = rule
    expect(origin('wss://vgate.example.com')).toBe(expected)
  })

  it('has no user and password in what is shown, decoded where it is sent', () => {
    process.env['HTTPS_PROXY'] = 'http://me:p%40ss%3Aword@proxy.example.com:3128'
    const proxy = proxyFor(new URL('https://vgate.example.com'))
    expect(proxy).toEqual({
      origin: 'http://proxy.example.com:3128',
      authorization: `Basic ${Buffer.from('me:p@ss:word').toString('base64')}`,
    })
  })

  it.each([
    'socks5://p:1',
    'http://',
    'http://me:secretword@',
  ])('refuses %s without repeating it', (value) => {
    process.env['HTTPS_PROXY'] = value
    expect(() => proxyFor(new URL('https://vgate.example.com'))).toThrow(
      /^HTTPS_PROXY or HTTP_PROXY is not an http address$/,
    )
  })
})

describe('through a real proxy', () => {
  let gateway: FakeGateway
  let proxy: ConnectProxy
  let ca: string
  let url: string
  let folder: string

  beforeAll(async () => {
    const certificate = selfSignedCertificate(['gateway.test'])
    ca = certificate.cert
    gateway = await startFakeGateway({ tls: certificate })
    proxy = await startConnectProxy()
    url = `https://gateway.test:${new URL(gateway.url).port}`
    folder = mkdtempSync(join(tmpdir(), 'vgate-'))
  })
  afterAll(async () => {
    proxy.cut()
    await gateway.close()
    await proxy.close()
    rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(() => {
    proxy.refuse = undefined
    proxy.asked.length = 0
    proxy.credentials.length = 0
    process.env['HTTPS_PROXY'] = `http://me:word@127.0.0.1:${proxy.port}`
  })

  async function login(): Promise<LoginContext> {
    const context = { gateway: { url, ca }, state: new StateDir(folder), store: memoryStore() }
    await saveLogin(context, {
      provider: { name: 'corp', issuer: 'http://127.0.0.1:1', clientId: 'vgate-cli', scopes: [] },
      accessToken: 'token-0',
      expiresAt: new Date(Date.now() + 900_000).toISOString(),
      principal: { ...PRINCIPAL, kind: 'person' },
    })
    return context
  }

  it('go the control API, the tunnel and the bytes in it, and the way back after a loss', async () => {
    const context = await login()
    const api = new GatewayApi(context.gateway, () => accessToken(context))
    expect((await api.discovery()).name).toBe('vgate')
    const events: string[] = []
    const connection = await connect(
      context,
      api,
      {
        request: { target: 'prod-vectors' },
        command: 'exec',
        version: '0',
        wait: true,
        newSecret: false,
      },
      ({ event }) => events.push(event),
    )
    const said = async (): Promise<string> => {
      const socket = dialTcp({
        port: connection.ready.port,
        host: '127.0.0.1',
        allowHalfOpen: true,
      })
      await once(socket, 'connect')
      socket.end('hello')
      const parts: Buffer[] = []
      for await (const part of socket) parts.push(part as Buffer)
      return Buffer.concat(parts).toString()
    }
    expect(await said()).toBe('hello')
    proxy.cut()
    await expect.poll(() => events, { timeout: 10_000 }).toContain('reconnected')
    expect(await said()).toBe('hello')
    await connection.stop()
    const host = new URL(url).host
    expect(proxy.asked).toEqual([host, host, host, host])
    expect(new Set(proxy.credentials)).toEqual(
      new Set([`Basic ${Buffer.from('me:word').toString('base64')}`]),
    )
    expect(proxy.others).toEqual([])
  })

  it('go the calls to a provider, by openid-client and by the gateway itself', async () => {
    const answer = await fetchBy(`${url}/.well-known/vgate`, {}, ca)
    expect([answer.status, await answer.json()]).toMatchObject([200, { name: 'vgate' }])
    // The gateway trusts what Node trusts: this authority is not among it, and the proxy was the way.
    await expect(outboundFetch(`${url}/.well-known/vgate`, {})).rejects.toMatchObject({
      message: expect.stringContaining('is not trusted'),
    })
    expect(proxy.asked).toHaveLength(2)
  })

  it('a refusal names the proxy and what to do, and never the password', async () => {
    proxy.refuse = 407
    const failure = {
      code: 'VGATE_GATEWAY_UNREACHABLE',
      message: `the proxy http://127.0.0.1:${proxy.port} refused the way with status 407`,
      hint: expect.stringContaining('http://user:password@host:port'),
    }
    await expect(new GatewayApi({ url, ca }).discovery()).rejects.toMatchObject(failure)
    await expect(dialTunnel({ url, ca }, 'token')).rejects.toMatchObject(failure)
    proxy.refuse = 403
    await expect(dialTunnel({ url, ca }, 'token')).rejects.toMatchObject({
      message: expect.stringContaining('status 403'),
      hint: expect.stringContaining('NO_PROXY'),
    })
  })

  it('a proxy that is not there is named, without its password', async () => {
    process.env['HTTPS_PROXY'] = 'http://me:word@127.0.0.1:1'
    const failure = await new GatewayApi({ url, ca }).discovery().catch((error: unknown) => error)
    expect(failure).toMatchObject({
      message: `cannot reach ${url} through the proxy http://127.0.0.1:1: nothing listens there`,
      hint: expect.stringContaining('HTTPS_PROXY'),
    })
    expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain('word')
  })

  it('is not asked for a host that NO_PROXY names', async () => {
    process.env['NO_PROXY'] = 'gateway.test'
    await expect(new GatewayApi({ url, ca }).discovery()).rejects.toMatchObject({
      message: expect.stringContaining('the name does not resolve'),
    })
    expect(proxy.asked).toEqual([])
  })
})
