// Owns the test vectors of docs/spec/recording-v1.md: one failure each. Written by
// `UPDATE_VECTORS=1 npx vitest run test/unit/audit/vectors.test.ts`, then committed; they never change silently.

import { crc32, deflateRawSync } from 'node:zlib'
import { Chain } from '../../src/audit/chain.js'
import { BlockHasher, encodeBlock, HASH_BYTES, hashHeader } from '../../src/audit/format.js'
import { type BuiltFile, buildFile, line, TEST_TIME, testPair } from './recording-files.js'

export interface RecordingVector {
  readonly name: string
  readonly comment: string
  readonly expect: 'closed' | 'incomplete' | 'tampered' | 'unknown_key'
  readonly records: number
  /** `record block offset`, or `-`. */
  readonly at: string
  readonly bytes: Buffer
  /** What only reading finds: the bytes are authentic, what they hold is not as it should be. */
  readonly unreadable?: boolean
}

export const VECTOR_KEY = testPair(1).key

const good = buildFile(testPair(1), 'ses_vector', ['open', ['a', 'b'], 'open', ['c'], 'closed'])
const other = buildFile(testPair(1), 'ses_other', ['open', ['a', 'b'], 'open', ['c'], 'closed'])
const join = (file: BuiltFile, blocks: readonly Buffer[]): Buffer =>
  Buffer.concat([file.header, ...blocks])
const starts = good.blocks.map((_, index) => join(good, good.blocks.slice(0, index)).length)
const at = (record: number, block: number): string =>
  `${record} ${block} ${starts[block] ?? good.bytes.length}`
const start = (block: number): number => starts[block] ?? good.bytes.length

function flipped(offset: number, mask = 1): Buffer {
  const bytes = Buffer.from(good.bytes)
  bytes.writeUInt8(bytes.readUInt8(offset) ^ mask, offset)
  return bytes
}

/** Header and opening checkpoint, then one block made by hand with right hashes. */
function withBlock(change: Partial<Parameters<typeof encodeBlock>[0]>, payload: Buffer): Buffer {
  const first = good.blocks[0] ?? Buffer.alloc(0)
  const hasher = new BlockHasher(hashHeader(good.header.subarray(0, -HASH_BYTES)))
  const fields = { kind: 1, flags: 0, count: 1, first: 1, payloadBytes: payload.length, ...change }
  const block = encodeBlock(fields, first.subarray(-HASH_BYTES), payload, hasher)
  return join(good, [first, block.bytes])
}

/** The length of block 1 changed, and its CRC made right again. */
function withLength(length: number): Buffer {
  const bytes = Buffer.from(good.bytes)
  bytes.writeUInt32BE(length, start(1))
  bytes.writeUInt32BE(crc32(bytes.subarray(start(1), start(1) + 52)), start(1) + 52)
  return bytes
}

const [
  opening = Buffer.alloc(0),
  ab = Buffer.alloc(0),
  middle = Buffer.alloc(0),
  c = Buffer.alloc(0),
] = good.blocks
const tampered = (
  name: string,
  comment: string,
  place: string,
  bytes: Buffer,
  records = 0,
): RecordingVector => ({
  name,
  comment,
  expect: 'tampered',
  records,
  at: place,
  bytes,
})
/** Authentic up to nothing, as far as the chain goes; tampered once its records are read. */
const unreadable = (name: string, comment: string, bytes: Buffer): RecordingVector => ({
  name,
  comment,
  expect: 'incomplete',
  records: 0,
  at: `1 2 ${bytes.length}`,
  bytes,
  unreadable: true,
})
const raw = (text: string): Buffer => Buffer.from(text, 'utf8')
const deep = `{"at":"x","type":"y","z":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`

/** Nothing but zeros from there on, as after a power loss. */
function zeroedFrom(offset: number): Buffer {
  return Buffer.from(good.bytes).fill(0, offset)
}

/** What is kept for later verifies today. */
function roomVectors(): readonly RecordingVector[] {
  const sealed = buildFile(testPair(1), 'ses_vector', ['open'], { seal: 'example 1' })
  const hasher = new BlockHasher(sealed.header.subarray(-HASH_BYTES))
  const fields = { kind: 1, flags: 0x11, count: 3, first: 1, payloadBytes: 500 }
  const [first = Buffer.alloc(0)] = sealed.blocks
  const block = encodeBlock(fields, first.subarray(-HASH_BYTES), Buffer.alloc(90, 7), hasher)
  const chain = new Chain('ses_vector', testPair(1), sealed.header.subarray(-HASH_BYTES), {
    records: 3,
    signed: 0,
    blocks: 2,
    head: block.hash,
  })
  const bytes = join(sealed, [first, block.bytes, chain.checkpoint('closed', TEST_TIME)])
  const whole = { expect: 'closed', records: 3, at: '-' } as const
  return [{ ...whole, name: 'sealed', comment: 'sealed records', bytes, unreadable: true }]
}

