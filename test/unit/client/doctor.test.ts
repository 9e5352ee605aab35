// What the doctor says of each trouble, and what to do: against a real server with real certificates, the clock an
// argument, and a keychain that is not there or does not answer.

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { checkStore, examineGateway, type Finding } from '../../../src/client/doctor.js'
import { memoryStore, openTokenStore } from '../../../src/client/keychain.js'
import { stablePort } from '../../../src/client/local-port.js'
import { saveLogin } from '../../../src/client/session-token.js'
import { StateDir } from '../../../src/client/state-dir.js'
import {
  type Minted,
  mintAuthority,
  mintCertificate,
} from '../../../src/gateway/mint-certificate.js'
import { selfSignedCertificate } from '../../support/certificates.js'
import { type ConnectProxy, startConnectProxy } from '../../support/connect-proxy.js'
import { type FakeGateway, PRINCIPAL, startFakeGateway } from '../../support/fake-gateway.js'

const keychain = vi.hoisted(() => ({ ask: async (): Promise<string | undefined> => undefined }))
vi.mock('@napi-rs/keyring', () => ({
  AsyncEntry: class {
    getPassword = (): Promise<string | undefined> => keychain.ask()
  },
}))

const NAMES = ['localhost', 'gateway.test', '127.0.0.1']
const YEAR_MS = 31_536_000_000
const PROXIES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'NO_PROXY', 'no_proxy']

let folder: string
const good = selfSignedCertificate(['gateway.test'], 'good authority')
const foreign = selfSignedCertificate(['gateway.test'], 'corporate proxy')
const closing: (() => Promise<unknown>)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-'))
  for (const name of PROXIES) vi.stubEnv(name, '')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const close of closing.splice(0)) await close()
  rmSync(folder, { recursive: true, force: true })
})

async function serve(options: Parameters<typeof startFakeGateway>[0] = {}): Promise<FakeGateway> {
  const gateway = await startFakeGateway(options)
  closing.push(() => gateway.close())
  return gateway
}

async function proxied(): Promise<ConnectProxy> {
  const proxy = await startConnectProxy()
  closing.push(() => proxy.close())
  vi.stubEnv('HTTPS_PROXY', `http://me:word@127.0.0.1:${proxy.port}`)
  return proxy
}

/** All findings about the gateway at this address, as one who is logged in. */
async function examine(
  url: string,
  more: { ca?: string; ahead?: number; target?: string } = {},
): Promise<Finding[]> {
  const gateway = { url, ...(more.ca === undefined ? {} : { ca: more.ca }) }
  const context = { gateway, state: new StateDir(folder), store: memoryStore() }
  await saveLogin(context, {
    provider: { name: 'corp', issuer: 'http://127.0.0.1:1', clientId: 'vgate-cli', scopes: [] },
    accessToken: 'token-0',
    expiresAt: new Date(Date.now() + 900_000).toISOString(),
    principal: { ...PRINCIPAL, kind: 'person' },
  })
  const findings: Finding[] = []
  const options = {
    now: () => Date.now() + (more.ahead ?? 0),
    version: '0.1.0',
    ...(more.target === undefined ? {} : { target: more.target }),
  }
  for await (const finding of examineGateway(context, options)) findings.push(finding)
  return findings
}

const named = (findings: readonly Finding[], check: string): Finding =>
  findings.find((one) => one.check === check) ??
  expect.fail(`no ${check}: ${JSON.stringify(findings)}`)

describe('the clock', () => {
  it.each([
    [
      600_000,
      'fail',
      'the clock of this machine is 10 min ahead of the gateway: logins are refused',
    ],
    [
      -600_000,
      'fail',
      'the clock of this machine is 10 min behind the gateway: logins are refused',
    ],
    [45_000, 'warn', 'the clock of this machine is 45 s ahead of the gateway'],
    [2_000, 'ok', '2 s ahead of the gateway'],
  ])('that is %d ms ahead is named as such', async (ahead, status, message) => {
    const { url } = await serve()
    const clock = named(await examine(url, { ahead }), 'clock')
    expect([clock.status, clock.message]).toEqual([status, message])
    if (status !== 'ok') expect(clock.hint).toContain('set it by the network (NTP)')
  })
})

