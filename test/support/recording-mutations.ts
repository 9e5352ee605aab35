// Owns random changes to a recording, seeded: bytes and blocks; left as they are, with hashes made afresh, or signed
// afresh by the holder of the key.

import { crc32 } from 'node:zlib'
import { Chain } from '../../src/audit/chain.js'
import { BLOCK_HEAD_BYTES, BlockHasher, encodeBlock, HASH_BYTES } from '../../src/audit/format.js'
import { type BuiltFile, buildFile, line, TEST_TIME, testPair } from './recording-files.js'

export interface Mutation {
  /** `without` or `with` the key, and what was done. */
  readonly how: string
  readonly bytes: Buffer
}

const STEPS = ['open', ['a', 'b'], 'open', ['c'], ['d'.repeat(600), 'e'], 'open', ['f'], 'closed']
const steps = STEPS as Parameters<typeof buildFile>[2]
/** What is changed. */
export const good = buildFile(testPair(1), 'ses_good', steps)
const otherSteps = steps.map((step) =>
  typeof step === 'string' ? step : step.map((text) => `${text}!`),
)
const other = buildFile(testPair(1), 'ses_other', otherSteps)
const strange = buildFile(testPair(2), 'ses_good', otherSteps)

type Random = (below: number) => number

/** mulberry32 */
function randomFrom(seed: number): Random {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const whole = (file: BuiltFile, blocks: readonly Buffer[]): Buffer =>
  Buffer.concat([file.header, ...blocks])

/** Changes of bytes, after which lengths and hashes are as they were. */
const BYTES: readonly ((bytes: Buffer, random: Random) => Buffer)[] = [
  (bytes, random) => {
    for (let times = 1 + random(3); times > 0; times -= 1) {
      const at = random(bytes.length)
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 + random(255)), at)
    }
    return bytes
  },
  (bytes, random) => bytes.subarray(0, random(bytes.length)),
  (bytes, random) => bytes.fill(0, random(bytes.length)),
  (bytes, random) => bytes.fill(0, 512 * random(Math.ceil(bytes.length / 512))),
  (bytes, random) => {
    const from = random(bytes.length)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + random(80))])
  },
  (bytes, random) => {
    const at = random(bytes.length)
    const more = Buffer.alloc(1 + random(80), random(2) * 0x41)
    return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)])
  },
  (bytes, random) => Buffer.concat([bytes, Buffer.alloc(1 + random(2000), random(2))]),
  (bytes, random) => {
    const at = random(bytes.length)
    const from = random(bytes.length)
    Buffer.from(bytes.subarray(from, from + 1 + random(200))).copy(bytes, at)
    return bytes
  },
]

/** Changes of blocks: left out, doubled, swapped, taken from another session or another signer. */
const BLOCKS: readonly ((blocks: readonly Buffer[], random: Random) => Buffer[])[] = [
  (blocks, random) => blocks.toSpliced(random(blocks.length), 1 + random(2)),
  (blocks, random) => {
    const at = random(blocks.length)
    return blocks.toSpliced(random(blocks.length), 0, ...blocks.slice(at, at + 1))
  },
  (blocks, random) => {
    const at = random(blocks.length - 1)
    return blocks.toSpliced(at, 2, ...blocks.slice(at, at + 2).reverse())
  },
  (blocks, random) => {
    const at = random(blocks.length)
    return blocks.with(at, (random(2) === 0 ? other : strange).blocks[at] ?? good.header)
  },
]

/** Follows the header anew: previous hashes, sequence numbers, CRC and hashes as they should be, payloads as given. */
function rehashed(header: Buffer, blocks: readonly Buffer[]): Buffer {
  const hasher = new BlockHasher(header.subarray(-HASH_BYTES))
  let head: Buffer = header.subarray(-HASH_BYTES)
  let first = 1
  const made = blocks.map((block) => {
    const [kind, flags, count] = [block.readUInt8(4), block.readUInt8(5), block.readUInt16BE(6)]
    const payload = block.subarray(BLOCK_HEAD_BYTES, -HASH_BYTES)
    const fields = { kind, flags, count, first, payloadBytes: block.readUInt32BE(16) }
    const one = encodeBlock(fields, head, payload, hasher)
    head = one.hash
    first += count
    return one.bytes
  })
  return Buffer.concat([header, ...made])
}

/** A field of a block's head changed, CRC and hash made right. */
function fieldChanged(random: Random): Buffer {
  const at = random(good.blocks.length)
  const block = Buffer.from(good.blocks[at] ?? good.header)
  const offset = random(52)
  block.writeUInt8(block.readUInt8(offset) ^ (1 << random(8)), offset)
  block.writeUInt32BE(crc32(block.subarray(0, 52)), 52)
  const hasher = new BlockHasher(good.header.subarray(-HASH_BYTES))
  hasher.hash(block.subarray(0, -HASH_BYTES)).copy(block, block.length - HASH_BYTES)
  return whole(good, good.blocks.with(at, block))
}

/** A file of the key's holder, who may sign what is not so. */
function signed(random: Random): Buffer {
  const hash = good.header.subarray(-HASH_BYTES)
  const chain = new Chain(random(12) === 0 ? 'ses_other' : 'ses_good', testPair(1), hash)
  const states = ['open', 'open', 'open', 'closed', 'recovered'] as const
  const blocks = Array.from({ length: 1 + random(7) }, (_, index) => {
    if (random(14) === 0) {
      const { position } = chain
      chain.position = { ...position, blocks: position.blocks + random(2), records: random(9) }
    }
    const checkpoint = index === 0 ? random(15) > 0 : random(2) === 0
    if (checkpoint) return chain.checkpoint(states[random(states.length)] ?? 'open', TEST_TIME)
    return chain.records(Array.from({ length: 1 + random(4) }, (__, number) => line(`r${number}`)))
  })
  return Buffer.concat([good.header, ...blocks])
}

/** So many files, always the same. */
export function mutations(count: number): readonly Mutation[] {
  const random = randomFrom(20260301)
  return Array.from({ length: count }, (_, index) => {
    const kind = index % 10
    if (kind < 4) {
      const change = random(BYTES.length)
      const bytes = BYTES[change]?.(Buffer.from(good.bytes), random) ?? good.bytes
      // What changed nothing is no mutation.
      if (bytes.equals(good.bytes)) return { how: `with nothing changed, bytes ${change}`, bytes }
      return { how: `without the key: bytes ${change}, file ${index}`, bytes }
    }
    const change = random(BLOCKS.length)
    const blocks = BLOCKS[change]?.(good.blocks, random) ?? []
    if (kind === 4)
      return { how: `without the key: blocks ${change}, file ${index}`, bytes: whole(good, blocks) }
    if (kind < 7) {
      const bytes = rehashed(good.header, blocks)
      return { how: `without the key: hashes afresh ${change}, file ${index}`, bytes }
    }
    if (kind === 7)
      return { how: `without the key: fields, file ${index}`, bytes: fieldChanged(random) }
    if (kind === 8) return { how: `with the key: file ${index}`, bytes: signed(random) }
    const changed = Buffer.from(strange.bytes)
    if (random(2) === 0) changed.writeUInt8(random(256), random(changed.length))
    return { how: `without the key: another signer, file ${index}`, bytes: changed }
  })
}
