// Short-lived database users in the whole product: real binary, real provider, real PostgreSQL. One is there while a
// grant is in use, and none when it has ended, when the gateway was stopped, and after a kill at the next start.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openClient, settingsOf } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
roles: { reader: { allow: [{ access: read, collections: [docs] }] } }
access: [{ who: { group: data-science }, role: reader, targets: [prod-*] }]
`
const ROLES = `
CREATE ROLE vgate LOGIN CREATEROLE PASSWORD 'vgate-own';
CREATE ROLE vgate_reader NOLOGIN;
GRANT vgate_reader TO vgate WITH ADMIN OPTION;`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY); INSERT INTO docs VALUES (1); GRANT SELECT ON docs TO vgate_reader`
const WAIT = { timeout: 40_000, interval: 100 }

describe.skipIf(!hasPostgres('plain'))('short-lived database users in the product', () => {
  let postgres: TestPostgres
  let admin: pg.Client
  let product: Product

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const setup = await postgres.connect('postgres')
    await setup.query(ROLES)
    await setup.end()
    const database = await postgres.createDatabase({ sql: SETUP })
    admin = await postgres.connect(database)
    product = await startProduct({
      postgres: {
        host: postgres.host,
        port: postgres.port,
        superuser: 'vgate',
        password: 'vgate-own',
      },
      database,
      policy: POLICY,
      targetMore: '    mint: { role: { memberOf: [vgate_reader], prefix: short_ } }\n',
    })
    await product.login('alice')
  }, 120_000)
  afterEach(() => product?.stopLeft())
  afterAll(async () => {
    await product?.stop()
    await admin?.end()
    await postgres?.stop()
  })

  const roles = async (): Promise<string[]> => {
    const text = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'short_')"
    return (await admin.query<{ rolname: string }>(text)).rows.map(({ rolname }) => rolname)
  }
  /** What the audit log says of one user. */
  const told = (user: string): string[] => {
    const folder = join(product.directory, 'data', 'audit')
    const logs = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
    const found = logs.join('').matchAll(/"type":"user\.(\w+)","user":"(\w+)"/g)
    return [...found].flatMap(([, what, name]) => (name === user && what ? [what] : []))
  }

  async function connected(): Promise<{ connection: Running; client: pg.Client; user: string }> {
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const client = await openClient(settingsOf(await connection.event('ready')))
    const { rows } = await client.query('SELECT current_user::text AS own, id FROM docs')
    return { connection, client, user: rows[0].own }
  }

  it('are what a connection is, and gone when it has ended', async () => {
    const { connection, user } = await connected()
    expect(user).toMatch(/^short_[a-z2-7]{16}$/)
    expect(await roles()).toEqual([user])
    await connection.stop('SIGINT')
    await expect.poll(roles, WAIT).toEqual([])
    await expect.poll(() => told(user), WAIT).toEqual(['minted', 'dropped'])
  })

  it('are gone behind the next start where the gateway was killed', async () => {
    const { connection, user } = await connected()
    await product.stopGateway('SIGKILL')
    expect(await roles()).toEqual([user])
    await product.startGateway()
    await expect.poll(async () => (await roles()).includes(user), WAIT).toBe(false)
    await connection.stop('SIGINT')
    await expect.poll(roles, WAIT).toEqual([])
  })

  it('are gone when the gateway was stopped', async () => {
    await connected()
    await product.stopGateway('SIGTERM')
    expect(await roles()).toEqual([])
    await product.startGateway()
  })

  it('are gone when access is taken away', async () => {
    const { client } = await connected()
    const cut = new Promise((resolve) => client.once('error', resolve))
    const { stdout } = await product.run('alice', ['sessions', 'list', '--json'])
    const [{ principal }] = JSON.parse(stdout).sessions
    expect(await product.run('alice', ['revoke', principal.id])).toMatchObject({ exitCode: 0 })
    await cut
    await expect.poll(roles, WAIT).toEqual([])
  })
})
