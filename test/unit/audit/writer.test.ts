// Writing a recording: group commit, faults of the disk, closing, recovery.

import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openVerified } from '../../../src/audit/read.js'
import type { SessionRecord, StoredRecord } from '../../../src/audit/records.js'
import { recoverRecordings } from '../../../src/audit/recover.js'
import { verifyFile } from '../../../src/audit/verify.js'
import { openRecording, type Recording } from '../../../src/audit/writer.js'
import { faultyFs } from '../../support/faulty-fs.js'
import { testClock, testPair } from '../../support/recording-files.js'

const pair = testPair(1)
const keys = [pair.key]
const totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
const closing: SessionRecord = { type: 'session.closed', reason: 'stopped', totals }
const opened = (connection: string): SessionRecord => ({ type: 'connection.opened', connection })
let directory: string
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'vgate-rec-')), 'recordings')
})
afterEach(() => {
  rmSync(join(directory, '..'), { recursive: true, force: true })
})

function open(id = 'ses_a', fs = faultyFs()): { recording: Recording; fs: typeof fs } {
  return {
    recording: openRecording({ directory, id, kind: 'session', key: pair, clock: testClock(), fs }),
    fs,
  }
}
async function records(path: string): Promise<StoredRecord[]> {
  const all: StoredRecord[] = []
  for await (const record of (await openVerified(path, { keys })).records()) all.push(record)
  return all
}
const unavailable = (message: string) =>
  expect.objectContaining({
    code: 'VGATE_RECORDING_UNAVAILABLE',
    message: expect.stringContaining(message),
  })

describe('a recording', () => {
  it('gives back what was appended, in order, and its head', async () => {
    const { recording } = open()
    const seqs = Array.from({ length: 1200 }, (_, index) =>
      recording.append(opened(`con ${index}`)),
    )
    expect(seqs.at(-1)).toBe(1200)
    const head = await recording.close(closing)
    expect(head.records).toBe(1201)
    const verification = await verifyFile(recording.path, { keys })
    expect(verification).toMatchObject({ verdict: 'closed', records: 1201, head: head.head })
    const read = await records(recording.path)
    expect(read[0]).toEqual({
      seq: 1,
      at: '2026-03-01T12:00:00.000Z',
      type: 'connection.opened',
      connection: 'con 0',
    })
    expect(read.map((record) => record.seq)).toEqual(
      Array.from({ length: 1201 }, (_, index) => index + 1),
    )
  })

  it('belongs to its user alone and leaves nothing beside it', async () => {
    const { recording } = open()
    await recording.close(closing)
    expect(statSync(recording.path).mode & 0o777).toBe(0o600)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(readdirSync(directory)).toEqual(['ses_a.vgr'])
  })

  it('is there for other processes after flush, before any fsync', () => {
    const { recording, fs } = open()
    recording.append(opened('con_1'))
    recording.flush()
    expect(readFileSync(recording.path, 'utf8')).toContain('con_1')
    expect(fs.dataSyncs).toBe(0)
  })

  it('is never overwritten, open or closed', async () => {
    const { recording } = open()
    expect(() => open()).toThrow(unavailable('EEXIST'))
    await recording.close(closing)
    const before = readFileSync(recording.path)
    expect(() => open()).toThrow(unavailable('the recording ses_a cannot be opened (EEXIST)'))
    expect(readFileSync(recording.path).equals(before)).toBe(true)
    expect(readdirSync(directory)).toEqual(['ses_a.vgr'])
  })

  it('signs after the first block, then after 100 records and half a second, and when asked', async () => {
    const clock = testClock()
    const recording = openRecording({ directory, id: 'ses_a', kind: 'session', key: pair, clock })
    const incomplete = async () => (await verifyFile(recording.path, { keys })).records
    for (let index = 1; index <= 100; index += 1) {
      recording.append(opened(`con ${index}`))
      recording.flush()
    }
    expect(await incomplete()).toBe(1)
    clock.move(499)
    recording.append(opened('con 101'))
    recording.flush()
    expect(await incomplete()).toBe(1)
    clock.move(1)
    recording.append(opened('con 102'))
    recording.flush()
    expect(await incomplete()).toBe(102)
    recording.append(opened('con 103'))
    expect(recording.unsigned).toBe(true)
    await recording.checkpoint()
    expect(recording.unsigned).toBe(false)
    expect(await incomplete()).toBe(103)
  })

  it('refuses one record above 32 MiB and goes on', async () => {
    const { recording } = open()
    const huge = () => recording.append(opened('x'.repeat(33 * 1024 * 1024)))
    expect(huge).toThrow(
      expect.objectContaining({
        code: 'VGATE_LIMIT_EXCEEDED',
        message: 'one record would be larger than 32 MiB',
      }),
    )
    recording.append(opened('y'.repeat(20 * 1024 * 1024)))
    await recording.close(closing)
    expect(await verifyFile(recording.path, { keys })).toMatchObject({
      verdict: 'closed',
      records: 2,
    })
  })

  it('takes no more after closing', async () => {
    const { recording } = open()
    await recording.close(closing)
    expect(() => recording.append(closing)).toThrow(unavailable('the recording is closed'))
    await expect(recording.close(closing)).rejects.toEqual(unavailable('already closed'))
  })
})

