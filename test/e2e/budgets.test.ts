// A budget in the whole product: real binary, real provider, real PostgreSQL. An export in small pages is an export: it
// ends at the number that the policy says, whoever connects anew and whatever becomes of the gateway.

import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openClient, settingsOf } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: [docs] }]
    budget: [{ collections: [docs], rows: 100, per: 24h }]
access: [{ who: { group: data-science }, role: reader, targets: [prod-*] }]
`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, body text);
  INSERT INTO docs SELECT n, 'text ' || n FROM generate_series(1, 300) n`
const PAGE = 'SELECT id, body FROM docs WHERE id > $1 ORDER BY id LIMIT '

describe.skipIf(!hasPostgres('plain'))('a budget in the product', () => {
  let postgres: TestPostgres
  let product: Product

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({ postgres, database, policy: POLICY })
    await product.login('alice')
  }, 120_000)
  afterAll(async () => {
    await product?.stopLeft()
    await product?.stop()
    await postgres?.stop()
  })

  const got = new Set<number>()
  /** Pages until one is refused; the refusal. */
  async function exported(client: pg.Client, rows: number): Promise<Record<string, unknown>> {
    for (let page = 0; page < 200; page += 1) {
      try {
        const found = await client.query<{ id: number }>(`${PAGE}${rows}`, [Math.max(0, ...got)])
        for (const { id } of found.rows) got.add(id)
      } catch (error) {
        const { code, message, hint } = error as pg.DatabaseError
        return { code, message, hint }
      }
    }
    throw new Error('nothing ended the export')
  }
  async function connected(): Promise<{ connection: Running; client: pg.Client }> {
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    return { connection, client: await openClient(settingsOf(await connection.event('ready'))) }
  }
  const ENDED = {
    code: '53400',
    message: expect.stringMatching(/roles\.reader\.budget\[0\].*\b100 rows\b.*24 h/s),
  }

  it('ends an export in pages, over connections and a kill of the gateway', async () => {
    const first = await connected()
    expect(await exported(first.client, 30)).toMatchObject(ENDED)
    expect(got.size).toBe(90)
    await first.client.end()
    await first.connection.stop('SIGINT')

    const second = await connected()
    expect(await exported(second.client, 30)).toMatchObject(ENDED)
    expect(await exported(second.client, 4)).toMatchObject(ENDED)
    expect(got.size).toBe(98)

    await product.stopGateway('SIGKILL')
    await second.connection.stop('SIGINT')
    await product.startGateway()
    const third = await connected()
    expect(await exported(third.client, 30)).toMatchObject(ENDED)
    expect(await exported(third.client, 1)).toMatchObject(ENDED)
    // What was held ahead when it died counts as taken.
    expect(got.size).toBeGreaterThanOrEqual(98)
    expect(got.size).toBeLessThanOrEqual(100)
    // An unbounded read fails as well, and the catalogue is outside of it.
    await expect(third.client.query('SELECT id FROM docs')).rejects.toMatchObject({ code: '53400' })
    expect((await third.client.query('SELECT relname FROM pg_class LIMIT 5')).rowCount).toBe(5)
    await third.client.end()
  })
})
