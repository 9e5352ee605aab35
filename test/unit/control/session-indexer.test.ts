// When recordings are read for the index: while a session lives, at its end, at the start; and what is not read.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { SessionRecord } from '../../../src/audit/records.js'
import { openRecording } from '../../../src/audit/writer.js'
import { type ReadMessage, readFacts } from '../../../src/control/read-facts.js'
import { LIVE_MS, SessionIndex } from '../../../src/control/session-indexer.js'
import { newId } from '../../../src/core/ids.js'
import { testPair } from '../../support/recording-files.js'
import { setup } from './control-fixture.js'

const pair = testPair(1)
const totals = { operations: 1, denied: 0, rows: 0, bytesOut: 0 }
const closing: SessionRecord = { type: 'session.closed', reason: 'stopped', totals }
const insert = (op: number, key: string): SessionRecord[] => [
  {
    ...{ type: 'operation.judged', connection: 'con', op, form: 'simple', verdict: 'permit' },
    ...{ text: `INSERT INTO docs VALUES (${key})`, rule: 'r', keys: { docs: [key] } },
    operations: [
      {
        ...{ name: 'insert', access: 'write', risks: [] },
        collections: [
          {
            collection: 'docs',
            access: 'write',
            action: 'insert',
            effect: { kind: 'rows', count: 1 },
          },
        ],
      },
    ],
  },
  {
    ...{ type: 'operation.delivered', connection: 'con', op, index: 0, rowCount: 0, bytes: 0 },
    ...{ masked: 0, tag: 'INSERT 0 1', done: true },
  },
]

