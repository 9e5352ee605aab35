// A hundred tunnels whose gateway goes away and comes back on the same port (`npm run test:long`): they return spread
// over time, everybody else is answered meanwhile, and what was open is told as cut.

import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ConnectEvent } from '../../src/client/connect.js'
import { Running } from '../../src/client/running.js'
import { dialTunnel, openSession } from '../../src/client/tunnel-client.js'
import { scramVerifierOf } from '../support/gateway.js'
import { openClient } from '../support/local-connection.js'
import { startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'
import { askGrant } from '../support/raw-tunnel.js'
import { storedLogin } from '../support/stored-login.js'

const TUNNELS = 100
const AT_ONCE = 10
const RECONNECT_MS = 60_000
const WINDOW_MS = 100
/** All of them at once would be 100. Spread evenly over the first waits that can work it would be about five. */
const MOST_IN_A_WINDOW = 25
const PASSWORD = 'one for all of them'
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
  - { who: { group: data-owners }, role: reader, targets: [prod-vectors] }
`

/** One client's end as `connect` runs it, in this process. */
interface Returning {
  readonly running: Running
  readonly at: pg.ClientConfig
  readonly client: pg.Client
  readonly events: ConnectEvent[]
  /** When a try began, and when one had a session. */
  readonly tries: number[]
  back: number | undefined
  first: string
}

describe(`a gateway that goes away under ${TUNNELS} tunnels`, () => {
  let postgres: TestPostgres
  let product: Product
  let database: string
  let grant: string
  const all: Returning[] = []

  beforeEach(async () => {
    postgres = await startPostgres({ kind: 'plain', settings: { max_connections: '300' } })
    const sql = 'CREATE TABLE docs(id int); INSERT INTO docs SELECT generate_series(1, 500)'
    database = await postgres.createDatabase({ sql })
    const more = `limits: { sessionsPerPrincipal: ${TUNNELS}, handshake: 60s }\n`
    product = await startProduct({ postgres, database, policy: POLICY, more })
    await Promise.all([product.login('alice'), product.login('bob')])
    // One for all: how often one person may ask for another is limited.
    grant = await askGrant(product, 'alice', 3_600)
    for (let open = 0; open < TUNNELS; open += AT_ONCE)
      all.push(...(await Promise.all(Array.from({ length: AT_ONCE }, openOne))))
  })

  afterEach(async () => {
    await Promise.allSettled(all.map(({ client }) => client.end()))
    await Promise.allSettled(all.map(({ running }) => running.finish({ reason: 'stopped' })))
    all.length = 0
    await product?.stop()
    await postgres?.stop()
  })

  const openOne = async (): Promise<Returning> => {
    const token = storedLogin(product, 'alice').accessToken
    const events: ConnectEvent[] = []
    const tries: number[] = []
    const one: { back: number | undefined } = { back: undefined }
    const running = new Running((event) => {
      events.push(event)
      if (event.event === 'reconnected') one.back = performance.now()
    }, RECONNECT_MS)
    const open = {
      type: 'open_session' as const,
      grant,
      client: { version: '0.1.0', platform: 'test', command: 'connect' as const },
      secret: scramVerifierOf(PASSWORD),
    }
    running.dial = async () => {
      tries.push(performance.now())
      return await openSession(await dialTunnel({ url: product.url }, token), open, running)
    }
    running.tunnel = await running.dial()
    const { session, expires_at } = running.tunnel.session
    const { host, port } = await running.listen({}, undefined)
    running.ready(expires_at)
    const at = { host, port, user: 'x', password: PASSWORD, database }
    const client = await openClient(at)
    return Object.assign(one, { running, at, client, events, tries, first: session })
  }

  /** By the port that people have, which is the one from before. */
  const askAgain = async ({ at }: Returning): Promise<unknown> => {
    const client = await openClient(at)
    const { rows } = await client.query('SELECT count(*)::int AS n FROM docs')
    await client.end()
    return rows[0].n
  }

  /** Another person's call, again and again until told to stop: milliseconds of each that was answered. */
  const askMeanwhile = (): { readonly took: number[]; stop(): Promise<void> } => {
    const authorization = `Bearer ${storedLogin(product, 'bob').accessToken}`
    const took: number[] = []
    let over = false
    const asking = (async () => {
      while (!over) {
        const from = performance.now()
        const answer = await fetch(`${product.url}/v1/whoami`, { headers: { authorization } })
        expect(answer.status).toBe(200)
        await answer.arrayBuffer()
        took.push(performance.now() - from)
        await sleep(20)
      }
    })()
    return {
      took,
      stop: async () => {
        over = true
        await asking
      },
    }
  }

  it.each([
    ['is killed', 'SIGKILL'],
    ['stops', 'SIGTERM'],
  ] as const)('%s: all come back, spread over time', async (_, signal) => {
    const gone = performance.now()
    await product.stopGateway(signal)
    for (const { client } of all) await expect(client.query('SELECT 1')).rejects.toThrow()
    await product.startGateway()
    const listening = performance.now()
    const bob = askMeanwhile()
    await expect
      .poll(() => all.filter(({ back }) => back !== undefined).length, { timeout: RECONNECT_MS })
      .toBe(TUNNELS)
    await bob.stop()
    const arrivals = all.map(({ tries }) => tries.at(-1) ?? 0).sort((a, b) => a - b)
    const most = mostInAWindow(arrivals)
    process.stdout.write(
      `${JSON.stringify({
        signal,
        tunnels: TUNNELS,
        awaySeconds: seconds(listening - gone),
        backAfterSeconds: [0.5, 0.9, 1].map((share) =>
          seconds(
            quantile(
              all.map(({ back }) => back ?? 0),
              share,
            ) - listening,
          ),
        ),
        tries: all.reduce((sum, { tries }) => sum + tries.length - 1, 0),
        mostArrivalsInAWindow: most,
        whoamiMs: [0.5, 0.99, 1].map((share) => Math.round(quantile(bob.took, share))),
      })}\n`,
    )
    const answers: unknown[] = []
    for (let at = 0; at < TUNNELS; at += AT_ONCE)
      answers.push(...(await Promise.all(all.slice(at, at + AT_ONCE).map(askAgain))))
    expect(answers).toEqual(all.map(() => 500))
    const cut = all.flatMap(({ events }) => events.filter(({ event }) => event === 'reconnecting'))
    expect(cut).toHaveLength(TUNNELS)
    // A gateway that stops has told each connection itself, in the words of its protocol, before the tunnel goes.
    const left = signal === 'SIGKILL' ? 1 : 0
    expect(cut).toEqual(cut.map(() => expect.objectContaining({ cut: left })))
    // A session dies with its gateway: each has another, under the same grant.
    const sessions = all.map(({ running }) => running.tunnel?.session.session)
    expect(new Set([...sessions, ...all.map(({ first }) => first)]).size).toBe(2 * TUNNELS)
    expect(most).toBeLessThanOrEqual(MOST_IN_A_WINDOW)
  })
})

function mostInAWindow(times: readonly number[]): number {
  return Math.max(
    ...times.map((from) => times.filter((at) => at >= from && at < from + WINDOW_MS).length),
  )
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function seconds(ms: number): number {
  return Math.round(ms / 10) / 100
}
