// The binary against a gateway in miniature: stdout, stderr and exit code apart.

import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openTokenStore } from '../../../src/client/keychain.js'
import { login as logIn } from '../../../src/client/login.js'
import { StateDir } from '../../../src/client/state-dir.js'
import { type FakeGateway, PRINCIPAL, startFakeGateway } from '../../support/fake-gateway.js'
import { type FakeProvider, startFakeProvider } from '../../support/fake-provider.js'
import { events, runCli, spawnCli, untilLine } from '../../support/run-cli.js'

let provider: FakeProvider
let gateway: FakeGateway
let folder: string

beforeEach(async () => {
  provider = await startFakeProvider()
  gateway = await startFakeGateway({ issuer: provider.issuer })
  folder = mkdtempSync(join(tmpdir(), 'vgate-cli-'))
})
afterEach(async () => {
  await gateway.close()
  await provider.close()
  rmSync(folder, { recursive: true, force: true })
})

const login = () => runCli(['login', '--gateway', gateway.url, '--json'], folder)

/** Leaves what the command leaves, without half a second for its process. */
async function loggedIn(): Promise<void> {
  const state = new StateDir(folder)
  const store = await openTokenStore(state, { VGATE_TOKEN_STORE: 'file' })
  const context = { gateway: { url: gateway.url }, state, store }
  await logIn(context, { trustNewKey: false, onDeviceCode: () => undefined })
}