let folder: string | undefined
afterEach(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

async function world() {
  const base = await setup()
  const { directory, clock, store, audit, log } = base
  folder = directory
  const recordings = join(directory, 'recordings')
  mkdirSync(recordings)
  const timers: { at: number; run: () => void }[] = []
  const reported: string[] = []
  let reads = 0
  const make = (read = readFacts) =>
    new SessionIndex({
      ...{ store, audit, clock, recordings: { directory: recordings } },
      signingKeys: () => [pair.key],
      schedule: (ms, run) => {
        timers.push({ at: clock.at + ms, run })
        return () => undefined
      },
      read: (job) => {
        reads += 1
        return read(job)
      },
      report: (event) => reported.push(event),
    })
  const ana = await base.login('ana', ['data'])
  const { json } = await base.call('POST', '/v1/grants', ana, { target: 'prod', reason: 'look' })
  const { id: grant } = (json as { grant: { id: string } }).grant
  const principal = await store.findGrant(grant)
  const session = async (): Promise<string> => {
    const id = newId('ses')
    const found = await store.findPrincipal(principal?.principal ?? '')
    if (found === undefined || principal === undefined) throw new Error('no principal')
    const client = { version: '1', platform: 'linux', command: 'connect' }
    await store.openSession({
      id,
      grant: principal,
      principal: found,
      database: 'pgvector',
      client,
      maxOpen: 99,
    })
    return id
  }
  const record = (id: string) =>
    openRecording({ directory: recordings, id, kind: 'session', key: pair, clock })
  const end = async (id: string): Promise<void> => {
    const summary = { session: id, reason: 'stopped' as const, operations: 1, denied: 0, rows: 0 }
    await store.closeSession({ ...summary, bytesOut: 0, recording: { records: 1, head: '' } })
  }
  const advance = async (index: SessionIndex, ms: number): Promise<void> => {
    clock.at += ms
    for (const timer of timers.splice(0)) {
      if (timer.at <= clock.at) timer.run()
      else timers.push(timer)
    }
    await index.settled()
  }
  const outcomes = async (key: string): Promise<string[]> =>
    (await store.searchKey({ collection: 'docs', key, limit: 9 })).found.map((one) => one.outcome)
  const pathOf = (id: string): string => join(recordings, `${id}.vgr`)
  return {
    ...base,
    store,
    log,
    make,
    session,
    record,
    end,
    advance,
    outcomes,
    pathOf,
    reported,
    reads: () => reads,
  }
}

describe('the index', () => {
  it('reads a recording while its session lives, and again only when it has grown', async () => {
    const { make, session, record, end, advance, outcomes, reads } = await world()
    const index = make()
    index.start()
    await index.settled()
    const id = await session()
    const recording = record(id)
    index.opened(id)
    const [judged, delivered] = insert(1, '42')
    recording.append(judged as SessionRecord)
    await recording.checkpoint()
    await advance(index, LIVE_MS)
    expect(await outcomes('42')).toEqual(['running'])
    await advance(index, LIVE_MS)
    expect(reads()).toBe(1)
    recording.append(delivered as SessionRecord)
    await recording.checkpoint()
    await advance(index, LIVE_MS)
    expect(await outcomes('42')).toEqual(['done'])
    for (const body of insert(2, '43')) recording.append(body)
    await recording.close(closing)
    await end(id)
    index.ended(id)
    await index.settled()
    expect(await outcomes('43')).toEqual(['done'])
    expect(index.behind).toBe(0)
    await index.stop()
  })

  it('takes up at its start what has ended unread, once', async () => {
    const { make, session, record, end, outcomes, store, reads } = await world()
    const ids = await Promise.all([session(), session(), session()])
    for (const [at, id] of ids.entries()) {
      const recording = record(id)
      for (const body of insert(1, String(at))) recording.append(body)
      await recording.close(closing)
      await end(id)
    }
    const first = make()
    first.start()
    await first.settled()
    expect([await outcomes('0'), await outcomes('1'), await outcomes('2')]).toEqual(
      Array(3).fill(['done']),
    )
    const second = make()
    second.start()
    await second.settled()
    expect(reads()).toBe(3)
    await store.clearIndex()
    expect(await outcomes('0')).toEqual([])
    const third = make()
    third.start()
    await third.settled()
    expect(await outcomes('0')).toEqual(['done'])
  })

  it('does not take up what was tampered with, and says so once', async () => {
    const { make, session, record, end, outcomes, store, log, pathOf, reported } = await world()
    const id = await session()
    const recording = record(id)
    for (const body of insert(1, '42')) recording.append(body)
    await recording.close(closing)
    await end(id)
    const bytes = readFileSync(pathOf(id))
    bytes[bytes.length - 600] = (bytes[bytes.length - 600] ?? 0) ^ 1
    writeFileSync(pathOf(id), bytes)
    for (let start = 0; start < 2; start += 1) {
      const index = make()
      index.start()
      await index.settled()
    }
    expect(await outcomes('42')).toEqual([])
    expect(await store.indexGaps(undefined)).toMatchObject({ count: 1 })
    const told = log.filter(({ body }) => body.type === 'recording.tampered')
    expect(told).toEqual([{ body: expect.objectContaining({ session: id }), sync: true }])
    expect(reported).toEqual(['recording.tampered'])
  })

  it('reads neither another session’s recording nor through a link', async () => {
    const { make, session, record, end, outcomes, store, pathOf } = await world()
    const [real, copied, linked, absent] = [
      await session(),
      await session(),
      await session(),
      await session(),
    ]
    const recording = record(real)
    for (const body of insert(1, '42')) recording.append(body)
    await recording.close(closing)
    copyFileSync(pathOf(real), pathOf(copied))
    symlinkSync(pathOf(real), pathOf(linked))
    for (const id of [real, copied, linked, absent]) await end(id)
    const index = make()
    index.start()
    await index.settled()
    expect(await outcomes('42')).toEqual(['done'])
    const { some } = await store.indexGaps(undefined)
    expect(new Map(some.map((one) => [one.session, one.state]))).toEqual(
      new Map([
        [copied, 'tampered'],
        [linked, 'tampered'],
        [absent, 'missing'],
      ]),
    )
    expect(existsSync(pathOf(absent))).toBe(false)
  })

  it('goes on with the others when one cannot be read, and tries it again', async () => {
    const { make, session, record, end, advance, outcomes, reported } = await world()
    const [bad, good] = [await session(), await session()]
    for (const [id, key] of [
      [bad, '1'],
      [good, '2'],
    ] as const) {
      const recording = record(id)
      for (const body of insert(1, key)) recording.append(body)
      await recording.close(closing)
      await end(id)
    }
    let fails = true
    const index = make(async function* (job): AsyncGenerator<ReadMessage> {
      if (job.session === bad && fails) throw new Error('EIO')
      yield* readFacts(job)
    })
    index.ended(bad)
    index.ended(good)
    await index.settled()
    expect(reported).toEqual(['index.failed'])
    await advance(index, 10_000)
    expect(await outcomes('2')).toEqual(['done'])
    fails = false
    for (let again = 0; again < 3; again += 1) await advance(index, 10_000)
    expect(await outcomes('1')).toEqual(['done'])
    expect(reported.length).toBeLessThanOrEqual(2)
  })
})
