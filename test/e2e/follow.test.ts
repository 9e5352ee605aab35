// Following a session that goes on, over the network and through a proxy, with the real binary: as lines, as events, in
// the player; how it ends.

import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { selfSignedCertificate } from '../support/certificates.js'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.js'
import { connectLocally, openClient } from '../support/local-connection.js'
import { TestPlayer } from '../support/player.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const NAME = 'gateway.test'
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
`

describe.skipIf(!hasPostgres('plain'))('following a live session', { timeout: 60_000 }, () => {
  let postgres: TestPostgres
  let product: Product
  let proxy: ConnectProxy
  let folder: string
  let env: Record<string, string>
  let connection: Running
  let session: string
  let client: pg.Client

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vgate-follow-'))
    const { cert, key } = selfSignedCertificate([NAME])
    writeFileSync(join(folder, 'tls.crt'), cert)
    writeFileSync(join(folder, 'tls.key'), key, { mode: 0o600 })
    postgres = await startPostgres({ kind: 'plain' })
    const sql = 'CREATE TABLE docs(id int); INSERT INTO docs VALUES (1), (2)'
    const database = await postgres.createDatabase({ sql })
    proxy = await startConnectProxy()
    env = {
      HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`,
      VGATE_CA_FILE: join(folder, 'tls.crt'),
      TMPDIR: folder,
    }
    const gateway = `  tls: { cert: "file:${folder}/tls.crt", key: "file:${folder}/tls.key" }\n`
    product = await startProduct({ postgres, database, policy: POLICY, name: NAME, gateway, env })
    await Promise.all(['alice', 'bob'].map((person) => product.login(person)))
  }, 120_000)

  afterAll(async () => {
    await product?.stop()
    await proxy?.close()
    await postgres?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  beforeEach(async () => {
    const { running, ready, at } = await connectLocally(product, 'alice')
    connection = running
    session = String(ready['session'])
    client = await openClient(at)
  })

  afterEach(() => product.stopLeft())

  const left = (): string[] =>
    readdirSync(folder).filter((name) => name.startsWith('vgate-replay-'))
  const ask = (n: number) => client.query(`SELECT id FROM docs WHERE id = ${n}`)
  const follow = (...more: string[]): Running =>
    product.start('bob', ['replay', session, '--follow', '--json', ...more])

  /** The next judged operation whose text ends so. */
  async function judged(running: Running, end: string): Promise<void> {
    for (;;) {
      const { text } = await running.event('operation.judged')
      if (String(text).endsWith(end)) return
    }
  }

  it('shows what is signed while it goes on, and ends with it', async () => {
    await ask(1)
    const events = follow()
    const lines = product.start('alice', ['replay', session, '--follow'])
    const player = new TestPlayer({
      args: ['replay', session, '--follow', '--speed', '0'],
      folder: product.stateOf('alice'),
      width: 100,
      height: 30,
      env: { ...env, VGATE_GATEWAY: product.url },
    })
    await events.event('following')
    await judged(events, '= 1')
    await player.shows('live')
    await ask(2)
    await judged(events, '= 2')
    await player.shows('id = 2')
    expect(left()).toHaveLength(3)
    await client.end()
    await connection.stop()
    const ended = await events.ended
    expect(ended.exitCode).toBe(0)
    expect(events.seen.at(-1)).toMatchObject({ event: 'verified', verdict: 'closed' })
    const text = await lines.ended
    expect(text).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(/signed so far[\s\S]*closed/),
    })
    expect(text.stdout).toMatch(/id = 1[\s\S]*id = 2[\s\S]*session closed/)
    await player.shows('the end')
    player.press('q')
    expect(await player.ended).toBe(0)
    expect(left()).toEqual([])
    expect(new Set(proxy.asked)).toEqual(new Set([new URL(product.url).host]))
  })

  it('ends on Ctrl-C with 130 and leaves no copy behind', async () => {
    const events = follow()
    await events.event('following')
    expect((await events.stop('SIGINT')).exitCode).toBe(130)
    expect(left()).toEqual([])
  })

  it('ends when the recording is tampered with', async () => {
    await ask(1)
    const events = follow()
    await judged(events, '= 1')
    const recordings = join(product.directory, 'data', 'recordings')
    appendFileSync(join(recordings, `${session}.vgr`), Buffer.alloc(400, 7))
    const { exitCode, stdout } = await events.ended
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: 10,
      stdout: expect.stringContaining('tampered'),
    })
    expect(left()).toEqual([])
  })

  it('says so when the gateway is lost', async () => {
    await ask(1)
    const events = follow()
    await judged(events, '= 1')
    await product.stopGateway('SIGKILL')
    const { exitCode, stdout } = await events.ended
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: 8,
      stdout: expect.stringContaining('VGATE_GATEWAY_UNREACHABLE'),
    })
    expect(left()).toEqual([])
  })
})
