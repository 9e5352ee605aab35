// The product behind a company's proxy, through the real binary: a gateway by a name that only the proxy resolves, with a
// private authority (`--ca`), a proxy that wants a password, NO_PROXY, and a proxy that says no.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { approveDevice } from '../../src/demo/approve-device.js'
import { selfSignedCertificate } from '../support/certificates.js'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.js'
import { connectLocally, openClient } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'

const NAME = 'gateway.test'
const PASSWORD = 'p%40ssword'
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
`

describe.skipIf(!hasPostgres('plain'))('behind a proxy', () => {
  let postgres: TestPostgres
  let product: Product
  let proxy: ConnectProxy
  let folder: string
  let env: Record<string, string>
  const ca = (): string => join(folder, 'tls.crt')

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vgate-proxy-'))
    const { cert, key } = selfSignedCertificate([NAME])
    writeFileSync(ca(), cert)
    writeFileSync(join(folder, 'tls.key'), key, { mode: 0o600 })
    postgres = await startPostgres({ kind: 'plain' })
    const sql = 'CREATE TABLE docs(id int); INSERT INTO docs VALUES (1), (2)'
    const database = await postgres.createDatabase({ sql })
    proxy = await startConnectProxy()
    env = { HTTPS_PROXY: `http://me:${PASSWORD}@127.0.0.1:${proxy.port}` }
    const gateway = `  tls: { cert: "file:${ca()}", key: "file:${folder}/tls.key" }\n`
    product = await startProduct({ postgres, database, policy: POLICY, name: NAME, gateway, env })
  })

  afterAll(async () => {
    await product?.stop()
    await proxy?.close()
    await postgres?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  beforeEach(() => {
    proxy.refuse = undefined
    proxy.asked.length = 0
    proxy.credentials.length = 0
  })

  /** Everything went through, to the gateway alone and with the password; what was said does not show it. */
  const wentThrough = (said: string): void => {
    expect(new Set(proxy.asked)).toEqual(new Set([new URL(product.url).host]))
    const basic = `Basic ${Buffer.from('me:p@ssword').toString('base64')}`
    expect(new Set(proxy.credentials)).toEqual(new Set([basic]))
    expect(proxy.others).toEqual([])
    expect(said).not.toMatch(/p@ssword|p%40ssword/)
  }

  it('a login without the authority is refused, and with --ca it works', async () => {
    const flags = ['login', '--json', '--no-browser']
    const refused = await product.run('alice', flags)
    expect(refused).toMatchObject({
      exitCode: 8,
      stdout: expect.stringContaining(`the certificate of ${product.url} is not trusted`),
    })
    const login = product.start('alice', [...flags, '--ca', ca()])
    const code = await login.event('device_code')
    await approveDevice(String(code['verification_uri_complete']), 'alice')
    await login.event('logged_in')
    const { exitCode, stdout, stderr } = await login.ended
    expect(exitCode).toBe(0)
    wentThrough(stdout + stderr)
  })

  it('connect carries queries in one tunnel through it, and comes back after it was cut', async () => {
    const { running, at } = await connectLocally(product, 'alice')
    const count = async (): Promise<unknown> => {
      const client = await openClient(at)
      const { rows } = await client.query('SELECT count(*)::int AS n FROM docs')
      await client.end()
      return rows
    }
    expect(await count()).toEqual([{ n: 2 }])
    proxy.cut()
    await running.event('reconnected')
    expect(await count()).toEqual([{ n: 2 }])
    const { exitCode, stdout, stderr } = await running.stop()
    expect(exitCode).toBe(143)
    wentThrough(stdout + stderr)
  })

  it('exec gives its child the local port, and the child’s exit code is its own', async () => {
    const script =
      "require('node:net').connect(+process.env.PGPORT, process.env.PGHOST, () => process.exit(7))"
    const command = ['exec', 'prod-vectors', '--', process.execPath, '-e', script]
    const { exitCode, stdout, stderr } = await product.run('alice', command)
    expect(exitCode).toBe(7)
    wentThrough(stdout + stderr)
  })

  it('the doctor goes the same way and says so', async () => {
    const { exitCode, stdout, stderr } = await product.run('alice', ['doctor'])
    expect(stdout).toContain(
      `ok   proxy: ${new URL(product.url).host} is reached through http://127.0.0.1:${proxy.port}, as HTTPS_PROXY says`,
    )
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 })
    wentThrough(stdout + stderr)
  })

  it.each([
    ['connect'],
    ['doctor'],
  ])('%s: a proxy that wants another password is named, with what to do', async (command) => {
    proxy.refuse = 407
    const args = command === 'connect' ? [command, 'prod-vectors'] : [command]
    const { exitCode, stdout, stderr } = await product.run('alice', args)
    expect(exitCode).toBe(8)
    const said = stdout + stderr
    expect(said).toContain(
      `the proxy http://127.0.0.1:${proxy.port} refused the way with status 407`,
    )
    expect(said).toContain('http://user:password@host:port')
    wentThrough(said)
  })

  it.each([
    ['targets'],
    ['doctor'],
  ])('%s: a gateway in NO_PROXY is asked directly', async (command) => {
    const more = { env: { NO_PROXY: NAME } }
    const { exitCode, stdout, stderr } = await product.run('alice', [command], more)
    expect(exitCode).toBe(8)
    expect(stdout + stderr).toContain(
      command === 'doctor' ? `${NAME} does not resolve` : 'the name does not resolve',
    )
    expect(proxy.asked).toEqual([])
  })
})
