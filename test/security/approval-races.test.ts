// Approvals, releases, revocations and expiries at the same moment, through a real data plane, store and PostgreSQL. A row
// that counts tells how often something really ran: at most once for each approval, and never after the end.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const MINUTE = 60_000
const SOON = { timeout: 60_000 }
const POLICY = `
roles: { writer: { allow: [{ access: write, collections: [counted] }] } }
access: [{ who: { group: team }, role: writer, targets: ["*"] }]
holds:
  - { name: big, match: { risk: [bulk-update] }, approval: { by: [owners], expires: 15m } }
`
const SETUP = `CREATE TABLE counted(id int PRIMARY KEY, label text, runs int);
  INSERT INTO counted SELECT g, g::text, 0 FROM generate_series(0, 99) g; ANALYZE`
const textOf = (label: number): string =>
  `UPDATE counted SET runs = runs + 1 WHERE label = '${label}'`

// A hundred connections and sessions take their time on a busy machine.
describe.skipIf(!hasPostgres('plain'))('approvals that race', { timeout: 300_000 }, () => {
  let postgres: TestPostgres
  let database: string
  let admin: pg.Client
  let gateway: TestGateway
  let clients: pg.Client[] = []
  const clock = { at: Date.now(), now: () => clock.at }

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', settings: { max_connections: '150' } })
    database = await postgres.createDatabase({ sql: SETUP })
    admin = await postgres.connect(database)
  })
  afterAll(async () => {
    await admin?.end()
    await postgres?.stop()
  })
  const open = async (
    more: { clock?: typeof clock; grantMs?: number } = {},
  ): Promise<TestConnection> => {
    const users = { alice: ['corp:team'] }
    gateway = await startTestGateway({ postgres, database, policy: POLICY, users, ...more })
    return await gateway.connectAs('alice')
  }
  afterEach(async () => {
    await gateway.stop()
    await Promise.allSettled(clients.map((client) => client.end()))
    clients = []
    await admin.query('UPDATE counted SET runs = 0')
  })

  const connected = async (at: TestConnection): Promise<pg.Client> => {
    const { host, port, user, password } = at
    const client = new pg.Client({ host, port, user, password, database: at.database })
    client.on('error', () => undefined)
    clients.push(client)
    await client.connect()
    return client
  }
  /** A hundred, opened ten at a time: opening is not what races here. */
  const hundred = async <T>(one: () => Promise<T>): Promise<T[]> => {
    const all: T[] = []
    while (all.length < 100) all.push(...(await Promise.all(Array.from({ length: 10 }, one))))
    return all
  }
  /** How it ended: `ran`, or the SQLSTATE. Never rejects. */
  const started = (client: pg.Client, text: string, parameters?: unknown[]): Promise<string> =>
    client.query(text, parameters).then(
      () => 'ran',
      (error: { code?: string }) => error.code ?? 'lost',
    )
  const runs = async (): Promise<number[]> =>
    (await admin.query('SELECT runs FROM counted ORDER BY id')).rows.map((row) => row.runs)
  const people = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, at) => gateway.person(`p${at}`, ['corp:owners'])))
  /** Without a fresh lease nothing is judged: after a jump of the clock it is waited for. */
  const leased = async (client: pg.Client): Promise<void> =>
    expect.poll(() => started(client, 'SELECT 1'), SOON).toBe('ran')

  it('runs one of a hundred identical statements for each approval, and none after a revocation', async () => {
    const at = await open()
    const waiting = await hundred(() => connected(at))
    const ends: string[] = []
    const all = waiting.map(async (client) => ends.push(await started(client, textOf(0))))
    const approvers = await people(100)
    for (const round of [1, 2]) {
      const stillOpen = 101 - round
      const asked = async (): Promise<number> =>
        at.held.filter(({ request }) => request === at.held.at(-1)?.request).length
      await expect.poll(asked, SOON).toBe(stillOpen)
      const request = at.held.at(-1)?.request ?? ''
      await Promise.allSettled(approvers.map((by) => gateway.requests.approve(by, request, {})))
      await expect.poll(() => ends, SOON).toEqual(Array(round).fill('ran'))
      expect((await runs())[0]).toBe(round)
    }
    await gateway.revoke(at)
    await Promise.all(all)
    expect(ends.filter((end) => end === 'ran')).toHaveLength(2)
    expect(new Set(ends)).toEqual(new Set(['ran', '57P01']))
    expect((await runs())[0]).toBe(2)
  })

  it('runs each of a hundred at most once when it is approved, denied, voided and revoked at once', async () => {
    await open()
    const [first, second, third] = await people(3)
    if (first === undefined || second === undefined || third === undefined)
      expect.fail('nobody to ask')
    const { requests } = gateway
    const opened = await hundred(async () => {
      const at = await gateway.connectAs('alice')
      return { at, client: await connected(at) }
    })
    const ended = await Promise.all(
      opened.map(async ({ at, client }, label) => {
        const text = textOf(label)
        const running = started(client, text)
        await expect.poll(() => at.held.length, SOON).toBeGreaterThan(0)
        const id = at.held[0]?.request ?? ''
        const others = [
          () => requests.deny(third, id, 'no'),
          () => requests.void(id, 'changed'),
          () => gateway.revoke(at),
          () => Promise.resolve(),
        ]
        const both = [requests.approve(first, id, {}), requests.approve(second, id, {})]
        await Promise.allSettled([...both, others[label % 4]?.()])
        // A fourth is only approved; what was voided is asked anew, and nobody answers that.
        if (label % 4 === 3) await running
        await at.close()
        return { end: await running, state: (await requests.find(id))?.state }
      }),
    )
    const counts = await runs()
    expect(Math.max(...counts)).toBeLessThanOrEqual(1)
    for (const [label, { end, state }] of ended.entries()) {
      if (end === 'ran') expect(counts[label]).toBe(1)
      if (state !== 'consumed') expect(counts[label]).toBe(0)
    }
    // Not every one that was only approved: where the machine is busy a lease may lapse, and then nothing runs.
    expect(ended.filter(({ end }) => end === 'ran').length).toBeGreaterThan(0)
  })

  it('ends a grant of 30 minutes at minute 30 for what runs, what waits and what is approved by then', async () => {
    clock.at = Date.now()
    const from = clock.at
    const at = await open({ clock, grantMs: 30 * MINUTE })
    const [bob] = await people(1)
    if (bob === undefined) expect.fail('nobody to ask')
    const [idle, long, waits] = [await connected(at), await connected(at), await connected(at)]
    clock.at = from + 29 * MINUTE
    await leased(idle)
    const running = started(long, 'SELECT count(*) FROM generate_series(1, 100000000000)')
    const held = started(waits, textOf(1))
    await expect.poll(() => at.held.length, SOON).toBe(1)
    clock.at = from + 30 * MINUTE
    await gateway.requests.approve(bob, at.held[0]?.request ?? '', {})
    expect(await started(idle, 'SELECT 1')).toMatch(/57P01|lost/)
    expect([await running, await held]).toEqual(['57P01', '57P01'])
    expect((await runs())[1]).toBe(0)
    await expect(connected(at)).rejects.toThrow()
  })

  it('takes an approval to its last millisecond, and not at its end', async () => {
    clock.at = Date.now()
    const at = await open({ clock, grantMs: 600 * MINUTE })
    const [bob] = await people(1)
    if (bob === undefined) expect.fail('nobody to ask')
    for (const [nth, late] of [0, 1].entries()) {
      const client = await connected(at)
      const waiting = started(client, textOf(2))
      await expect.poll(() => at.held.length, SOON).toBe(2 * nth + 1)
      const id = at.held.at(-1)?.request ?? ''
      await client.end()
      await waiting
      await gateway.requests.approve(bob, id, {})
      const retry = await connected(at)
      clock.at += 15 * MINUTE - 1 + late
      await leased(retry)
      const again = started(retry, textOf(2))
      await expect.poll(() => at.held.length, SOON).toBe(2 * nth + 2)
      if (late === 0) expect(await again).toBe('ran')
      expect(at.held.at(-1)?.request === id).toBe(late === 0)
      expect((await runs())[2]).toBe(1)
    }
  })

  it('takes no other text, parameter or type for what was approved', async () => {
    const at = await open()
    const [bob] = await people(1)
    if (bob === undefined) expect.fail('nobody to ask')
    const text = 'UPDATE counted SET runs = runs + 1 WHERE label = $1'
    const client = await connected(at)
    const waiting = started(client, text, ['3'])
    await expect.poll(() => at.held.length, SOON).toBe(1)
    const id = at.held[0]?.request ?? ''
    await client.end()
    await waiting
    await gateway.requests.approve(bob, id, {})
    const others: [string, unknown[]?][] = [
      [`${text} `, ['3']],
      [text.toLowerCase(), ['3']],
      [text, ['4']],
      [text, [Buffer.from('3')]],
      [text.replace('$1', '$1::text'), ['3']],
      [textOf(3)],
    ]
    const asked = new Set([id])
    for (const [other, parameters] of others) {
      const one = await connected(at)
      const end = started(one, other, parameters)
      await expect.poll(() => asked.has(at.held.at(-1)?.request ?? ''), SOON).toBe(false)
      asked.add(at.held.at(-1)?.request ?? '')
      await one.end()
      expect(await end).not.toBe('ran')
    }
    expect([(await gateway.requests.find(id))?.state, (await runs())[3]]).toEqual(['approved', 0])
    expect(await started(await connected(at), text, ['3'])).toBe('ran')
    expect([(await gateway.requests.find(id))?.state, (await runs())[3]]).toEqual(['consumed', 1])
  })
})