describe('sync', () => {
  it('shares one fdatasync among those who wait, and never one that began before', async () => {
    const { recording, fs } = open()
    let release: () => void = () => undefined
    fs.gate = new Promise((resolve) => {
      release = resolve
    })
    recording.append(opened('con_0'))
    const first = recording.sync()
    await Promise.resolve()
    await Promise.resolve()
    expect(fs.dataSyncs).toBe(1)
    const others = Array.from({ length: 50 }, (_, index) => {
      recording.append(opened(`con ${index}`))
      return recording.sync()
    })
    release()
    await Promise.all([first, ...others])
    expect(fs.dataSyncs).toBe(2)
    await recording.sync()
    expect(fs.dataSyncs).toBe(2)
    await recording.close(closing)
  })

  it('that fails ends the recording for good, and its end is not signed as whole', async () => {
    const { recording, fs } = open()
    recording.append(opened('con_0'))
    fs.failDataSync = true
    await expect(recording.sync()).rejects.toEqual(
      unavailable('the recording cannot be made durable (EIO)'),
    )
    fs.failDataSync = false
    expect(() => recording.append(opened('con_1'))).toThrow(unavailable('EIO'))
    await expect(recording.close(closing)).rejects.toEqual(unavailable('EIO'))
    expect(await verifyFile(recording.path, { keys })).toMatchObject({ verdict: 'incomplete' })
  })
})

describe('a full disk', () => {
  it.each([
    0, 1, 60, 200,
  ])('with %i bytes left: nothing more is taken, nothing is lost, and it closes', async (left) => {
    const { recording, fs } = open()
    recording.append(opened('con_0'))
    recording.flush()
    const size = statSync(recording.path).size
    fs.free = left
    recording.append(opened('con_1'.repeat(40)))
    expect(() => recording.flush()).toThrow(unavailable('the recording cannot be written (ENOSPC)'))
    expect(statSync(recording.path).size).toBe(size)
    expect(recording.failed?.hint).toContain('disk is full')
    expect(() => recording.append(opened('con_2'))).toThrow(unavailable('ENOSPC'))
    fs.free = 0
    await recording.close(closing)
    expect(await verifyFile(recording.path, { keys })).toMatchObject({
      verdict: 'closed',
      records: 2,
    })
    expect((await records(recording.path)).at(-1)).toMatchObject({
      type: 'session.closed',
      unwritten: 1,
    })
    expect(readdirSync(directory)).toEqual(['ses_a.vgr'])
  })

  it('that cannot even cut the torn block off leaves it to the next start', async () => {
    const { recording, fs } = open()
    recording.append(opened('con_0'))
    recording.flush()
    fs.free = 100
    fs.failTruncate = true
    recording.append(opened('con_1'.repeat(40)))
    expect(() => recording.flush()).toThrow(unavailable('ENOSPC'))
    await expect(recording.close(closing)).rejects.toEqual(unavailable('ENOSPC'))
    const [found] = await recoverRecordings(directory, pair, { clock: testClock() })
    expect(found).toMatchObject({
      name: 'ses_a',
      state: 'recovered',
      torn: 100,
      recording: { records: 1 },
    })
  })

  it('at the opening leaves nothing behind', () => {
    const fs = faultyFs()
    fs.free = 100
    expect(() => open('ses_a', fs)).toThrow(
      unavailable('the recording ses_a cannot be opened (ENOSPC)'),
    )
    expect(readdirSync(directory)).toEqual([])
  })
})

