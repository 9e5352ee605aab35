// The long form of the stalled reader (`npm run test:long`): 1 GB, or VGATE_LONG_GB; many streams and many sessions.

import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectLocally, openClient } from '../support/local-connection.js'
import { startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'
import { measureStalled, WIDE, WIDE_POLICY } from '../support/stalled-result.js'

const GIGABYTES = Number(process.env['VGATE_LONG_GB'] ?? '1')
const STREAMS = 1_000

describe('the tunnel, for long', () => {
  let postgres: TestPostgres
  let product: Product
  let connection: Running
  let at: pg.ClientConfig

  beforeAll(async () => {
    postgres = await startPostgres({
      kind: 'pgvector',
      settings: { max_connections: '1100', shared_buffers: '64MB' },
    })
    const database = await postgres.createDatabase({ sql: WIDE })
    const more = `limits: { connectionsPerSession: ${STREAMS + 50} }\n`
    product = await startProduct({ postgres, database, policy: WIDE_POLICY, more })
    await product.login('alice')
    ;({ running: connection, at } = await connectLocally(product, 'alice'))
  })

  afterAll(async () => {
    await connection?.stop()
    await product?.stop()
    await postgres?.stop()
  })

  it(`${GIGABYTES} GB to a reader that stops and goes on: at most 64 MiB over base at either end`, async () => {
    const pids = [product.gatewayPid(), connection.pid ?? 0]
    const result = await measureStalled({ at, pids, megabytes: GIGABYTES * 1024 })
    process.stdout.write(`${JSON.stringify(result)}\n`)
    expect(result.bytes).toBe(GIGABYTES * 1024 ** 3)
    expect(Math.max(...result.grown)).toBeLessThan(64)
  })

  it(`${STREAMS} streams in one tunnel, each with a query of its own`, async () => {
    const open: pg.Client[] = []
    for (let at50 = 0; at50 < STREAMS; at50 += 50) {
      open.push(...(await Promise.all(Array.from({ length: 50 }, () => openClient(at)))))
    }
    const answers = await Promise.all(
      open.map((client, id) => client.query('SELECT id FROM wide WHERE id = $1', [1 + (id % 500)])),
    )
    expect(answers.map(({ rows }) => rows[0].id)).toEqual(open.map((_, id) => 1 + (id % 500)))
    await Promise.all(open.map((client) => client.end()))
  })
})
