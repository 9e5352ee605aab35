// The log over restarts, rotation, crashes and full disks; keys and their history.

import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AuditLog, openAuditLog } from '../../../src/audit/audit-log.js'
import { strangersIn } from '../../../src/audit/key-history.js'
import { loadOrCreateKey, readKeyHistory } from '../../../src/audit/keys.js'
import { openVerified } from '../../../src/audit/read.js'
import type { LogRecord } from '../../../src/audit/records.js'
import type { Verification } from '../../../src/audit/verify.js'
import type { VerifiedFile } from '../../../src/audit/verify-log.js'
import { verifyPath } from '../../../src/client/verify-path.js'
import { faultyFs } from '../../support/faulty-fs.js'
import { testClock, testPair } from '../../support/recording-files.js'

const key = testPair(1)
const keys = [key.key]
const clock = testClock()
const started: LogRecord = { type: 'gateway.started', version: '0.1.0', node: 'v20' }
let root: string
let directory: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vgate-log-'))
  directory = join(root, 'log')
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})
async function run(events: number, end: boolean): Promise<AuditLog> {
  const log = await openAuditLog({ directory, key, clock })
  for (let index = 0; index < events; index += 1) await log.append(started)
  if (end) await log.close('stopped')
  return log
}

/** What is found in a folder, oldest file first. */
async function verified(path = directory): Promise<Verification[]> {
  const found: VerifiedFile[] = []
  for await (const file of verifyPath(path, { keys })) found.push(file)
  return found.map(({ verification }) => verification)
}

describe('the log', () => {
  it('continues its chain over restarts and crashes', async () => {
    await run(3, true)
    await run(2, false) // killed
    await run(1, true)
    const found = await verified()
    expect(found.map(({ verdict, records }) => [verdict, records])).toEqual([
      ['closed', 4],
      ['incomplete', 2],
      ['closed', 2],
    ])
    expect(found[2]?.header?.previous?.head).toBe(found[1]?.head)
    expect(readdirSync(directory)).toEqual([
      'log-00000001.vgr',
      'log-00000002.vgr',
      'log-00000003.vgr',
    ])
  })

  it('keeps the order of events that are appended at once, and syncs those that ask', async () => {
    const fs = faultyFs()
    const log = await openAuditLog({ directory, key, clock, fs })
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        log.append({ type: 'gateway.stopped', reason: String(index) }, { sync: index % 2 === 0 }),
      ),
    )
    expect(fs.dataSyncs).toBeLessThanOrEqual(10)
    expect(fs.dataSyncs).toBeGreaterThan(0)
    await log.close('stopped')
    const { records } = await openVerified(log.path, { keys })
    const reasons: unknown[] = []
    for await (const record of records()) reasons.push(record['reason'])
    expect(reasons).toEqual([...Array.from({ length: 20 }, (_, index) => String(index)), 'stopped'])
  })

  it('begins a new file above its size', async () => {
    const log = await openAuditLog({ directory, key, clock, maxFileBytes: 3000 })
    for (let index = 0; index < 40; index += 1) await log.append(started)
    await log.close('stopped')
    const found = await verified()
    expect(found.filter(({ verdict }) => verdict !== 'closed')).toEqual([])
    expect(found.length).toBeGreaterThan(2)
    expect(found.reduce((sum, { records }) => sum + records, 0)).toBe(40 + found.length)
  })

  it('refuses events while the disk is full, and goes on in a new file when it is not', async () => {
    const fs = faultyFs()
    const log = await openAuditLog({ directory, key, clock, fs })
    await log.append(started)
    fs.free = 10
    const refused = expect.objectContaining({
      code: 'VGATE_RECORDING_UNAVAILABLE',
      message: expect.stringContaining('ENOSPC'),
    })
    await expect(log.append(started)).rejects.toEqual(refused)
    await expect(log.append(started)).rejects.toEqual(refused)
    fs.free = Number.POSITIVE_INFINITY
    await log.append(started, { sync: true })
    await log.close('stopped')
    expect((await verified()).map(({ verdict }) => verdict)).toEqual(['closed', 'closed'])
  })

  it('takes nothing after its end', async () => {
    const log = await run(1, true)
    await expect(log.append(started)).rejects.toMatchObject({
      code: 'VGATE_RECORDING_UNAVAILABLE',
      message: 'the audit log is closed',
    })
  })

  it('is not written on over a changed file', async () => {
    const { path } = await run(1, true)
    const bytes = readFileSync(path)
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 700) ^ 1, bytes.length - 700)
    writeFileSync(path, bytes)
    await expect(openAuditLog({ directory, key, clock })).rejects.toMatchObject({
      code: 'VGATE_RECORDING_BROKEN',
      message: expect.stringContaining('does not verify'),
    })
  })

  it.each([
    ['the first', 1],
    ['one between', 2],
  ])('shows that %s file is gone', async (_, number) => {
    for (let file = 0; file < 3; file += 1) await run(1, true)
    rmSync(join(directory, `log-0000000${number}.vgr`))
    const found = await verified()
    expect(found.map(({ verdict }) => verdict)).toEqual(
      number === 1 ? ['tampered', 'closed'] : ['closed', 'tampered'],
    )
    expect(found[number - 1]).toMatchObject({
      reason: `file ${number} of the log is missing`,
      at: { record: 1, block: 0, offset: 0 },
      records: 0,
    })
  })

  describe('into which its key’s holder puts another second file, as good by itself', () => {
    const second = () => join(directory, 'log-00000002.vgr')
    let other: string
    beforeEach(async () => {
      for (let file = 0; file < 3; file += 1) await run(1, true)
      const aside = join(root, 'aside')
      mkdirSync(aside)
      copyFileSync(join(directory, 'log-00000001.vgr'), join(aside, 'log-00000001.vgr'))
      const log = await openAuditLog({ directory: aside, key, clock })
      await log.close('another')
      other = log.path
    })

    it('shows it in the place of the true one', async () => {
      copyFileSync(other, second())
      expect((await verified()).map(({ verdict, reason }) => [verdict, reason])).toEqual([
        ['closed', expect.any(String)],
        ['closed', expect.any(String)],
        ['tampered', 'file 2 of the log is missing'],
      ])
    })

    it('shows it beside the true one', async () => {
      copyFileSync(other, join(directory, 'beside.vgr'))
      const reasons = (await verified()).map(({ reason }) => reason)
      expect(reasons.filter((one) => one === 'there are two files 2 of the log')).toHaveLength(2)
    })
  })

  it('is not disturbed by copies of its files, nor by another log beside it', async () => {
    for (let file = 0; file < 3; file += 1) await run(1, true)
    copyFileSync(join(directory, 'log-00000002.vgr'), join(directory, 'log-00000002.copy'))
    const other = await openAuditLog({ directory: join(directory, 'other'), key, clock })
    await other.close('stopped')
    const found = await verified()
    expect(found.map(({ verdict }) => verdict)).toEqual(Array.from({ length: 5 }, () => 'closed'))
  })

  it('with a changed file says so of that file alone', async () => {
    for (let file = 0; file < 3; file += 1) await run(1, true)
    const path = join(directory, 'log-00000002.vgr')
    const bytes = readFileSync(path)
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 700) ^ 1, bytes.length - 700)
    writeFileSync(path, bytes)
    expect((await verified()).map(({ verdict }) => verdict)).toEqual([
      'closed',
      'tampered',
      'closed',
    ])
  })
})

