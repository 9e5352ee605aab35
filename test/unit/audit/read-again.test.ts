// What is read was verified, also where the file is changed between the two.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { LiveRecording } from '../../../src/audit/live.js'
import { openVerified } from '../../../src/audit/read.js'
import { buildFile, testPair } from '../../support/recording-files.js'

const directory = mkdtempSync(join(tmpdir(), 'vgate-read-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const pair = testPair(1)
const steps = (...texts: string[]) => ['open', texts, 'closed'] as const
const honest = buildFile(pair, 'ses_a', steps('a', 'b', 'c'))
/** Anybody can make the hashes of blocks; nobody else the signature. */
const forgedBy = (...texts: string[]): Buffer => {
  const forged = buildFile(pair, 'ses_a', ['open', texts])
  return Buffer.concat([honest.header, ...forged.blocks])
}

describe.each([
  ['read', openVerified],
  ['played', LiveRecording.open],
  [
    'followed',
    (path: string, { keys }: { keys: [typeof pair.key] }) =>
      LiveRecording.open(path, { keys, follow: true }),
  ],
])('a file that is %s and changed after it was verified', (_how, openIt) => {
  it.each([
    ['as many records, and no signature', forgedBy('a', 'forged', 'c')],
    ['more records than before', forgedBy('a', 'forged', 'c', 'd')],
    [
      'as many records, and the signature of others',
      Buffer.concat([forgedBy('a', 'forged', 'c'), honest.blocks[2] ?? Buffer.alloc(0)]),
    ],
  ])('gives out nothing that is not signed: %s', async (_, changed) => {
    const path = join(directory, 'a.vgr')
    writeFileSync(path, honest.bytes)
    const opened = await openIt(path, { keys: [pair.key] })
    expect(opened.verification.verdict).toBe('closed')
    writeFileSync(path, changed)
    const given: unknown[] = []
    const reading = async (): Promise<void> => {
      for await (const record of opened.records()) given.push(record['reason'])
    }
    await expect(reading()).rejects.toMatchObject({ code: 'VGATE_RECORDING_BROKEN' })
    if (opened instanceof LiveRecording) await opened.close()
    expect(given).toEqual([])
  })
})

describe('a file of many small blocks', () => {
  const texts = Array.from({ length: 2_000 }, (_, index) => `statement ${index}`)
  const many = buildFile(pair, 'ses_a', [
    'open',
    ...texts.flatMap((text, index) => (index % 300 === 299 ? [[text], 'open' as const] : [[text]])),
    'closed',
  ])

  it.each([
    ['read', openVerified],
    ['played', LiveRecording.open],
  ])('that is %s gives out every record', async (_, openIt) => {
    const path = join(directory, 'many.vgr')
    writeFileSync(path, many.bytes)
    const opened = await openIt(path, { keys: [pair.key] })
    const given: unknown[] = []
    for await (const record of opened.records()) given.push(record['reason'])
    if (opened instanceof LiveRecording) await opened.close()
    expect(given).toEqual(texts)
  })

  it.each([
    300, 1_234, 1_999,
  ])('gives out nothing behind record %i when that one is changed', async (changed) => {
    const path = join(directory, 'many.vgr')
    writeFileSync(path, many.bytes)
    const opened = await LiveRecording.open(path, { keys: [pair.key] })
    const other = buildFile(pair, 'ses_a', [
      'open',
      ...texts.flatMap((text, index) => {
        const block = [index === changed ? 'forged' : text]
        return index % 300 === 299 ? [block, 'open' as const] : [block]
      }),
      'closed',
    ])
    writeFileSync(path, other.bytes)
    const given: unknown[] = []
    const reading = async (): Promise<void> => {
      for await (const record of opened.records()) given.push(record['reason'])
    }
    await expect(reading()).rejects.toMatchObject({ code: 'VGATE_RECORDING_BROKEN' })
    await opened.close()
    expect(given).toEqual(texts.slice(0, given.length))
    expect(given.length).toBeLessThanOrEqual(changed)
  })
})
