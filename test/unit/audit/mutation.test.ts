// Every change to a small recording is found: promise 2 of the recording.

import { describe, expect, it } from 'vitest'
import { Chain } from '../../../src/audit/chain.js'
import {
  BLOCK_HEAD_BYTES,
  BlockHasher,
  decodeBlockHead,
  encodeBlock,
  HASH_BYTES,
  hashHeader,
} from '../../../src/audit/format.js'
import { verifyFile } from '../../../src/audit/verify.js'
import { buildFile, line, TEST_TIME, testPair } from '../../support/recording-files.js'

const pair = testPair(1)
const keys = [pair.key]
const long = Array.from({ length: 120 }, (_, index) => `long ${index}`)
const steps = [
  'open',
  ['a', 'b'],
  'open',
  ['c'],
  ['d', 'e', 'f'],
  'open',
  long,
  ['g'],
  'closed',
] as const
const file = buildFile(pair, 'ses_one', steps)
const other = buildFile(pair, 'ses_two', steps)
const join = (blocks: readonly Buffer[]) => Buffer.concat([file.header, ...blocks])
const offsetOf = (block: number) =>
  Buffer.concat([file.header, ...file.blocks.slice(0, block)]).length
const blockAt = (offset: number) =>
  file.blocks.findIndex((_, index) => offset < offsetOf(index + 1))
const isReadFirst = (offset: number) =>
  offset < file.header.length || offset - offsetOf(blockAt(offset)) < BLOCK_HEAD_BYTES
const firstOf = (block: number) => decodeHead(block).first
function decodeHead(block: number) {
  const head = decodeBlockHead(file.blocks[block] ?? Buffer.alloc(56))
  if (typeof head === 'string') throw new Error(head)
  return head
}

describe('an untouched recording', () => {
  it('is closed, with every record', async () => {
    expect(await verifyFile(file.bytes, { keys })).toMatchObject({
      verdict: 'closed',
      records: 127,
      id: 'ses_one',
    })
  })
})

describe('one byte', () => {
  it.each([
    [0x01, 'anywhere', () => true],
    // Where bytes are read before a hash has covered them, what they are changed to may matter.
    [0x80, 'in the header or the head of a block', isReadFirst],
    [0xff, 'in the header or the head of a block', isReadFirst],
  ])(
    'flipped by %i %s is found and named',
    async (mask, _where, isMeant) => {
      const undetected: string[] = []
      for (let offset = 0; offset < file.bytes.length; offset += 1) {
        if (!isMeant(offset)) continue
        const bytes = Buffer.from(file.bytes)
        bytes.writeUInt8(bytes.readUInt8(offset) ^ mask, offset)
        const { verdict, at } = await verifyFile(bytes, { keys })
        const inHeader = offset < file.header.length
        const block = inHeader ? 0 : blockAt(offset)
        const place = {
          record: inHeader ? 1 : firstOf(block),
          block,
          offset: inHeader ? 0 : offsetOf(block),
        }
        if (verdict !== 'tampered' || JSON.stringify(at) !== JSON.stringify(place)) {
          undetected.push(
            `${offset}: ${verdict} ${JSON.stringify(at)} instead of ${JSON.stringify(place)}`,
          )
        }
      }
      expect(undetected).toEqual([])
    },
    60_000,
  )

  it('deleted or inserted anywhere is found', async () => {
    const undetected: number[] = []
    for (let offset = 0; offset < file.bytes.length; offset += 1) {
      const before = file.bytes.subarray(0, offset)
      const deleted = Buffer.concat([before, file.bytes.subarray(offset + 1)])
      const inserted = Buffer.concat([before, Buffer.from([0x20]), file.bytes.subarray(offset)])
      // Without its last byte the closing checkpoint is torn: that is a cut tail, and incomplete.
      const allowed = offset >= offsetOf(8) + 56 ? ['incomplete', 'tampered'] : ['tampered']
      if (!allowed.includes((await verifyFile(deleted, { keys })).verdict)) undetected.push(offset)
      if ((await verifyFile(inserted, { keys })).verdict !== 'tampered') undetected.push(offset)
    }
    expect(undetected).toEqual([])
  }, 60_000)
})

