// A gateway set up by `gateway init`, as one would: its minted certificate, a login with `--ca`, the tunnel over TLS,
// and somebody between who is recognised. Real binary, real provider, real PostgreSQL.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:https'
import { createServer as createTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { approveDevice } from '../../src/demo/approve-device.js'
import { type IdentityProvider, startIdentityProvider } from '../../src/demo/identity-provider.js'
import { selfSignedCertificate } from '../support/certificates.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type CliProcess, events, runCli, spawnCli, untilLine } from '../support/run-cli.js'

const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, title text);
INSERT INTO docs VALUES (1, 'one'), (2, 'two');`

async function freePort(): Promise<number> {
  const server = createTcp()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

const event = async (child: CliProcess, name: string): Promise<Record<string, unknown>> =>
  events(await untilLine(child, (line) => line.includes(`"event":"${name}"`)))[0] ?? {}

describe.skipIf(!hasPostgres('pgvector'))('a gateway by init', () => {
  let folder: string
  let state: string
  let postgres: TestPostgres
  let provider: IdentityProvider
  let gateway: CliProcess
  let said: Record<string, unknown>
  let url: string
  const file = (name: string): string => join(folder, 'gateway', name)
  const text = (name: string): string => readFileSync(file(name), 'utf8')
  const init = (more: readonly string[] = []) =>
    runCli(['gateway', 'init', '--directory', file(''), '--json', ...more], state, {
      VGATE_TEST_DB_PASSWORD: postgres.password,
    })

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vgate-init-'))
    state = join(folder, 'alice')
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: SETUP })
    provider = await startIdentityProvider()
    const port = await freePort()
    url = `https://localhost:${port}`
    const answers = {
      '--listen': `127.0.0.1:${port}`,
      '--public-url': url,
      '--issuer': provider.issuer,
      '--client-id': 'vgate',
      '--scopes': 'openid,groups,email,offline_access',
      '--address': `postgres://${postgres.host}:${postgres.port}/${database}`,
      '--db-user': postgres.superuser,
      '--credential': 'env:VGATE_TEST_DB_PASSWORD',
    }
    const done = await init(Object.entries(answers).flat())
    expect(done).toMatchObject({ exit: 0 })
    said = JSON.parse(done.stdout) as Record<string, unknown>
    gateway = spawnCli(['gateway', 'start', '--config', file('vgate.yaml'), '--json'], state, {
      VGATE_TEST_DB_PASSWORD: postgres.password,
    })
    await event(gateway, 'listening')
  })

  afterAll(async () => {
    gateway?.kill()
    await gateway
    await provider?.close()
    await postgres?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('mints what Node’s own crypto verifies: bounded authority, names, 397 days, private keys', () => {
    const [ca, own] = ['ca.crt', 'tls.crt'].map((name) => new X509Certificate(text(name)))
    if (ca === undefined || own === undefined) throw new Error('no certificate')
    expect(ca.ca).toBe(true)
    expect(ca.verify(ca.publicKey)).toBe(true)
    expect({ issued: own.checkIssued(ca), signed: own.verify(ca.publicKey), ca: own.ca }).toEqual({
      issued: true,
      signed: true,
      ca: false,
    })
    expect(own.checkHost('localhost')).toBe('localhost')
    expect(own.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(own.checkHost('example.com')).toBeUndefined()
    const days = (Date.parse(own.validTo) - Date.parse(own.validFrom)) / 86_400_000
    expect(days).toBeLessThanOrEqual(397)
    expect(days).toBeGreaterThan(396)
    expect(own.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    for (const [key, cert] of [
      ['ca/ca.key', ca],
      ['tls.key', own],
    ] as const) {
      expect(cert.checkPrivateKey(createPrivateKey(text(key)))).toBe(true)
      expect(statSync(file(key)).mode & 0o777).toBe(0o600)
    }
    expect(statSync(file('ca')).mode & 0o777).toBe(0o700)
    // The configuration holds no secret, and the authority's key is not the gateway's to use.
    expect(text('vgate.yaml')).not.toContain(postgres.password)
    expect(text('vgate.yaml')).not.toContain('ca.key')
  })

  it('says how to go on, and the check accepts both files as they are', async () => {
    expect(said).toMatchObject({
      v: 1,
      files: ['vgate.yaml', 'policy.yaml', 'ca.crt', 'ca/ca.key', 'tls.crt', 'tls.key'],
      login: expect.stringMatching(
        /^vgate login --gateway https:\/\/localhost:\d+ --ca \S+ca\.crt$/,
      ),
    })
    const checked = await runCli(['gateway', 'check', '--config', file('vgate.yaml')], state, {
      VGATE_TEST_DB_PASSWORD: postgres.password,
    })
    expect(checked).toMatchObject({ exit: 0, stdout: '' })
  })

  it('refuses a login that does not know the authority', async () => {
    const refused = await runCli(['login', '--gateway', url, '--json'], state)
    expect(refused.exit).toBe(8)
    expect(refused.stdout).toContain(`the certificate of ${url} is not trusted`)
    expect(refused.stdout).toContain('--ca FILE')
  })

  it('logs in with --ca, connects through the tunnel over TLS, and queries', async () => {
    const login = spawnCli(['login', '--gateway', url, '--ca', file('ca.crt'), '--json'], state)
    const code = await event(login, 'device_code')
    await approveDevice(String(code['verification_uri_complete']), 'alice')
    expect((await login).exitCode).toBe(0)
    const connection = spawnCli(['connect', 'prod-vectors', '--json'], state)
    const ready = await event(connection, 'ready')
    const client = new pg.Client({ connectionString: String(ready['url']) })
    await client.connect()
    const { rows } = await client.query('SELECT id, title FROM docs ORDER BY id LIMIT 5')
    expect(rows).toEqual([
      { id: 1, title: 'one' },
      { id: 2, title: 'two' },
    ])
    await expect(client.query('TRUNCATE docs')).rejects.toMatchObject({ code: '42501' })
    const second = await runCli(['doctor', 'prod-vectors', '--json'], state)
    expect(second.exit).toBe(0)
    expect(second.stdout).toContain(
      `is in use by your \`vgate connect\`, process ${connection.pid}`,
    )
    await client.end()
    connection.kill('SIGTERM')
    expect((await connection).exitCode).toBe(143)
  })

  it('has a doctor that finds all well, renews the login, and prints no secret', async () => {
    const before = readFileSync(join(state, 'tokens.json'), 'utf8')
    const { exit, stdout, stderr } = await runCli(['doctor', '--json'], state)
    const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Record<string, string>[] }
    expect({ exit, ok, stderr }).toEqual({ exit: 0, ok: true, stderr: '' })
    expect(checks.map((one) => `${one['check']} ${one['status']}`)).toEqual([
      ...['node ok', 'state ok', 'keychain ok', 'name ok', 'network ok', 'certificate ok'],
      ...['versions ok', 'clock ok', 'keys ok', 'login ok', 'targets ok', 'port prod-vectors ok'],
    ])
    expect(JSON.stringify(checks)).toMatch(/from \\"vgate authority [0-9a-f]{8}\\"/)
    const after = readFileSync(join(state, 'tokens.json'), 'utf8')
    expect(after).not.toBe(before)
    const entries = Object.values(
      (JSON.parse(after) as { entries: Record<string, string> }).entries,
    )
    const secrets = entries.flatMap((entry) => {
      const { refreshToken, accessToken } = entry.startsWith('{')
        ? JSON.parse(entry)
        : { refreshToken: entry, accessToken: entry }
      return [String(refreshToken), String(accessToken)]
    })
    for (const secret of secrets) expect(stdout).not.toContain(secret)
  })

  it('has a doctor that names who holds the port', async () => {
    const { checks } = JSON.parse((await runCli(['doctor', '--json'], state)).stdout) as {
      checks: Record<string, string>[]
    }
    const port = Number(/^\d+/.exec(checks.at(-1)?.['message'] ?? '')?.[0])
    const thief = createTcp()
    await new Promise<void>((resolve) => thief.listen(port, '127.0.0.1', resolve))
    const found = await runCli(['doctor', 'prod-vectors'], state)
    await new Promise((resolve) => thief.close(resolve))
    expect(found.exit).toBe(1)
    expect(found.stdout).toMatch(
      new RegExp(`fail port prod-vectors: ${port} is taken by .+, process ${process.pid}`),
    )
  })

  it('never talks to somebody between, and the doctor says what it sees', async () => {
    const seen: string[] = []
    const between = createServer(selfSignedCertificate(), (request, response) => {
      seen.push(request.url ?? '')
      response.end('{}')
    })
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve))
    const address = between.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const flags = ['--gateway', `https://localhost:${port}`, '--ca', file('ca.crt')]
    const login = await runCli(['login', ...flags], state)
    expect({ exit: login.exit, first: login.stderr.split('\n')[0] }).toEqual({
      exit: 8,
      first: expect.stringContaining('is not trusted: '),
    })
    const found = await runCli(['doctor', ...flags], state)
    await new Promise((resolve) => between.close(resolve))
    expect(found.exit).toBe(8)
    expect(found.stdout).toContain(
      'fail certificate: the certificate is from "localhost", and not from the authority that you named ("vgate authority ',
    )
    expect(found.stdout).toContain('a proxy intercepts the connection')
    expect(seen).toEqual([])
  })

  it('overwrites nothing, and with --force keeps the authority that people trust', async () => {
    const before = { ca: text('ca.crt'), own: text('tls.crt') }
    const answers = [
      '--issuer',
      provider.issuer,
      '--client-id',
      'x',
      '--address',
      'postgres://127.0.0.1/v',
      '--credential',
      'env:VGATE_TEST_DB_PASSWORD',
    ]
    const refused = await init(answers)
    expect({ exit: refused.exit, code: JSON.parse(refused.stdout).error.code }).toEqual({
      exit: 2,
      code: 'VGATE_USAGE',
    })
    expect(refused.stdout).toContain('has vgate.yaml, policy.yaml, tls.crt, tls.key already')
    expect({ ca: text('ca.crt'), own: text('tls.crt') }).toEqual(before)
    expect(await init([...answers, '--force'])).toMatchObject({ exit: 0 })
    expect(text('ca.crt')).toBe(before.ca)
    expect(text('tls.crt')).not.toBe(before.own)
    expect(
      new X509Certificate(text('tls.crt')).verify(new X509Certificate(before.ca).publicKey),
    ).toBe(true)
  })
})
