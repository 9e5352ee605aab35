// Proving a recording in stretches says of every recording what one scan from its begin says, whatever was done to it.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chunksOf } from '../../../src/audit/byte-source.js'
import { HASH_BYTES, HEADER_PREFIX_BYTES } from '../../../src/audit/format.js'
import { headerJsonBytes, openHeader } from '../../../src/audit/header.js'
import type { ScanDepth } from '../../../src/audit/scanner.js'
import { proveStretch } from '../../../src/audit/stretches.js'
import { type Verification, verifyFile, verifyFrom } from '../../../src/audit/verify.js'
import { type Prove, provedBy } from '../../../src/audit/verify-ahead.js'
import { buildFile, testPair } from '../../support/recording-files.js'
import { good, mutations } from '../../support/recording-mutations.js'

const pair = testPair(1)
const keys = [pair.key]
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-ahead-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function headerOf(bytes: Buffer): Buffer | undefined {
  const length = bytes.length < HEADER_PREFIX_BYTES ? '' : headerJsonBytes(bytes)
  return typeof length === 'string'
    ? undefined
    : bytes.subarray(0, HEADER_PREFIX_BYTES + length + HASH_BYTES)
}

/** Verified by two provers, cut wherever it can be; what is proved may be another file than what the cuts come from. */
async function inStretches(
  bytes: Buffer,
  depth: ScanDepth,
  cutFrom = bytes,
): Promise<{ readonly found: Verification; readonly proved: number }> {
  const head = headerOf(bytes)
  const header = head === undefined ? undefined : openHeader(head)
  if (head === undefined || header === undefined || typeof header === 'string')
    return { found: await verifyFile(bytes, { keys, depth }), proved: 0 }
  const [path, guessed] = [join(folder, 'proved'), join(folder, 'cut')]
  writeFileSync(path, bytes)
  writeFileSync(guessed, cutFrom)
  const [fd, guess] = [openSync(path, 'r'), openSync(guessed, 'r')]
  try {
    const prove: Prove = async (stretch) => proveStretch({ fd, header, depth }, stretch)
    const cut = { fd: guess, header, offset: head.length, size: cutFrom.length, leastBytes: 1 }
    const start = await provedBy([prove, prove], cut)
    const rest = chunksOf(bytes.subarray(start.offset))
    const found = await verifyFrom(start, rest, { keys, depth })
    return { found, proved: start.offset - head.length }
  } finally {
    closeSync(fd)
    closeSync(guess)
  }
}

describe('a recording that is proved in stretches', () => {
  it.each([
    ['chain', 600],
    ['content', 300],
  ] as const)('has the verdict of one scan (%s), after %i mutations', async (depth, count) => {
    const differences: string[] = []
    let ahead = 0
    for (const { bytes, how } of mutations(count)) {
      const expected = await verifyFile(bytes, { keys, depth })
      const { found, proved } = await inStretches(bytes, depth)
      if (proved > 0) ahead += 1
      if (JSON.stringify(found) !== JSON.stringify(expected))
        differences.push(`${how}: ${found.reason}, not ${expected.reason}`)
    }
    expect(differences).toEqual([])
    // Or the agreement would say little.
    expect(ahead).toBeGreaterThan(count / 2)
  })

  it('is what was proved, also when the cuts were made in what it was before', async () => {
    for (const { bytes, how } of mutations(300)) {
      const expected = await verifyFile(bytes, { keys })
      const { found } = await inStretches(bytes, 'chain', good.bytes)
      expect(JSON.stringify(found), how).toBe(JSON.stringify(expected))
    }
  })

  it('is no recording where two that are good apart were joined, also behind the back of the cuts', async () => {
    const steps = (text: string) =>
      ['open', [text], 'open', ['b'], 'open', ['c'], 'closed'] as const
    const [one, fork] = ['a', 'z'].map((text) => buildFile(pair, 'ses_good', steps(text)))
    if (one === undefined || fork === undefined) throw new Error('unreachable')
    const joined = [fork.header, ...fork.blocks.slice(0, 3), ...one.blocks.slice(3)]
    const { found } = await inStretches(Buffer.concat(joined), 'chain', one.bytes)
    expect(found).toMatchObject({
      verdict: 'tampered',
      reason: 'the block does not follow the one before it',
      at: { record: 2, block: 3 },
    })
  })

  it('is proved up to its last checkpoint but the closing one', async () => {
    const steps = ['open', ['a'], 'open', ['b', 'c'], ['d'], 'open', ['e'], 'closed'] as const
    const file = buildFile(pair, 'ses_good', steps)
    const { found, proved } = await inStretches(file.bytes, 'chain')
    expect(found).toMatchObject({ verdict: 'closed', records: 5 })
    const [last = '', closing = ''] = file.blocks.slice(-2)
    expect(proved).toBe(file.bytes.length - file.header.length - last.length - closing.length)
  })
})
