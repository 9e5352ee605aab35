// The key that signs recordings is replaced, with and without the endorsement of the one before it: what a later login
// takes, what it refuses, and that recordings of every key are proved. Real binary, real provider; no database is asked.

import { readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { approveDevice } from '../../src/demo/approve-device.js'
import { type Product, type Result, startProduct } from '../support/product.js'
import { runCli } from '../support/run-cli.js'

const POLICY = `
roles: { reader: { allow: [{ access: read, collections: [docs] }] } }
access: [{ who: { group: data-science }, role: reader, targets: [prod-*] }]
`

describe('keys that sign recordings', () => {
  let product: Product
  let first: string
  let second: string

  const keys = (name: string): string => join(product.directory, 'data', 'keys', name)
  const recording = (session: string): string =>
    join(product.directory, 'data', 'recordings', `${session}.vgr`)
  const newest = (): { id: string; endorsed?: string } =>
    (JSON.parse(readFileSync(keys('keys.json'), 'utf8')) as { keys: { id: string }[] }).keys.at(
      -1,
    ) ?? expect.fail('no key')

  /** Opens a session and ends it. Answers its id. */
  async function session(person: string): Promise<string> {
    const connection = product.start(person, ['connect', 'prod-vectors', '--json'])
    const ready = await connection.event('ready')
    await connection.stop('SIGINT')
    return String(ready['session'])
  }

  /** The whole device flow, whatever becomes of it. */
  async function login(person: string, ...flags: string[]): Promise<Result> {
    const running = product.start(person, ['login', '--json', '--no-browser', ...flags])
    const code = await running.event('device_code').catch(() => undefined)
    if (code !== undefined) await approveDevice(String(code['verification_uri_complete']), person)
    return await running.ended
  }

  async function verify(person: string, session: string): Promise<[number, unknown]> {
    const { exitCode, stdout } = await product.run(person, ['verify', recording(session), '--json'])
    return [exitCode, (JSON.parse(stdout) as { verdict: string }).verdict]
  }

  beforeAll(async () => {
    const postgres = { host: '127.0.0.1', port: 9, superuser: 'nobody', password: 'none' }
    product = await startProduct({ postgres, database: 'none', policy: POLICY })
    await product.login('alice')
    first = await session('alice')
  })
  afterAll(() => product?.stop())

  it('are followed by a pinned login along an endorsement', async () => {
    const before = newest().id
    await product.stopGateway()
    renameSync(keys('recording.pem'), keys('recording.pem.previous'))
    await product.startGateway()
    rmSync(keys('recording.pem.previous'))
    expect(newest().id).not.toBe(before)
    expect(newest().endorsed).toBeDefined()
    // What is signed from now on is not known before she has logged in again.
    second = await session('alice')
    expect(await verify('alice', second)).toEqual([10, 'unknown_key'])
    expect((await login('alice')).exitCode).toBe(0)
    expect(await verify('alice', second)).toEqual([0, 'closed'])
    expect(await verify('alice', first)).toEqual([0, 'closed'])
    expect((await product.run('alice', ['replay', second, '--json'])).exitCode).toBe(0)
  })

  it('prove old recordings by the history alone', async () => {
    const home = join(product.directory, 'elsewhere')
    const folder = join(product.directory, 'data', 'recordings')
    const args = ['verify', folder, '--key', keys('keys.json'), '--json']
    const { exit, stdout } = await runCli(args, home)
    expect([exit, JSON.parse(stdout)]).toMatchObject([
      0,
      { verdict: 'closed', files: [{ verdict: 'closed' }, { verdict: 'closed' }] },
    ])
  })

  it('that nobody endorsed are refused, until somebody has compared their ids', async () => {
    await product.stopGateway()
    rmSync(keys('recording.pem'))
    await product.startGateway()
    const { id, endorsed } = newest()
    expect(endorsed).toBeUndefined()
    const refused = await login('alice')
    expect(refused.exitCode).toBe(10)
    const error = `no key pinned at an earlier login vouches for the new key ${id}`
    expect(JSON.parse(refused.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      error: {
        code: 'VGATE_RECORDING_BROKEN',
        message: expect.stringContaining(error),
        hint: expect.stringContaining('--trust-new-key'),
      },
    })
    const third = await session('alice')
    expect(await verify('alice', third)).toEqual([10, 'unknown_key'])
    expect((await product.run('alice', ['replay', third])).exitCode).toBe(10)
    expect((await login('alice', '--trust-new-key')).exitCode).toBe(0)
    for (const one of [first, second, third])
      expect([one, ...(await verify('alice', one))]).toEqual([one, 0, 'closed'])
  })
})
