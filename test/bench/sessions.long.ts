// Five hundred sessions at once (`npm run test:long`), each with its own tunnel and database connection: a query in
// each while all are open, and what one costs the gateway.

import { createServer, type Server } from 'node:net'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tieSocket } from '../../src/client/stream-socket.js'
import { dialTunnel, openSession, type Tunnel } from '../../src/client/tunnel-client.js'
import { scramVerifierOf } from '../support/gateway.js'
import { openClient } from '../support/local-connection.js'
import { startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'
import { askGrant } from '../support/raw-tunnel.js'
import { storedLogin } from '../support/stored-login.js'
import { memoryKib } from './systems.js'

const SESSIONS = 500
const AT_ONCE = 20
const PASSWORD = 'one for all of them'
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
`

describe('the gateway, with many sessions', () => {
  let postgres: TestPostgres
  let product: Product
  let database: string
  let grant: string
  const tunnels: Tunnel[] = []
  const servers: Server[] = []
  const clients: pg.Client[] = []

  beforeAll(async () => {
    postgres = await startPostgres({
      kind: 'plain',
      settings: { max_connections: '600', shared_buffers: '64MB' },
    })
    const sql = 'CREATE TABLE docs(id int); INSERT INTO docs SELECT generate_series(1, 500)'
    database = await postgres.createDatabase({ sql })
    const more = `limits: { sessionsPerPrincipal: ${SESSIONS + 10} }\n`
    product = await startProduct({ postgres, database, policy: POLICY, more })
    await product.login('alice')
    // One for all: how often one person may ask for another is limited.
    grant = await askGrant(product, 'alice')
  })

  afterAll(async () => {
    await Promise.allSettled(clients.map((client) => client.end()))
    await Promise.allSettled(tunnels.map((tunnel) => tunnel.close()))
    for (const server of servers) server.close()
    await product?.stop()
    await postgres?.stop()
  })

  const openOne = async (): Promise<void> => {
    const token = storedLogin(product, 'alice').accessToken
    const socket = await dialTunnel({ url: product.url }, token)
    const tunnel = await openSession(
      socket,
      {
        type: 'open_session',
        grant,
        client: { version: '0.1.0', platform: 'test', command: 'connect' },
        secret: scramVerifierOf(PASSWORD),
      },
      { message: () => undefined, lost: () => undefined },
    )
    tunnels.push(tunnel)
    const server = createServer({ allowHalfOpen: true }, (local) =>
      tieSocket(tunnel.mux, 'postgres', local),
    )
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    clients.push(
      await openClient({ host: '127.0.0.1', port, user: 'x', password: PASSWORD, database }),
    )
  }

  it(`serves ${SESSIONS} sessions at once`, async () => {
    const before = memoryKib([product.gatewayPid()], 'VmRSS')
    const from = performance.now()
    for (let open = 0; open < SESSIONS; open += AT_ONCE)
      await Promise.all(Array.from({ length: AT_ONCE }, openOne))
    const seconds = (performance.now() - from) / 1000
    const answers = await Promise.all(
      clients.map((client, id) => client.query('SELECT id FROM docs WHERE id = $1', [id + 1])),
    )
    expect(answers.map(({ rows }) => rows[0].id)).toEqual(clients.map((_, id) => id + 1))
    expect(new Set(tunnels.map((tunnel) => tunnel.session.session)).size).toBe(SESSIONS)
    const kib = (memoryKib([product.gatewayPid()], 'VmRSS') - before) / SESSIONS
    process.stdout.write(`${JSON.stringify({ sessions: SESSIONS, seconds, kib })}\n`)
  })
})
