// The gateway's disk fills up while people work, and has room again: nothing runs unrecorded, the words are clear, and
// no restart is needed. Needs a small file system of its own, so it needs root.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCopy } from '../../src/client/private-copy.js'
import { connectLocally, openClient } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
roles:
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: writer, targets: [prod-vectors] }
`

function mountSmall(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'vgate-small-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'ignore' })
    return folder
  } catch (error) {
    rmSync(folder, { recursive: true })
    if (process.env['CI'] !== undefined) throw error
    process.stderr.write('skipped: a small file system can be mounted by root alone\n')
    return undefined
  }
}

const disk = hasPostgres('plain') ? mountSmall() : undefined

describe.skipIf(disk === undefined)('a full disk', () => {
  let postgres: TestPostgres
  let product: Product
  const folder = disk ?? ''
  const filler = join(folder, 'filler')

  beforeAll(async () => {
    mkdirSync(join(folder, 'data'))
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
    const database = await postgres.createDatabase({
      sql: 'CREATE TABLE docs(id int PRIMARY KEY, body text)',
    })
    const data = join(folder, 'data')
    product = await startProduct({
      postgres,
      database,
      policy: POLICY,
      data,
      more: 'limits: { sessionsPerPrincipal: 3 }\n',
    })
    await product.login('alice')
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
    execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true, force: true })
  })

  /** Takes all the room there is, to the last byte. */
  const fill = (): void => {
    rmSync(filler, { force: true })
    const { bavail, bsize } = statfsSync(folder)
    try {
      writeFileSync(filler, Buffer.alloc(Number(bavail) * Number(bsize), 1))
    } catch (error) {
      // The gateway may have written between the two: then the disk is as full.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    }
  }
  const connect = async (): Promise<{ running: Running; client: pg.Client }> => {
    const { running, at } = await connectLocally(product, 'alice')
    return { running, client: await openClient(at) }
  }

  it('ends a session with exit 9 and clear words, and lets nothing run unrecorded', async () => {
    const { running, client } = await connect()
    await client.query("INSERT INTO docs VALUES (1, 'before')")
    fill()
    let failed: { code?: string; message?: string } | undefined
    // Statements long enough that one does not fit into what is left of the file's last page.
    for (let id = 100; id < 200 && failed === undefined; id += 1) {
      const text = `INSERT INTO docs VALUES (${id}, '${'full'.repeat(1_000)}')`
      failed = await client.query(text).then(
        () => undefined,
        (error: Error) => error as { code?: string; message?: string },
      )
    }
    expect(failed).toMatchObject({
      code: '58030',
      message: expect.stringMatching(/recorded|recording/),
    })
    const ended = await running.ended
    expect(ended.exitCode).toBe(9)
    expect(ended.stdout).toContain('"reason":"error"')
    const log = postgres.log()
    const ran = [...log.matchAll(/INSERT INTO docs VALUES \((1\d\d),/g)].map((found) => found[1])
    rmSync(filler)
    const id = String(running.seen.find((event) => event['event'] === 'ready')?.['session'])
    const replay = await product.run('alice', ['replay', id, '--json'])
    for (const one of ran) expect(replay.stdout).toContain(`VALUES (${one},`)
    expect(replay.stdout).toContain('session.closed')
  })

  it('refuses what must be recorded first, and serves again when there is room', async () => {
    fill()
    for (let tries = 4; tries > 0; tries -= 1) {
      const refused = await product.run('alice', ['connect', 'prod-vectors', '--json'])
      expect(refused.exitCode).toBe(9)
      expect(refused.stdout).toMatch(/VGATE_(RECORDING|STORE)_UNAVAILABLE/)
      expect(refused.stdout).toMatch(/disk/)
    }
    rmSync(filler)
    // None of those counts as open, though their ends could not be written then.
    for (let tries = 3; tries > 0; tries -= 1) {
      const { running, client } = await connect()
      expect((await client.query('SELECT count(*)::int AS n FROM docs')).rows[0]).toBeDefined()
      await client.end()
      expect((await running.stop()).exitCode).toBe(143)
    }
    const list = await product.run('alice', ['sessions', 'list', '--json'])
    expect(list.stdout).not.toContain('"state":"open"')
    const verify = await product.run('alice', ['verify', join(folder, 'data', 'audit')])
    expect(verify.stdout + verify.stderr).not.toMatch(/tampered/)
  })

  it('has no room for the copy of a recording, and that is said', async () => {
    fill()
    const copy = await createCopy(join(folder, 'copy'))
    await expect(copy.write(Buffer.alloc(100_000))).rejects.toMatchObject({
      code: 'VGATE_DISK_FULL',
    })
    await copy.close()
    rmSync(filler)
  })
})
