// What of a recording may be given out while it is written: whole checkpoints, whatever comes and goes behind them.

import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FinalBytes } from '../../../src/audit/final-bytes.js'
import { LiveRecording } from '../../../src/audit/live.js'
import { buildFile, testPair } from '../../support/recording-files.js'

const pair = testPair(1)
const built = buildFile(pair, 'ses_a', [
  'open',
  ['1', '2'],
  'open',
  ['3'],
  ['4'],
  'open',
  ['5'],
  'closed',
])
const ends = built.blocks.map((_, index) =>
  [built.header, ...built.blocks.slice(0, index + 1)].reduce((sum, { length }) => sum + length, 0),
)
const [first = 0, , second = 0, , , third = 0] = ends

let folder: string
let path: string
let file: FileHandle

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-final-'))
  path = join(folder, 'a.vgr')
  writeFileSync(path, '')
  file = await open(path, 'r')
})
afterEach(async () => {
  await file.close()
  rmSync(folder, { recursive: true, force: true })
})

async function drain(final: FinalBytes): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let part = await final.next(); part !== undefined; part = await final.next())
    parts.push(part)
  return Buffer.concat(parts)
}

it('gives out whole checkpoints alone, however the file grows, and the end once it is there', async () => {
  const final = new FinalBytes(file)
  const checkpoints = [0, first, second, third, built.bytes.length]
  let given = 0
  for (let size = 1; size <= built.bytes.length; size += 1) {
    appendFileSync(path, built.bytes.subarray(size - 1, size))
    given += (await drain(final)).length
    expect(given).toBe(checkpoints.findLast((end) => end <= size))
    expect(final.over).toBe(size === built.bytes.length)
  }
})

it('never gives out what a writer cuts off again after a failed write', async () => {
  const final = new FinalBytes(file)
  // A whole block, and half of the checkpoint that was to follow it.
  writeFileSync(path, built.bytes.subarray(0, third - 40))
  expect((await drain(final)).length).toBe(second)
  truncateSync(path, second)
  const other = buildFile(pair, 'ses_a', ['open', ['1', '2'], 'open', ['instead'], 'closed'])
  appendFileSync(path, other.bytes.subarray(second))
  expect(await drain(final)).toEqual(other.bytes.subarray(second))
  expect(final.over).toBe(true)
})

it('goes on from where an earlier reader was', async () => {
  writeFileSync(path, built.bytes)
  expect(await drain(new FinalBytes(file, second + 7))).toEqual(built.bytes.subarray(second + 7))
})

it('gives out everything once nobody writes any more, and where the framing makes no sense', async () => {
  const torn = built.bytes.subarray(0, third - 40)
  writeFileSync(path, torn)
  const settled = new FinalBytes(file)
  settled.settle()
  expect(settled.over).toBe(false)
  expect(await drain(settled)).toEqual(torn)
  expect(settled.over).toBe(true)
  const strange = Buffer.concat([built.bytes.subarray(0, second), Buffer.alloc(100, 7)])
  writeFileSync(path, strange)
  expect(await drain(new FinalBytes(file))).toEqual(strange)
})

it('tells a file that became shorter', async () => {
  writeFileSync(path, built.bytes.subarray(0, third))
  const final = new FinalBytes(file)
  await drain(final)
  truncateSync(path, second)
  await expect(final.next()).rejects.toMatchObject({ code: 'VGATE_RECORDING_BROKEN' })
})

it('a followed recording shows what is signed, once, until it is closed', async () => {
  writeFileSync(path, built.bytes.subarray(0, third - 1))
  const live = await LiveRecording.open(path, { keys: [pair.key], follow: true })
  const seen: number[] = []
  for await (const record of live.all()) {
    seen.push(record.seq)
    if (record.seq === 2) appendFileSync(path, built.bytes.subarray(third - 1))
  }
  expect(seen).toEqual([1, 2, 3, 4, 5])
  expect(live.verification).toMatchObject({ verdict: 'closed', records: 5 })
  await live.close()
})

it('a followed recording ends with the first byte that is wrong, also far from its end', async () => {
  writeFileSync(path, built.bytes.subarray(0, second))
  const live = await LiveRecording.open(path, { keys: [pair.key], follow: true })
  const rest = Buffer.from(built.bytes.subarray(second))
  rest.writeUInt8(rest.readUInt8(70) ^ 1, 70)
  appendFileSync(path, rest)
  const seen: number[] = []
  const reading = (async () => {
    for await (const record of live.all()) seen.push(record.seq)
  })()
  await expect(reading).rejects.toMatchObject({ code: 'VGATE_RECORDING_BROKEN' })
  expect(seen).toEqual([1, 2])
  expect(live.verification).toMatchObject({ verdict: 'tampered', at: { record: 3 } })
  await live.close()
})

it('what stopped to arrive is told after everything that came was given', async () => {
  writeFileSync(path, built.bytes.subarray(0, second))
  const arrival = { over: false, failed: new Error('the gateway is gone') }
  const live = await LiveRecording.open(path, { keys: [pair.key], follow: true, arrival })
  appendFileSync(path, built.bytes.subarray(second, third))
  const seen: number[] = []
  const reading = (async () => {
    for await (const record of live.all()) seen.push(record.seq)
  })()
  await expect(reading).rejects.toThrow('the gateway is gone')
  expect(seen).toEqual([1, 2, 3, 4])
  await live.close()
})