describe('login, whoami, targets, logout', () => {
  it('tells the code and who logged in, and nothing else on stdout', async () => {
    const { exit, stdout, stderr } = await login()
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(events(stdout)).toEqual([
      {
        v: 1,
        event: 'device_code',
        at: expect.any(String),
        verification_uri: `${provider.issuer}/activate`,
        user_code: 'ABCD-EFGH',
        verification_uri_complete: `${provider.issuer}/activate?code=ABCD-EFGH`,
        expires_at: expect.any(String),
      },
      { v: 1, event: 'logged_in', at: expect.any(String), principal: PRINCIPAL },
    ])
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(statSync(join(folder, 'tokens.json')).mode & 0o777).toBe(0o600)
  })

  it('shows people the address and the code on stderr, and says where the login is kept', async () => {
    const { exit, stdout, stderr } = await runCli(['login', '--gateway', gateway.url], folder, {
      VGATE_TOKEN_STORE: '',
    })
    expect({ exit, stdout }, stderr).toEqual({ exit: 0, stdout: '' })
    expect(stderr).toContain('ABCD-EFGH')
    expect(stderr).toContain(
      `warning: no keychain here: the login is kept in ${folder}/tokens.json, readable by you alone`,
    )
    expect(stderr).toContain('logged in to')
  })

  it('encrypts the stored login with VGATE_STORE_KEY', async () => {
    const key = { VGATE_STORE_KEY: 'a long pass phrase' }
    await runCli(['login', '--gateway', gateway.url], folder, key)
    expect(readFileSync(join(folder, 'tokens.json'), 'utf8')).not.toContain('token-1')
    expect((await runCli(['whoami'], folder, key)).exit).toBe(0)
    const { exit, stderr } = await runCli(['whoami'], folder, { VGATE_STORE_KEY: 'another' })
    expect({ exit, first: stderr.split('\n')[0] }).toEqual({
      exit: 4,
      first: 'error: cannot read the stored login: VGATE_STORE_KEY does not open it',
    })
  })

  it.each([
    ['access_denied', 'provider corp: the login was refused'],
    ['expired_token', 'provider corp: the code was not confirmed in time'],
  ] as const)('says what %s means, exit 4', async (answer, message) => {
    provider.answer = answer
    const { exit, stdout } = await login()
    expect(exit).toBe(4)
    expect(events(stdout).at(-1)).toMatchObject({
      error: { code: 'VGATE_LOGIN_REQUIRED', message },
    })
  })

  it('names an unreachable gateway, exit 8', async () => {
    const { exit, stdout, stderr } = await runCli(
      ['login', '--gateway', 'http://127.0.0.1:1'],
      folder,
    )
    expect({ exit, stdout }).toEqual({ exit: 8, stdout: '' })
    expect(stderr).toContain('error: cannot reach http://127.0.0.1:1: nothing listens there\n')
    expect(stderr).toContain('VGATE_GATEWAY_UNREACHABLE')
  })

  it('names an unreachable provider, exit 8', async () => {
    await provider.close()
    const { exit, stdout } = await login()
    expect(exit).toBe(8)
    expect(events(stdout).at(-1)).toMatchObject({
      error: { message: `cannot reach ${provider.issuer}: nothing listens there` },
    })
    provider = await startFakeProvider()
  })

  it.each([
    ['http://vgate.example.com', 'plain http to vgate.example.com is refused'],
    ['ftp://127.0.0.1', 'a gateway is reached by https, not ftp:'],
    ['https://a.example/b', 'a gateway URL has a scheme, a host and a port, and nothing else'],
    ['nonsense', 'not a URL: "nonsense"'],
  ])('refuses %s', async (url, message) => {
    const { exit, stdout } = await runCli(['login', '--gateway', url, '--json'], folder)
    expect([exit, events(stdout)[0]]).toMatchObject([
      2,
      { error: { code: 'VGATE_USAGE', message } },
    ])
  })

  it('refuses a gateway whose keys have all changed, until told to trust it', async () => {
    await loggedIn()
    const old = gateway.routes.get('GET /.well-known/vgate')
    gateway.routes.set('GET /.well-known/vgate', (body, request) => {
      const [status, answer] = old?.(body, request) ?? [500, {}]
      return [
        status,
        {
          ...answer,
          keys: [
            {
              id: 'key_two',
              algorithm: 'Ed25519',
              public: Buffer.alloc(32, 9).toString('base64'),
              since: '2026-02-01T00:00:00.000Z',
            },
          ],
        },
      ]
    })
    const refused = await login()
    expect([refused.exit, events(refused.stdout).at(-1)]).toMatchObject([
      10,
      { error: { code: 'VGATE_RECORDING_BROKEN' } },
    ])
    expect(
      (await runCli(['login', '--gateway', gateway.url, '--trust-new-key'], folder)).exit,
    ).toBe(0)
  })

  it('answers whoami and targets as one object, and as text', async () => {
    await loggedIn()
    expect(events((await runCli(['whoami', '--json'], folder)).stdout)).toMatchObject([
      { v: 1, gateway: gateway.url, principal: PRINCIPAL, auditor: true },
    ])
    expect((await runCli(['whoami'], folder)).stdout).toContain('ana@example.com (corp: ana)')
    const targets = await runCli(['targets'], folder)
    expect(targets.stdout.split('\n')).toEqual([
      `TARGET        DATABASE  ${'ROLES'.padEnd('reader, owner (approval)'.length)}  CONTACT`,
      'prod-vectors  pgvector  reader, owner (approval)',
    ])
    expect(gateway.bearers).toEqual(['token-1', 'token-1', 'token-1'])
  })

  it('forgets everything at logout', async () => {
    await loggedIn()
    expect(events((await runCli(['logout', '--json'], folder)).stdout)).toEqual([
      { v: 1, gateway: gateway.url, logged_out: true },
    ])
    expect(readFileSync(join(folder, 'tokens.json'), 'utf8')).not.toContain('token-1')
    expect((await runCli(['whoami'], folder)).exit).toBe(4)
  })

  it('takes a token that is given in place of the login, and names the source of one that is refused', async () => {
    await loggedIn()
    gateway.bearers.length = 0
    const given = { VGATE_TOKEN: 'e30.e30.AA' }
    expect((await runCli(['whoami'], folder, given)).exit).toBe(0)
    expect(gateway.bearers).toEqual(['token-2'])
    const broken = await runCli(['whoami'], folder, { VGATE_TOKEN: 'x' })
    expect(broken.exit).toBe(4)
    expect(broken.stderr).toContain('VGATE_TOKEN holds no identity token')
  })

  it('passes over a platform that was only detected when the gateway takes no workloads', async () => {
    await loggedIn()
    gateway.bearers.length = 0
    expect((await runCli(['whoami'], folder, { VGATE_ID_TOKEN: 'e30.e30.AA' })).exit).toBe(0)
    expect(gateway.bearers).toEqual(['token-1'])
  })
})