describe('one block', () => {
  const indexes = file.blocks.map((_, index) => index)

  it.each(indexes)('%i deleted', async (index) => {
    const result = await verifyFile(join(file.blocks.toSpliced(index, 1)), { keys })
    if (index === file.blocks.length - 1) {
      expect(result).toMatchObject({ verdict: 'incomplete', records: 6, unsigned: 121 })
    } else {
      expect(result).toMatchObject({
        verdict: 'tampered',
        at: { block: index, offset: offsetOf(index) },
      })
    }
  })

  it.each(indexes)('%i doubled', async (index) => {
    const doubled = file.blocks.toSpliced(index, 0, file.blocks[index] ?? Buffer.alloc(0))
    const result = await verifyFile(join(doubled), { keys })
    expect(result).toMatchObject({
      verdict: 'tampered',
      at: { block: index + 1, offset: offsetOf(index + 1) },
    })
  })

  it.each(indexes.slice(1))('%i swapped with the one before', async (index) => {
    const [before, after] = [
      file.blocks[index - 1] ?? Buffer.alloc(0),
      file.blocks[index] ?? Buffer.alloc(0),
    ]
    const result = await verifyFile(join(file.blocks.toSpliced(index - 1, 2, after, before)), {
      keys,
    })
    expect(result).toMatchObject({
      verdict: 'tampered',
      at: { block: index - 1, offset: offsetOf(index - 1) },
    })
  })

  it.each(indexes)('%i spliced from another session of the same gateway', async (index) => {
    const result = await verifyFile(
      join(file.blocks.toSpliced(index, 1, other.blocks[index] ?? Buffer.alloc(0))),
      { keys },
    )
    expect(result).toMatchObject({
      verdict: 'tampered',
      at: { block: index, offset: offsetOf(index) },
    })
  })

  it('all of another session under this header', async () => {
    expect(await verifyFile(join(other.blocks), { keys })).toMatchObject({
      verdict: 'tampered',
      at: { block: 0 },
    })
  })
})

describe('one record, with hashes made afresh', () => {
  const everyRecord = ['a', 'b', 'c', 'd', 'e', 'f', ...long, 'g']

  /** Rebuilds the chain with changed records and the checkpoints' old payloads: what somebody without the key can do. */
  function rebuilt(change: (texts: string[]) => string[]): Buffer {
    const changed = change([...everyRecord])
    const last = steps.findLastIndex((step) => typeof step !== 'string')
    const texts = steps.map((step, index) =>
      typeof step === 'string' ? step : index === last ? changed : changed.splice(0, step.length),
    )
    const headerHash = hashHeader(file.header.subarray(0, -HASH_BYTES))
    const hasher = new BlockHasher(headerHash)
    const chain = new Chain('ses_one', pair, headerHash)
    const blocks = texts.map((step, index) => {
      if (typeof step !== 'string')
        return step.length === 0 ? Buffer.alloc(0) : chain.records(step.map(line))
      const { records, blocks: count, head } = chain.position
      const old = (file.blocks[index] ?? Buffer.alloc(0)).subarray(56, -HASH_BYTES)
      const fields = { kind: 2, flags: 0, count: 0, first: records + 1, payloadBytes: old.length }
      const block = encodeBlock(fields, head, old, hasher)
      chain.position = { records, signed: records, blocks: count + 1, head: block.hash }
      return block.bytes
    })
    return join(blocks)
  }

  it('rebuilding without a change gives the same file', () => {
    expect(rebuilt((texts) => texts).equals(file.bytes)).toBe(true)
  })

  it.each(
    everyRecord.map((_, index) => index),
  )('%i deleted, doubled, swapped or changed', async (index) => {
    const changes: ((texts: string[]) => string[])[] = [
      (texts) => texts.toSpliced(index, 1),
      (texts) => texts.toSpliced(index, 0, texts[index] ?? ''),
      (texts) => texts.with(index, 'changed'),
      (texts) => texts.toSpliced(index, 2, ...texts.slice(index, index + 2).reverse()),
    ]
    for (const [number, change] of changes.entries()) {
      if (number === 3 && index === everyRecord.length - 1) continue // nothing to swap the last one with
      const { verdict, at, records } = await verifyFile(rebuilt(change), { keys })
      expect(verdict, `change ${number}`).toBe('tampered')
      // The stretch between two checkpoints is what is proven; its beginning is named.
      // A doubled record leaves itself as it was: the first wrong one is the next.
      expect(at?.record, `change ${number}`).toBeLessThanOrEqual(
        number === 1 ? index + 2 : index + 1,
      )
      expect(at?.record).toBe(records + 1)
    }
  })
})

