// The gateway dies under load, is stopped under load, meets another one, or finds its files changed at the start.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectLocally, openClient } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
roles:
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: writer, targets: [prod-vectors] }
`

describe.skipIf(!hasPostgres('plain'))('a gateway', () => {
  let postgres: TestPostgres
  let product: Product
  const data = (...parts: string[]): string => join(product.directory, 'data', ...parts)

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
    const sql = 'CREATE TABLE docs(id int, body text)'
    const database = await postgres.createDatabase({ sql })
    // These tests look at the end of a session, not at its return.
    const env = { VGATE_RECONNECT: '0' }
    product = await startProduct({ postgres, database, policy: POLICY, env })
    await product.login('alice')
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  /** Writes as fast as it can over four connections until each is cut; answers why. */
  const load = async (
    first: number,
  ): Promise<{ running: Running; session: string; cut: Promise<string[]> }> => {
    const { running, ready, at } = await connectLocally(product, 'alice')
    let id = first
    const one = async (): Promise<string> => {
      const client = await openClient(at)
      for (;;) {
        id += 1
        try {
          await client.query(`INSERT INTO docs VALUES (${id}, 'load')`)
        } catch (error) {
          return (error as { code?: string }).code ?? 'lost'
        }
      }
    }
    const cut = Promise.all([one(), one(), one(), one()])
    await expect.poll(() => id, { interval: 5, timeout: 15_000 }).toBeGreaterThan(first + 60)
    return { running, session: String(ready['session']), cut }
  }

  const everythingRecorded = async (session: string, first: number): Promise<number> => {
    const log = postgres.log()
    const ran = [...log.matchAll(/INSERT INTO docs VALUES \((\d+),/g)].map((found) =>
      Number(found[1]),
    )
    const ours = ran.filter((id) => id > first && id < first + 1_000_000)
    const replay = await product.run('alice', ['replay', session, '--json'])
    const recorded = new Set(
      [...replay.stdout.matchAll(/INSERT INTO docs VALUES \((\d+),/g)].map((found) =>
        Number(found[1]),
      ),
    )
    expect(ours.filter((id) => !recorded.has(id))).toEqual([])
    return ours.length
  }

  it('that is killed leaves no statement without its record, and recovers the recording', async () => {
    const { running, session, cut } = await load(1_000_000)
    await product.stopGateway('SIGKILL')
    await cut
    expect((await running.ended).exitCode).toBe(8)
    await product.startGateway()
    expect(await everythingRecorded(session, 1_000_000)).toBeGreaterThan(50)
    const file = data('recordings', `${session}.vgr`)
    const verified = await product.run('alice', ['verify', file])
    expect(verified.exitCode).toBe(0)
    expect(verified.stdout + verified.stderr).toContain('incomplete')
    expect((await product.run('alice', ['verify', file, '--require-closed'])).exitCode).toBe(10)
    const shown = await product.run('alice', ['sessions', 'show', session, '--json'])
    expect(JSON.parse(shown.stdout)).toMatchObject({ session: { state: 'crashed' } })
  })

  it('that is stopped says so on every stream, closes its recordings and exits 0 in time', async () => {
    const { running, session, cut } = await load(3_000_000)
    // The support kills what has not ended in five seconds, and then there is no exit code.
    expect((await product.stopGateway('SIGTERM')).exitCode).toBe(0)
    // A connection failure in the protocol's own words, not a socket that is just gone.
    expect(new Set(await cut)).toEqual(new Set(['08006']))
    expect((await running.ended).exitCode).toBe(8)
    const file = data('recordings', `${session}.vgr`)
    expect((await product.run('alice', ['verify', file, '--require-closed'])).exitCode).toBe(0)
    await product.startGateway()
    await everythingRecorded(session, 3_000_000)
  })

  it('does not start on the directory of another, which goes on', async () => {
    const second = await product.run('gateway', [
      'gateway',
      'start',
      '--config',
      product.configFile,
    ])
    expect(second.exitCode).toBe(9)
    expect(second.stderr).toMatch(/in use by another process/)
    expect((await product.run('alice', ['whoami'])).exitCode).toBe(0)
  })

  const flip = (file: string, at: number): void => {
    const bytes = readFileSync(file)
    bytes[at] = (bytes[at] ?? 0) ^ 0xff
    writeFileSync(file, bytes)
  }
  const newest = (folder: string): string => {
    const names = readdirSync(data(folder)).filter((name) => name.endsWith('.vgr'))
    return data(folder, names.sort().at(-1) ?? '')
  }

  it('stops when asked', async () => {
    expect((await product.stopGateway()).exitCode).toBe(0)
  })

  it.each<[string, number, RegExp, () => string, (file: string) => void]>([
    [
      'a store that is no database',
      9,
      /not a database|damaged/,
      () => data('vgate.db'),
      (file) => writeFileSync(file, 'x'.repeat(8192)),
    ],
    [
      'a changed audit log',
      10,
      /does not verify/,
      () => newest('audit'),
      (file) => flip(file, readFileSync(file).length - 200),
    ],
    [
      'a signing key that others can read',
      11,
      /chmod 600/,
      () => data('keys', 'recording.pem'),
      (file) => chmodSync(file, 0o644),
    ],
    [
      'a signing key that is none',
      11,
      /signing key/,
      () => data('keys', 'recording.pem'),
      (file) => writeFileSync(file, 'PRIVATE planted', { mode: 0o600 }),
    ],
    [
      'a damaged key history',
      11,
      /key history/,
      () => data('keys', 'keys.json'),
      (file) => writeFileSync(file, '{'),
    ],
    [
      'a master key that others can read',
      11,
      /chmod 600/,
      () => join(product.directory, 'data.master.key'),
      (file) => chmodSync(file, 0o640),
    ],
    [
      'another master key',
      11,
      /does not open/,
      () => join(product.directory, 'data.master.key'),
      (file) => writeFileSync(file, Buffer.alloc(32, 1).toString('base64')),
    ],
    [
      'no master key',
      11,
      /is missing/,
      () => join(product.directory, 'data.master.key'),
      (file) => rmSync(file),
    ],
    [
      'a sealed key that was changed',
      11,
      /does not open/,
      () => data('keys', 'token.key'),
      (file) => flip(file, readFileSync(file).length - 8),
    ],
  ])('does not start on %s', async (_, exitCode, words, path, change) => {
    const file = path()
    // The store may have its newest pages beside it; a damaged store is one that they cannot mend.
    const kept = [file, `${file}-wal`].filter((name) => existsSync(name))
    for (const name of kept) copyFileSync(name, `${name}.kept`)
    try {
      for (const name of kept.slice(1)) rmSync(name)
      change(file)
      const result = await product.run('gateway', [
        'gateway',
        'start',
        '--config',
        product.configFile,
      ])
      expect({ exitCode: result.exitCode, stderr: result.stderr }).toMatchObject({
        exitCode,
        stderr: expect.stringMatching(words),
      })
      expect(result.stderr).not.toMatch(/planted|\n\s+at /)
    } finally {
      for (const name of kept) renameSync(`${name}.kept`, name)
      chmodSync(file, 0o600)
    }
  })

  it('starts again when its files are what they were', () => product.startGateway())

  it('shows no recording that was changed, and none that is a link to another file', async () => {
    const file = newest('recordings')
    const session = file.slice(file.lastIndexOf('/') + 1, -'.vgr'.length)
    copyFileSync(file, `${file}.kept`)
    flip(file, readFileSync(file).length - 300)
    expect((await product.run('alice', ['replay', session])).exitCode).toBe(10)
    rmSync(file)
    symlinkSync(data('keys', 'recording.pem'), file)
    const linked = await product.run('alice', ['replay', session])
    expect(linked.exitCode).not.toBe(0)
    expect(linked.stdout + linked.stderr).not.toContain('PRIVATE')
    const token =
      (
        JSON.parse(readFileSync(join(product.stateOf('alice'), 'tokens.json'), 'utf8')) as {
          entries: Record<string, string>
        }
      ).entries[`login ${product.url}`] ?? '{}'
    const { accessToken } = JSON.parse(token) as { accessToken: string }
    const answer = await fetch(`${product.url}/v1/sessions/${session}/recording`, {
      headers: { authorization: `Bearer ${accessToken}` },
    })
    expect(await answer.text()).not.toContain('PRIVATE KEY')
    rmSync(file)
    renameSync(`${file}.kept`, file)
  })
})
