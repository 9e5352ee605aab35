// The tunnel through the real binary: a gateway that dies and comes back, and a large result whose reader stops.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectLocally } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'
import { measureStalled, WIDE, WIDE_POLICY } from '../support/stalled-result.js'

describe.skipIf(!hasPostgres('pgvector'))('the tunnel', () => {
  let postgres: TestPostgres
  let product: Product
  let connection: Running
  let at: pg.ClientConfig

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: WIDE })
    product = await startProduct({ postgres, database, policy: WIDE_POLICY })
    await product.login('alice')
    ;({ running: connection, at } = await connectLocally(product, 'alice'))
  }, 120_000)

  afterAll(async () => {
    await connection?.stop()
    await product?.stop()
    await postgres?.stop()
  })

  const ask = async (): Promise<unknown> => {
    const client = new pg.Client(at)
    await client.connect()
    const { rows } = await client.query('SELECT count(*)::int AS n FROM wide')
    await client.end()
    return rows
  }

  it('carries a large result whose reader stops and goes on in bounded memory, beside a small query', {
    timeout: 120_000,
  }, async () => {
    const pids = [product.gatewayPid(), connection.pid ?? 0]
    const { bytes, grown, slowest } = await measureStalled({ at, pids, megabytes: 200 })
    expect(bytes).toBe(200 * 1024 * 1024)
    // 64 is for a gateway that is warm (the long run): a cold one compiles its code and starts its first thread meanwhile.
    expect(Math.max(...grown)).toBeLessThan(80)
    expect(slowest).toBeLessThan(5_000)
  })

  // A gateway that stops ends its streams first, one that dies cannot.
  it.each([
    ['SIGKILL', 1],
    ['SIGTERM', 0],
  ] as const)(
    'comes back after a gateway that got %s and started again: same port, same secret, a new session',
    { timeout: 60_000 },
    async (signal, left) => {
      const open = new pg.Client(at)
      const cut = new Promise<Error>((resolve) => open.on('error', resolve))
      await open.connect()
      await product.stopGateway(signal)
      expect(await cut).toBeInstanceOf(Error)
      expect(await connection.event('reconnecting')).toMatchObject({
        cut: left,
        message: expect.stringContaining('the gateway is gone'),
      })
      await product.startGateway()
      const { session } = await connection.event('reconnected')
      expect(await ask()).toEqual([{ n: 500 }])
      const list = await product.run('alice', ['sessions', '--json'])
      const states = JSON.parse(list.stdout).sessions as { id: string; state: string }[]
      expect(states.find((one) => one.id === session)?.state).toBe('open')
      expect(states.filter((one) => one.state === 'open')).toHaveLength(1)
    },
  )
})