describe('the tail', () => {
  it('cut at every byte is never closed and never claims more than was signed', async () => {
    const wrong: string[] = []
    const signedAt = [offsetOf(1), offsetOf(3), offsetOf(6)]
    for (let length = 0; length < file.bytes.length; length += 1) {
      const { verdict, records } = await verifyFile(file.bytes.subarray(0, length), { keys })
      const expected = length < (signedAt[0] ?? 0) ? 'tampered' : 'incomplete'
      const signed = length < (signedAt[1] ?? 0) ? 0 : length < (signedAt[2] ?? 0) ? 2 : 6
      if (verdict !== expected || records !== signed) wrong.push(`${length}: ${verdict} ${records}`)
    }
    expect(wrong).toEqual([])
  }, 60_000)

  it.each([
    ['a byte', Buffer.from([0])],
    ['a block', file.blocks[1] ?? Buffer.alloc(0)],
    ['the file again', file.bytes],
  ])('with %s after the closing checkpoint is tampered', async (_, more) => {
    const result = await verifyFile(Buffer.concat([file.bytes, more]), { keys })
    expect(result).toMatchObject({
      verdict: 'tampered',
      reason: 'there are bytes after the closing checkpoint',
      at: { record: 128, block: 9, offset: file.bytes.length },
    })
  })
})

describe('the whole, rebuilt', () => {
  it("with somebody else's key is unknown_key, whatever it claims", async () => {
    const forged = buildFile(testPair(2), 'ses_one', steps)
    expect(await verifyFile(forged.bytes, { keys })).toMatchObject({ verdict: 'unknown_key' })
  })

  it("with somebody else's signatures under the true header is tampered", async () => {
    const header = encodedHeaderHash()
    const chain = new Chain('ses_one', testPair(2), header)
    const blocks = steps.map((step) =>
      typeof step === 'string' ? chain.checkpoint(step, TEST_TIME) : chain.records(step.map(line)),
    )
    expect(await verifyFile(join(blocks), { keys })).toMatchObject({
      verdict: 'tampered',
      reason: 'the checkpoint is signed by another key than the one in the header',
      at: { record: 1, block: 0 },
    })
  })

  it('without any checkpoint proves no record', async () => {
    const chain = new Chain('ses_one', pair, encodedHeaderHash())
    const first = chain.checkpoint('open', TEST_TIME)
    const forged = join([first, chain.records([line('forged')])])
    expect(await verifyFile(forged, { keys })).toMatchObject({
      verdict: 'incomplete',
      records: 0,
      unsigned: 1,
    })
  })

  it('under only its embedded key is unknown_key, and still tampered when it is', async () => {
    expect(await verifyFile(file.bytes, { keys: 'embedded' })).toMatchObject({
      verdict: 'unknown_key',
      records: 127,
    })
    const bytes = Buffer.from(file.bytes)
    bytes.writeUInt8(bytes.readUInt8(900) ^ 1, 900)
    expect(await verifyFile(bytes, { keys: 'embedded' })).toMatchObject({ verdict: 'tampered' })
  })
})

function encodedHeaderHash(): Buffer {
  return file.header.subarray(-HASH_BYTES)
}

describe('zeros to the end', () => {
  it('from any byte are never closed, and a torn tail only where a power loss can leave them', async () => {
    const wrong: string[] = []
    const starts = file.blocks.map((_, index) => offsetOf(index))
    const signedBlocks = [2, 5, 8]
    for (let from = offsetOf(1); from < file.bytes.length; from += 1) {
      const block = blockAt(from)
      const start = starts[block] ?? 0
      // Every third byte, and those where something begins.
      if (from % 3 !== 0 && from % 512 !== 0 && from !== start) continue
      const bytes = Buffer.from(file.bytes).fill(0, from)
      // Where the byte before is zero anyway, they begin there.
      const begins = bytes.findLastIndex((byte) => byte !== 0) + 1
      const sectors = Math.floor((offsetOf(block + 1) - 1) / 512) * 512
      const torn = begins <= start || (sectors >= begins && sectors > start)
      const { verdict, records, at } = await verifyFile(bytes, { keys })
      const headOnly = from < start + 56
      const expected = headOnly ? ['incomplete', 'tampered'] : [torn ? 'incomplete' : 'tampered']
      const signed = signedBlocks.filter((one) => one < block).length
      if (!expected.includes(verdict) || at?.offset !== start || records !== [0, 2, 6][signed])
        wrong.push(`${from}: ${verdict} ${records} ${JSON.stringify(at)}`)
    }
    expect(wrong).toEqual([])
  }, 60_000)

  it('with anything behind them are tampered', async () => {
    const bytes = Buffer.from(file.bytes).fill(0, offsetOf(3), offsetOf(4))
    expect(await verifyFile(bytes, { keys })).toMatchObject({
      verdict: 'tampered',
      at: { record: 3, block: 3, offset: offsetOf(3) },
    })
    const trailing = Buffer.concat([file.bytes, Buffer.alloc(4096)])
    expect(await verifyFile(trailing, { keys })).toMatchObject({
      verdict: 'tampered',
      reason: 'there are bytes after the closing checkpoint',
    })
  })
})