describe('recovery', () => {
  function crashed(): Recording {
    const { recording } = open()
    for (const name of ['con_0', 'con_1', 'con_2']) {
      recording.append(opened(name))
      recording.flush()
    }
    return recording
  }

  it('closes what was left open as incomplete, keeping every whole block', async () => {
    const { path, bytes } = crashed()
    const before = readFileSync(path)
    const [found] = await recoverRecordings(directory, pair, { clock: testClock() })
    expect(found).toMatchObject({
      name: 'ses_a',
      state: 'recovered',
      torn: 0,
      recording: { records: 3 },
    })
    expect(readFileSync(path).subarray(0, bytes).equals(before)).toBe(true)
    expect(await verifyFile(path, { keys })).toMatchObject({
      verdict: 'incomplete',
      records: 3,
      recovered: true,
      head: found?.recording.head,
    })
    expect(readdirSync(directory)).toEqual(['ses_a.vgr'])
    expect(await recoverRecordings(directory, pair, { clock: testClock() })).toEqual([])
  })

  it('cuts a block torn at any byte', async () => {
    const { path } = crashed()
    const whole = readFileSync(path)
    const reserve = `${path}.reserve`
    // The last line stands between the 56 bytes of the block's head and its hash.
    const lastStart = whole.lastIndexOf('{"at"') - 56
    expect(lastStart).toBeGreaterThan(0)
    for (let cut = lastStart + 1; cut < whole.length; cut += 9) {
      writeFileSync(path, whole.subarray(0, cut))
      writeFileSync(reserve, '')
      const [found] = await recoverRecordings(directory, pair, { clock: testClock() })
      expect(found).toMatchObject({ state: 'recovered', recording: { records: 2 } })
      expect(await verifyFile(path, { keys })).toMatchObject({ verdict: 'incomplete', records: 2 })
    }
  })

  it.each([
    ['to the end', 0],
    ['from the next sector on', 512],
  ])('takes zeros of a power loss, %s, for a torn tail', async (_, sector) => {
    const { recording, fs } = open()
    recording.append(opened('con_0'))
    await recording.sync()
    const durable = fs.durableBytes
    for (let index = 0; index < 20; index += 1) {
      recording.append(opened(`con ${index}`))
      recording.flush()
    }
    const from = sector === 0 ? durable : Math.ceil(durable / sector) * sector
    const whole = readFileSync(recording.path)
    writeFileSync(recording.path, Buffer.from(whole).fill(0, from))
    const lost = await verifyFile(recording.path, { keys })
    expect(lost).toMatchObject({ verdict: 'incomplete', records: 1 })
    expect(lost.at?.offset).toBeGreaterThanOrEqual(durable)
    const [found] = await recoverRecordings(directory, pair, { clock: testClock() })
    expect(found).toMatchObject({ state: 'recovered' })
    expect(found?.torn).toBeGreaterThan(0)
    expect(await verifyFile(recording.path, { keys })).toMatchObject({
      verdict: 'incomplete',
      recovered: true,
    })
    expect((await records(recording.path))[0]).toMatchObject({ connection: 'con_0' })
  })

  it('leaves a changed one, and one of another key, alone and says so', async () => {
    const { path } = crashed()
    const before = readFileSync(path)
    const foreign = await recoverRecordings(directory, testPair(2), { clock: testClock() })
    expect(foreign[0]).toMatchObject({
      state: 'foreign',
      reason: `it is signed by key ${pair.key.id}`,
    })
    expect(readFileSync(path).equals(before)).toBe(true)
    writeFileSync(`${path}.reserve`, '')
    appendFileSync(path, Buffer.alloc(100, 7))
    const [changed] = await recoverRecordings(directory, pair, { clock: testClock() })
    expect(changed).toMatchObject({ state: 'tampered', reason: 'the head of the block is damaged' })
    expect(statSync(path).size).toBe(before.length + 100)
  })

  it('clears half-made files and reserves without a recording', async () => {
    const { recording } = open()
    await recording.close(closing)
    writeFileSync(join(directory, 'ses_b.vgr.new'), 'x')
    writeFileSync(join(directory, 'ses_b.vgr.reserve'), 'x')
    writeFileSync(join(directory, 'ses_a.vgr.reserve'), 'x')
    const found = await recoverRecordings(directory, pair, { clock: testClock() })
    expect(found.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'ses_a closed',
      'ses_b missing',
    ])
    expect(readdirSync(directory)).toEqual(['ses_a.vgr'])
    expect(existsSync(recording.path)).toBe(true)
  })

  it('of a folder that is not there finds nothing', async () => {
    expect(await recoverRecordings(join(directory, 'none'), pair, { clock: testClock() })).toEqual(
      [],
    )
  })

  it('says so when a file was emptied', async () => {
    truncateSync(crashed().path, 0)
    const [found] = await recoverRecordings(directory, pair, { clock: testClock() })
    expect(found).toMatchObject({ state: 'tampered', reason: 'the header is cut off' })
  })
})
