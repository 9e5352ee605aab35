// recording.md, "Durability", over a real server and its statement log: a disk that stalls, fails or is full slows or
// ends a session, and nothing runs that is not recorded.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { openVerified } from '../../src/audit/read.js'
import { verifyFile } from '../../src/audit/verify.js'
import { type FaultyFs, faultyFs } from '../support/faulty-fs.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles: { writer: { allow: [{ access: write, collections: [docs] }], limits: { rows: 50 } } }
access: [{ who: { group: team }, role: writer, targets: ["*"] }]
`
const STALL_MS = 2_000

describe.skipIf(!hasPostgres('plain'))('the disk of a gateway', () => {
  let postgres: TestPostgres
  let database: string
  let fs: FaultyFs
  const gateways: TestGateway[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
    database = await postgres.createDatabase({
      sql: 'CREATE TABLE docs(id int PRIMARY KEY, body text); INSERT INTO docs VALUES (1, $$a$$)',
    })
  })
  afterEach(async () => {
    for (const gateway of gateways.splice(0)) await gateway.stop()
  })
  afterAll(() => postgres?.stop())

  const start = async (durability: 'standard' | 'strict' = 'standard'): Promise<TestGateway> => {
    fs = faultyFs()
    const users = { alice: ['corp:team'] }
    const gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users,
      durability,
      recordingFs: fs,
    })
    gateways.push(gateway)
    return gateway
  }
  const connected = async (at: TestConnection): Promise<pg.Client> => {
    const { host, port, user, password } = at
    const client = new pg.Client({ host, port, user, password, database: at.database })
    client.on('error', () => undefined)
    await client.connect()
    await client.query('SELECT id FROM docs WHERE id = 1')
    return client
  }
  const ran = async (text: string): Promise<boolean> => (await postgres.log()).includes(text)
  const recorded = async (at: TestConnection): Promise<string> => {
    const all: unknown[] = []
    const { records } = await openVerified(at.recording, { keys: 'embedded' })
    for await (const record of records()) all.push(record)
    return JSON.stringify(all)
  }
  const stall = (): (() => void) => {
    let release: () => void = () => undefined
    fs.gate = new Promise((resolve) => {
      release = () => {
        fs.gate = undefined
        resolve()
      }
    })
    return release
  }

  it('that stalls for two seconds lets no write run meanwhile, soon no read, and loses nothing', async () => {
    const gateway = await start()
    const at = await gateway.connectAs('alice')
    const [writer, reader] = [await connected(at), await connected(at)]
    const release = stall()
    const stalledAt = performance.now()
    const write = writer.query("INSERT INTO docs VALUES (2, 'stalled')")
    let reads = 0
    let lastRead = 0
    const reading = (async () => {
      while (performance.now() - stalledAt < STALL_MS + 100) {
        await reader.query(`SELECT id, ${reads} FROM docs WHERE id = 1`)
        reads += 1
        if (fs.gate !== undefined) lastRead = performance.now() - stalledAt
      }
    })()
    await new Promise((resolve) => setTimeout(resolve, STALL_MS))
    expect(await ran("VALUES (2, 'stalled')")).toBe(false)
    // Reads went on for as long as the disk may take, and then waited for it.
    expect(lastRead).toBeLessThan(STALL_MS - 500)
    release()
    await Promise.all([write, reading])
    expect(await ran("VALUES (2, 'stalled')")).toBe(true)
    await at.close()
    const words = await recorded(at)
    for (let read = 0; read < reads; read += 1) expect(words).toContain(`SELECT id, ${read} FROM`)
    expect(await verifyFile(at.recording, { keys: 'embedded' })).toMatchObject({
      reason: expect.stringContaining('closed'),
    })
    await writer.end()
    await reader.end()
  })

  it('is waited for by reads too where durability is strict', async () => {
    const gateway = await start('strict')
    const at = await gateway.connectAs('alice')
    const client = await connected(at)
    const release = stall()
    const read = client.query("SELECT 'strict' FROM docs WHERE id = 1")
    await vi.waitFor(() => expect(fs.dataSyncs).toBeGreaterThan(1))
    expect(await ran("SELECT 'strict'")).toBe(false)
    release()
    expect((await read).rowCount).toBe(1)
    await client.end()
    await at.close()
  })

  it('is waited for by the first read: before it a power loss would leave no recording', async () => {
    const gateway = await start()
    const release = stall()
    const at = await gateway.connectAs('alice')
    let answered = false
    const first = connected(at).then((client) => {
      answered = true
      return client
    })
    await vi.waitFor(() => expect(fs.dataSyncs).toBeGreaterThan(0))
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(answered).toBe(false)
    release()
    await (await first).end()
    await at.close()
  })

  it.each<[string, (fs: FaultyFs) => void, (fs: FaultyFs) => void]>([
    [
      'fails an fsync',
      (disk) => {
        disk.failDataSync = true
      },
      (disk) => {
        disk.failDataSync = false
      },
    ],
    [
      'is full',
      (disk) => {
        disk.free = 0
      },
      (disk) => {
        disk.free = Number.POSITIVE_INFINITY
      },
    ],
  ])('that %s ends the session, runs nothing, and serves the next one', async (how, fail, mend) => {
    const gateway = await start()
    const at = await gateway.connectAs('alice')
    const client = await connected(at)
    fail(fs)
    const text = `INSERT INTO docs VALUES (3, '${how}')`
    await expect(client.query(text)).rejects.toThrow(/record/)
    await vi.waitFor(() => expect(gateway.summaries.has(at.session.id)).toBe(true), 10_000)
    expect(await ran(text)).toBe(false)
    mend(fs)
    const { verdict } = await verifyFile(at.recording, { keys: 'embedded' })
    expect(verdict).toBe('unknown_key')
    const next = await gateway.connectAs('alice')
    const again = await connected(next)
    expect((await again.query("UPDATE docs SET body = 'b' WHERE id = 1")).rowCount).toBe(1)
    await again.end()
    await next.close()
  })
})