/** A head whose kind is unknown and whose CRC is right and zero, from a sector's begin on, and zeros behind it. */
function zeroCrc(): Buffer {
  const empty = buildFile(testPair(1), 'ses_vector', ['open'], { seal: 'x' }).bytes.length
  // Block 1 begins 52 bytes before a sector.
  const pad = (460 - ((empty - 1) % 512) + 512) % 512
  const file = buildFile(testPair(1), 'ses_vector', ['open'], { seal: 'x'.repeat(pad) })
  const head = Buffer.alloc(56)
  head.writeUInt32BE(200, 0)
  head.writeUInt8(9, 4)
  head.writeUInt16BE(1, 6)
  head.writeUInt32BE(1, 12)
  head.writeUInt32BE(10, 16)
  Buffer.from('2df3bf67', 'hex').copy(head, 48)
  return Buffer.concat([file.bytes, head, Buffer.alloc(600)])
}

export function recordingVectors(): readonly RecordingVector[] {
  const rest = { comment: 'authentic so far', expect: 'incomplete' } as const
  const recovered = buildFile(testPair(1), 'ses_vector', [
    'open',
    ['a', 'b'],
    'open',
    ['c'],
    'recovered',
  ])
  const stranger = buildFile(testPair(2), 'ses_vector', [
    'open',
    ['a', 'b'],
    'open',
    ['c'],
    'closed',
  ])
  const many = Array.from({ length: 200 }, (_, index) => `record ${index}`)
  const packed = buildFile(testPair(1), 'ses_vector', ['open', many, 'closed'])
  return [
    {
      name: 'closed',
      comment: 'a whole recording',
      expect: 'closed',
      records: 3,
      at: '-',
      bytes: good.bytes,
    },
    {
      name: 'closed-deflated',
      comment: 'a compressed block',
      expect: 'closed',
      records: 200,
      at: '-',
      bytes: packed.bytes,
    },
    {
      ...rest,
      name: 'no-closing',
      records: 2,
      at: `3 4 ${start(4)}`,
      bytes: join(good, good.blocks.slice(0, 4)),
    },
    {
      ...rest,
      name: 'torn-head',
      records: 2,
      at: `3 3 ${start(3)}`,
      bytes: good.bytes.subarray(0, start(3) + 20),
    },
    {
      ...rest,
      name: 'torn-payload',
      records: 2,
      at: `3 3 ${start(3)}`,
      bytes: good.bytes.subarray(0, start(4) - 1),
    },
    {
      ...rest,
      name: 'recovered',
      records: 3,
      at: `4 5 ${recovered.bytes.length}`,
      bytes: recovered.bytes,
    },
    {
      name: 'unknown-key',
      comment: 'signed by a key that is not trusted',
      expect: 'unknown_key',
      records: 3,
      at: '-',
      bytes: stranger.bytes,
    },
    {
      ...rest,
      name: 'zeros-from-a-block',
      records: 2,
      at: `3 3 ${start(3)}`,
      bytes: zeroedFrom(start(3)),
    },
    {
      ...rest,
      name: 'zeros-from-a-sector',
      records: 2,
      at: `3 4 ${start(4)}`,
      bytes: zeroedFrom(Math.ceil(start(4) / 512) * 512),
    },
    tampered('empty', 'no bytes', '1 0 0', Buffer.alloc(0)),
    tampered('magic', 'another magic', '1 0 0', flipped(0)),
    tampered('version', 'version 2', '1 0 0', flipped(16, 3)),
    tampered('header-json', 'a byte of the JSON', '1 0 0', flipped(30)),
    tampered('no-first-checkpoint', 'only the header', at(1, 0), good.header),
    tampered('first-block-records', 'block 0 is not a checkpoint', at(1, 0), join(good, [ab])),
    tampered('head-crc', 'a byte of the head', at(1, 1), flipped(start(1) + 7)),
    tampered(
      'length-lies',
      'a longer length with a right CRC',
      at(1, 1),
      withLength(ab.length + 10),
    ),
    tampered('length-huge', 'a length of 4 GiB', at(1, 1), withLength(0xffffffff)),
    tampered('payload-flip', 'a byte of a record', at(1, 1), flipped(start(1) + 60)),
    tampered('hash-flip', 'a byte of the hash', at(1, 1), flipped(start(2) - 1)),
    tampered('signature-flip', 'a byte of a signature', at(3, 2), flipped(start(3) - 40)),
    tampered(
      'block-deleted',
      'block 1 is missing',
      at(1, 1),
      join(good, good.blocks.toSpliced(1, 1)),
    ),
    tampered('block-doubled', 'block 1 twice', at(3, 2), join(good, [opening, ab, ab, middle, c])),
    tampered('block-swapped', 'blocks 2 and 3', at(3, 2), join(good, [opening, ab, c, middle])),
    tampered(
      'spliced',
      'block 1 of another session',
      at(1, 1),
      join(good, good.blocks.with(1, other.blocks[1] ?? c)),
    ),
    tampered(
      'after-closing',
      'a byte behind the end',
      at(4, 5),
      Buffer.concat([good.bytes, raw('x')]),
      3,
    ),
    tampered(
      'flag-sealed',
      'sealed, and the header does not say how',
      at(1, 1),
      withBlock({ flags: 0x10 }, raw(line('a'))),
    ),
    tampered('flag-reserved', 'flag 0x02', at(1, 1), withBlock({ flags: 2 }, raw(line('a')))),
    tampered('kind-unknown', 'kind 3', at(1, 1), withBlock({ kind: 3 }, raw(line('a')))),
    tampered(
      'count-huge',
      '501 records',
      at(1, 1),
      withBlock({ count: 501 }, raw('{}\n'.repeat(501))),
    ),
    tampered(
      'sequence-gap',
      'begins with record 2',
      at(1, 1),
      withBlock({ first: 2 }, raw(line('a'))),
    ),
    tampered(
      'zeros-before-more',
      'zeros, and a byte behind them',
      at(1, 1),
      Buffer.concat([good.bytes.subarray(0, start(1)), Buffer.alloc(2000), raw('x')]),
    ),
    tampered(
      'zeros-inside-a-sector',
      'the end of a block zeroed where no sector begins',
      at(4, 4),
      Buffer.concat([good.bytes.subarray(0, -5), Buffer.alloc(5)]),
      2,
    ),
    tampered('zeros-in-block-0', 'zeros from block 0 on', at(1, 0), zeroedFrom(start(0))),
    tampered(
      'kind-unknown-zeros',
      'kind 9, a CRC that is right and zero, and zeros',
      `1 1 ${zeroCrc().length - 656}`,
      zeroCrc(),
    ),
    ...roomVectors(),
    unreadable(
      'count-lies',
      'two records said, one there',
      withBlock({ count: 2 }, raw(line('a'))),
    ),
    unreadable(
      'bomb',
      '64 MiB in a block that says 1000 bytes',
      withBlock(
        { flags: 1, payloadBytes: 1000 },
        deflateRawSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 }),
      ),
    ),
    unreadable(
      'deflate-tail',
      'bytes behind the DEFLATE stream',
      withBlock(
        { flags: 1, payloadBytes: line('a').length },
        Buffer.concat([deflateRawSync(raw(line('a'))), raw('x')]),
      ),
    ),
    unreadable('not-utf8', 'a record that is not UTF-8', withBlock({}, Buffer.from([0xff, 0x0a]))),
    unreadable('not-json', 'a record that is not JSON', withBlock({}, raw('{\n'))),
    unreadable('no-type', 'a record without a type', withBlock({}, raw('{"at":"x"}\n'))),
    unreadable(
      'deep-json',
      '100,000 levels',
      withBlock({ flags: 1, payloadBytes: deep.length }, deflateRawSync(raw(deep))),
    ),
  ]
}

/** The text of a vector file: header lines, an empty line, base64 in lines of 76. */
export function vectorText(vector: RecordingVector): string {
  const { comment, expect, records, at: place, bytes, unreadable } = vector
  const body = bytes.toString('base64').replace(/.{76}/g, '$&\n').trim()
  const head = [
    `expect: ${expect}`,
    `records: ${records}`,
    `at: ${place}`,
    `read: ${unreadable === true ? 'tampered' : expect}`,
    `key: ${VECTOR_KEY.public}`,
    `comment: ${comment}`,
  ]
  return `${head.join('\n')}\n\n${body}\n`
}