describe('connect', () => {
  const ready = (line: string): boolean => line.includes('"event":"ready"')

  it('is ready, serves, answers env, tells denials, and ends with the grant', async () => {
    await loggedIn()
    const child = spawnCli(['connect', 'prod-vectors', '--json'], folder)
    const event = JSON.parse(await untilLine(child, ready)) as {
      port: number
      url: string
      env: Record<string, string>
    }
    expect(event).toMatchObject({
      v: 1,
      event: 'ready',
      session: 'ses_1',
      target: 'prod-vectors',
      host: '127.0.0.1',
      endpoints: { postgres: `127.0.0.1:${event.port}` },
      expires_at: expect.any(String),
    })
    expect(Object.keys(event).sort()).toEqual([
      'at',
      'endpoints',
      'env',
      'event',
      'expires_at',
      'host',
      'port',
      'session',
      'target',
      'url',
      'v',
    ])
    const socket = dial(event.port, '127.0.0.1')
    socket.write('hello')
    expect(String((await once(socket, 'data'))[0])).toBe('hello')
    const env = await runCli(['env', 'prod-vectors'], folder)
    expect(env.stdout.split('\n')).toContain(`export PGPASSWORD=${event.env['PGPASSWORD']}`)
    const again = await runCli(['connect', 'prod-vectors', '--json'], folder)
    expect([again.exit, events(again.stdout)]).toMatchObject([
      1,
      [{ error: { code: 'VGATE_ALREADY_CONNECTED' } }],
    ])
    gateway.tunnels[0]?.tell({
      type: 'denied',
      operation: 'drop',
      rule: 'default deny',
      message: 'no',
    })
    gateway.tunnels[0]?.tell({ type: 'end', reason: 'expired', message: 'the grant has ended' })
    const { exitCode, stdout, stderr } = await child
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(events(String(stdout)).slice(1)).toEqual([
      {
        v: 1,
        event: 'denied',
        at: expect.any(String),
        operation: 'drop',
        rule: 'default deny',
        message: 'no',
      },
      {
        v: 1,
        event: 'closed',
        at: expect.any(String),
        reason: 'expired',
        message: expect.any(String),
      },
    ])
    expect(readdirSync(join(folder, 'run'))).toEqual([])
    socket.destroy()
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('ends cleanly by %s', async (signal, code) => {
    await loggedIn()
    const child = spawnCli(['connect', 'prod-vectors', '--json'], folder)
    await untilLine(child, ready)
    child.kill(signal)
    const { exitCode, stdout } = await child
    expect([exitCode, events(String(stdout)).at(-1)]).toMatchObject([
      code,
      { event: 'closed', reason: 'stopped' },
    ])
    expect(readdirSync(join(folder, 'run'))).toEqual([])
    expect(gateway.closedSessions()).toBe(1)
  })

  it('prints the connection string to stdout and the rest to stderr', async () => {
    await loggedIn()
    const child = spawnCli(['connect', 'prod-vectors'], folder)
    const url = await untilLine(child, (line) => line.startsWith('postgresql://'))
    gateway.tunnels[0]?.tell({
      type: 'denied',
      operation: 'x\u001b[2J',
      rule: 'r',
      message: 'm\u202e',
    })
    gateway.tunnels[0]?.tell({ type: 'end', reason: 'revoked', message: 'revoked by ops' })
    const { exitCode, stdout, stderr } = await child
    expect([exitCode, stdout]).toEqual([5, url])
    expect(stderr).toContain('psql')
    expect(stderr).toContain('denied x^[[2J: m\\u{202e} (r)')
    expect(stderr).toContain('error: revoked by ops')
    expect(stderr).not.toContain('\u001b')
  })

  it('exits 8 when the gateway is lost', async () => {
    await loggedIn()
    const child = spawnCli(['connect', 'prod-vectors', '--json'], folder, { VGATE_RECONNECT: '0' })
    await untilLine(child, ready)
    gateway.tunnels[0]?.socket.terminate()
    const { exitCode, stdout } = await child
    expect([exitCode, events(String(stdout)).at(-1)]).toMatchObject([
      8,
      { event: 'closed', reason: 'gateway_lost' },
    ])
  })

  it('reconnects, and says so on stderr', async () => {
    await loggedIn()
    const child = spawnCli(['connect', 'prod-vectors'], folder)
    await untilLine(child, (line) => line.startsWith('postgresql://'))
    gateway.tunnels[0]?.socket.terminate()
    let said = ''
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
    await expect.poll(() => said, { timeout: 30_000 }).toContain('✔ reconnected')
    expect(gateway.tunnels).toHaveLength(2)
    gateway.tunnels[1]?.tell({ type: 'end', reason: 'expired', message: 'over' })
    const { exitCode, stderr } = await child
    expect(exitCode).toBe(0)
    expect(stderr).toMatch(/! reconnecting until .*: the gateway is gone: closed with code 1006\n/)
    expect(stderr).toMatch(/✔ reconnected, session ses_1: same port, same secret/)
  })

  it('exits 2 for an unknown target, and 2 for a bad duration', async () => {
    await loggedIn()
    expect((await runCli(['connect', 'nope'], folder)).exit).toBe(2)
    const bad = await runCli(['connect', 'prod-vectors', '--ttl', 'soon', '--json'], folder)
    expect([bad.exit, events(bad.stdout)[0]]).toMatchObject([
      2,
      { error: { message: '--ttl soon is not a duration' } },
    ])
  })
})

describe('exec', () => {
  it('gives the child the environment, and ends with its code', async () => {
    await loggedIn()
    const script =
      'process.stdout.write(JSON.stringify([process.env.PGHOST, process.env.VGATE_TARGET, process.argv[1]])); process.exit(7)'
    const { exit, stdout, stderr } = await runCli(
      ['exec', 'prod-vectors', '--', process.execPath, '-e', script, '--', '--json'],
      folder,
    )
    expect({ exit, stderr }).toEqual({ exit: 7, stderr: '' })
    expect(JSON.parse(stdout)).toEqual(['127.0.0.1', 'prod-vectors', '--json'])
    expect(gateway.closedSessions()).toBe(1)
    expect(existsSync(join(folder, 'run'))).toBe(false)
  })

  it.each([
    [['exec', 'prod-vectors', '--', './no-such-program'], 127],
    [['exec', 'prod-vectors', '--', tmpdir()], 126],
    [['exec', 'prod-vectors'], 2],
    [['exec', 'prod-vectors', 'true'], 2],
    [['exec', 'nope', '--', 'true'], 2],
    [['exec', 'prod-vectors', '--', 'sh', '-c', 'kill -9 $$'], 137],
  ])('%j exits with %i', async (args, code) => {
    await loggedIn()
    expect((await runCli(args, folder)).exit).toBe(code)
  })

  it('says why a command could not be run', async () => {
    await login()
    const missing = await runCli(['exec', 'prod-vectors', '--', 'no-such-program'], folder)
    expect(missing.stderr).toBe('vgate: no-such-program: command not found')
    const denied = await runCli(['exec', 'prod-vectors', '--', tmpdir()], folder)
    expect(denied.stderr).toBe(`vgate: ${tmpdir()}: cannot be run (EACCES)`)
  })

  it('forwards signals', async () => {
    await loggedIn()
    const script =
      "process.on('SIGTERM', () => process.exit(42)); console.log('up'); setInterval(() => {}, 1000)"
    const child = spawnCli(['exec', 'prod-vectors', '--', process.execPath, '-e', script], folder)
    await untilLine(child, (line) => line === 'up')
    child.kill('SIGTERM')
    expect((await child).exitCode).toBe(42)
  })

  it('exits 125 when the session is lost, after SIGTERM to the child', async () => {
    await loggedIn()
    const script =
      "process.on('SIGTERM', () => { console.log('asked'); process.exit(0) }); console.log('up'); setInterval(() => {}, 1000)"
    const child = spawnCli(['exec', 'prod-vectors', '--', process.execPath, '-e', script], folder)
    await untilLine(child, (line) => line === 'up')
    gateway.tunnels[0]?.tell({ type: 'end', reason: 'revoked', message: 'revoked by ops' })
    const { exitCode, stdout, stderr } = await child
    expect([exitCode, stdout]).toEqual([125, 'up\nasked'])
    expect(stderr).toContain('revoked by ops')
  })
})
