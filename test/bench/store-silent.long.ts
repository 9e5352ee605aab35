// Owns the proof that a PostgreSQL store that falls silent, without a word or a reset, is noticed and not waited for.

import { mkdtempSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Secret } from '../../src/core/secret.js'
import { openPostgresStore } from '../../src/store/open.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const WAIT = { timeout: 60_000, interval: 100 }

describe.skipIf(!hasPostgres('plain'))('a store that falls silent', () => {
  let postgres: TestPostgres
  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
  })
  afterAll(async () => {
    await postgres?.stop()
  })

  it('is refused within eight seconds, and used again when it speaks', async () => {
    const relay = await silencer(postgres.port)
    const heard: string[] = []
    const store = await openPostgresStore({
      directory: mkdtempSync(join(tmpdir(), 'vgate-store-')),
      clock: { now: () => 1_000_000 },
      changed: (event) => heard.push(event),
      settings: {
        host: '127.0.0.1',
        port: relay.port,
        database: 'postgres',
        user: postgres.superuser,
        password: () => new Secret(postgres.password),
        tls: { verify: 'off' },
      },
    })
    expect(await store.findGrant('grt_1')).toBeUndefined()
    relay.silence(true)
    const since = Date.now()
    const calls = Array.from({ length: 50 }, () => store.findGrant('grt_1'))
    const ends = await Promise.allSettled(calls)
    expect(ends.every(({ status }) => status === 'rejected')).toBe(true)
    // Ten connections, each given up after six seconds; those in line sooner.
    expect(Date.now() - since).toBeLessThan(14_000)
    await vi.waitFor(() => expect(heard).toEqual(['store.lost']), WAIT)
    const refusing = Date.now()
    await expect(store.findGrant('grt_1')).rejects.toMatchObject({
      code: 'VGATE_STORE_UNAVAILABLE',
    })
    expect(Date.now() - refusing).toBeLessThan(1_000)
    process.stderr.write(`a silent store was refused after ${refusing - since} ms\n`)
    relay.silence(false)
    await vi.waitFor(async () => expect(await store.findGrant('grt_1')).toBeUndefined(), WAIT)
    expect(heard).toEqual(['store.lost', 'store.regained'])
    await store.close()
    relay.close()
  }, 120_000)
})

/** A relay to a port of this machine that can stop forwarding, with every connection left open. */
async function silencer(to: number) {
  let silent = false
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    for (const [from, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (bytes: Buffer) => silent || other.write(bytes))
      from.on('error', () => undefined)
      from.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    silence: (yes: boolean) => {
      silent = yes
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