describe('the signing key', () => {
  const load = () =>
    loadOrCreateKey({
      keyFile: join(root, 'keys', 'sign.pem'),
      historyFile: join(root, 'keys.json'),
      clock,
    })

  it('is made once, for its user alone, and is in the history', () => {
    const made = load()
    expect(load().pair.key).toEqual(made.pair.key)
    expect(made.history).toEqual([made.pair.key])
    expect(readKeyHistory(join(root, 'keys.json'))).toEqual([made.pair.key])
    expect(statSync(join(root, 'keys', 'sign.pem')).mode & 0o777).toBe(0o600)
    expect(made.pair.key.id).toMatch(/^[0-9a-f]{16}$/)
    expect(readFileSync(join(root, 'keys.json'), 'utf8')).not.toContain('PRIVATE')
  })

  it('replaced by another stays in the history', () => {
    const first = load().pair.key
    rmSync(join(root, 'keys', 'sign.pem'))
    const second = load()
    expect(second.history.map((entry) => entry.id)).toEqual([first.id, second.pair.key.id])
    // Whoever trusts the first knows nothing of the second, unless the first was still there to endorse it.
    expect(strangersIn(second.history, [first])).toMatchObject([second.pair.key])
    renameSync(join(root, 'keys', 'sign.pem'), join(root, 'keys', 'sign.pem.previous'))
    const third = load()
    expect(strangersIn(third.history, [second.pair.key])).toEqual([])
    expect(readKeyHistory(join(root, 'keys.json'))).toEqual(third.history)
  })

  it('that others can read is refused', () => {
    load()
    chmodSync(join(root, 'keys', 'sign.pem'), 0o644)
    expect(load).toThrow(
      expect.objectContaining({
        code: 'VGATE_CONFIG_INVALID',
        message: expect.stringContaining('can be read by other users'),
      }),
    )
  })

  it.each([
    ['garbage', 'secret-garbage'],
    ['an empty file', ''],
  ])('that is %s is refused without quoting it', (_, text) => {
    load()
    writeFileSync(join(root, 'keys', 'sign.pem'), text)
    expect(load).toThrow(
      expect.objectContaining({
        code: 'VGATE_CONFIG_INVALID',
        message: expect.not.stringContaining('secret-garbage'),
      }),
    )
  })

  it('is not trusted from a damaged history', () => {
    const { pair } = load()
    writeFileSync(
      join(root, 'keys.json'),
      JSON.stringify({ v: 1, keys: [{ ...pair.key, id: '0'.repeat(16) }] }),
    )
    expect(load).toThrow(
      expect.objectContaining({
        code: 'VGATE_CONFIG_INVALID',
        message: expect.stringContaining('key history'),
      }),
    )
  })
})