describe('versions', () => {
  it.each([
    [[2, 3], 'this vgate is the older one: update it'],
    [
      [0],
      'the gateway is the older one: ask its administrator to update it, or use an older vgate',
    ],
  ])('of a gateway that speaks %j', async (versions, hint) => {
    const { url } = await serve({ versions })
    expect((await examine(url)).at(-1)).toMatchObject({
      check: 'versions',
      status: 'fail',
      code: 'VGATE_VERSION_UNSUPPORTED',
      message: expect.stringContaining(`speaks API version ${versions.join(', ')}, and this vgate`),
      hint,
    })
  })
})

describe('the keychain', () => {
  it.each([
    ['is absent', () => Promise.reject(new Error('no D-Bus here\n at x')), 'no D-Bus here'],
    [
      'does not answer',
      () => new Promise<never>(() => {}),
      'no answer within 2 s; it may be locked',
    ],
  ])('that %s: where the login is instead, and what to do', async (_, ask, why) => {
    keychain.ask = ask
    const state = new StateDir(folder)
    const found = checkStore(await openTokenStore(state, {}))
    expect(found).toEqual({
      check: 'keychain',
      status: 'warn',
      message: `not in use (${why}); no keychain here: the login is kept in ${folder}/tokens.json, readable by you alone`,
      hint: 'unlock or install a keychain, or set VGATE_TOKEN_STORE=file to agree',
    })
    await expect(openTokenStore(state, { VGATE_TOKEN_STORE: 'keychain' })).rejects.toMatchObject({
      message: `the operating system has no keychain that answers: ${why}`,
      hint: 'unlock it, or set VGATE_TOKEN_STORE=file',
    })
  })

  it('that answers is used', async () => {
    keychain.ask = async () => undefined
    const found = checkStore(await openTokenStore(new StateDir(folder), {}))
    expect(found).toMatchObject({ status: 'ok', message: 'logins are kept in: keychain' })
  })
})

describe('the certificate', () => {
  const last = async (tls: Minted, ca?: string): Promise<Finding | undefined> => {
    const { url } = await serve({ tls })
    return (await examine(url, ca === undefined ? {} : { ca })).at(-1)
  }

  it('that has ended: since when, and whom to tell', async () => {
    const authority = mintAuthority(NAMES, Date.now() - 3 * YEAR_MS)
    const old = mintCertificate(authority, NAMES, Date.now() - 2 * YEAR_MS)
    expect(await last(old, authority.cert)).toMatchObject({
      check: 'certificate',
      status: 'fail',
      message: expect.stringMatching(/^the certificate ended on \w{3} .* GMT$/),
      hint: expect.stringContaining('tell the administrator'),
    })
  })

  it('for another name: which it is for', async () => {
    const { port } = new URL((await serve({ tls: good })).url)
    await proxied()
    const findings = await examine(`https://other.test:${port}`, { ca: good.cert })
    expect(findings.at(-1)).toMatchObject({
      message: expect.stringMatching(/^the certificate is for DNS:.*, and not for other.test$/),
      hint: expect.stringContaining('use the name that the gateway calls its own'),
    })
  })

  it('of an authority that is not the one named: an intercepting proxy', async () => {
    expect(await last(foreign, good.cert)).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('a proxy intercepts the connection'),
      hint: expect.stringContaining('ask the network team for an exception'),
    })
    expect(await last(foreign)).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('which is not trusted here'),
      hint: expect.stringContaining('--ca FILE'),
    })
  })
})

describe('the proxy', () => {
  it('is the way that the doctor goes, says so, and never shows its password', async () => {
    const { port } = new URL((await serve({ tls: good })).url)
    const proxy = await proxied()
    const findings = await examine(`https://gateway.test:${port}`, { ca: good.cert })
    expect(findings[0]).toEqual({
      check: 'proxy',
      status: 'ok',
      message: `gateway.test:${port} is reached through http://127.0.0.1:${proxy.port}, as HTTPS_PROXY says`,
    })
    expect(named(findings, 'certificate').status).toBe('ok')
    expect(named(findings, 'targets')).toMatchObject({ status: 'ok', message: 'prod-vectors' })
    expect(new Set(proxy.asked)).toEqual(new Set([`gateway.test:${port}`]))
    expect(new Set(proxy.credentials)).toEqual(
      new Set([`Basic ${Buffer.from('me:word').toString('base64')}`]),
    )
    expect(JSON.stringify(findings)).not.toContain('word')
  })

  it('that ends TLS itself is recognised, and gets no request', async () => {
    const between = await serve({ tls: foreign })
    await proxied()
    const url = `https://gateway.test:${new URL(between.url).port}`
    expect((await examine(url, { ca: good.cert })).at(-1)).toMatchObject({
      check: 'certificate',
      message: expect.stringContaining('a proxy intercepts the connection'),
    })
    expect(between.bearers).toEqual([])
  })

  it.each([
    [407, 'put user and password into HTTPS_PROXY: http://user:password@host:port'],
    [403, 'ask who runs the proxy to let you through, or name the gateway in NO_PROXY'],
  ])('that refuses with %d: what to do', async (status, hint) => {
    const proxy = await proxied()
    proxy.refuse = status
    expect(await examine('https://gateway.test:8443')).toEqual([
      {
        check: 'proxy',
        status: 'fail',
        code: 'VGATE_GATEWAY_UNREACHABLE',
        message: `the proxy http://127.0.0.1:${proxy.port} refused the way with status ${status}`,
        hint,
      },
    ])
  })

  it.each([
    [
      'http://me:word@127.0.0.1:1',
      'the proxy http://127.0.0.1:1 cannot be reached: nothing listens there',
    ],
    ['socks5://me:word@127.0.0.1:1', 'HTTPS_PROXY or HTTP_PROXY is not an http address'],
  ])('that is %s', async (setting, message) => {
    vi.stubEnv('HTTPS_PROXY', setting)
    const findings = await examine('https://gateway.test:8443')
    expect(findings).toMatchObject([{ check: 'proxy', status: 'fail', message }])
    expect(JSON.stringify(findings)).not.toContain('word')
  })

  it('is left out for an address in NO_PROXY', async () => {
    const proxy = await proxied()
    vi.stubEnv('NO_PROXY', 'gateway.invalid')
    expect(await examine('https://gateway.invalid:8443')).toMatchObject([
      { check: 'name', status: 'fail', message: 'gateway.invalid does not resolve' },
    ])
    expect(proxy.asked).toEqual([])
  })
})

describe('targets and ports', () => {
  it('a target that is not open to you', async () => {
    const { url } = await serve()
    expect((await examine(url, { target: 'elsewhere' })).at(-1)).toMatchObject({
      check: 'targets',
      code: 'VGATE_TARGET_UNKNOWN',
      message: 'no target "elsewhere" is open to you',
      hint: 'see `vgate targets`',
    })
  })

  it('no target at all', async () => {
    const gateway = await serve()
    gateway.routes.set('GET /v1/targets', () => [200, { targets: [] }])
    expect(named(await examine(gateway.url), 'targets')).toMatchObject({
      status: 'warn',
      message: 'no target is open to you',
      hint: 'ask the administrator of the gateway for a rule with one of your groups',
    })
  })

  it('a port that another program holds', async () => {
    const { url } = await serve()
    const port = stablePort(url, 'prod-vectors', PRINCIPAL.id)
    const thief = createServer()
    closing.push(() => new Promise((resolve) => thief.close(resolve)))
    await new Promise<void>((resolve) => thief.listen(port, '127.0.0.1', resolve))
    expect((await examine(url)).at(-1)).toMatchObject({
      check: 'port prod-vectors',
      code: 'VGATE_PORT_IN_USE',
      message: expect.stringMatching(new RegExp(`^${port} is taken by `)),
      hint: 'end it, or use `vgate connect prod-vectors --port N`',
    })
  })
})
