// Owns the bytes of a recording: header, block framing, hashes (docs/spec/recording-v1.md). Pure: no files, no
// keys. It must never accept a length, count or flag that the specification does not name.

import { createHash, hash as hashOnce } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { canonicalJson } from '../core/json.js'

export const MAGIC = Buffer.from('vgate/recording\n', 'latin1')
export const VERSION = 1
/** Magic, version, and the length of the header's JSON. */
export const HEADER_PREFIX_BYTES = 19
export const MAX_HEADER_JSON_BYTES = 4096
export const HASH_BYTES = 32
/** Fixed fields of a block, before its payload. */
export const BLOCK_HEAD_BYTES = 56
export const MAX_BLOCK_RECORDS = 500
/** Payload of one block, before compression. Bounds what a verifier holds or inflates. */
export const MAX_PAYLOAD_BYTES = 32 * 1024 * 1024
/** A checkpoint is text of a few short lines. */
export const MAX_CHECKPOINT_BYTES = 1024

export const KIND_RECORDS = 1
export const KIND_CHECKPOINT = 2
/** Payload is a raw DEFLATE stream (RFC 1951). */
export const FLAG_DEFLATE = 0x01
/** The payload is encrypted as the header's `seal` says. Verified like any other; read by later versions. */
export const FLAG_SEALED = 0x10

const HEADER_DOMAIN = Buffer.from('vgate-recording-v1/header\n', 'latin1')
const BLOCK_DOMAIN = Buffer.from('vgate-recording-v1/block\n', 'latin1')
const PREFIX_BYTES = BLOCK_DOMAIN.length + HASH_BYTES
const SMALL_BLOCK_BYTES = 16 * 1024

/** FIPS 180-4. Faster than SHA-256 where the processor has no instructions for it; both fit one checkpoint line. */
const HASH = 'sha512-256'

export type RecordingKind = 'session' | 'log'

/** The JSON of a header. */
export interface RecordingHeader {
  readonly kind: RecordingKind
  /** Unique: `ses_…` for a session, `log_…` for a file of the audit log. */
  readonly id: string
  /** ISO 8601, UTC. */
  readonly created: string
  readonly key: { readonly id: string; readonly public: string }
  /** Says how payloads are sealed. Opaque to this version; payloads may only be sealed where it is there. */
  readonly seal?: string
  /** Files of one log are numbered from 1. */
  readonly number?: number
  /** The file of the log before this one. */
  readonly previous?: { readonly id: string; readonly records: number; readonly head: string }
}

/** The fixed fields of a block. */
export interface BlockHead {
  /** Bytes of the whole block, its hash included. */
  readonly length: number
  readonly kind: number
  readonly flags: number
  readonly count: number
  /** Sequence number of the first record; for a checkpoint that of the next record to come. */
  readonly first: number
  readonly payloadBytes: number
}

/** The header's bytes and their hash, the first link of the chain. */
export function encodeHeader(header: RecordingHeader): {
  readonly bytes: Buffer
  readonly hash: Buffer
} {
  const json = Buffer.from(canonicalJson(header), 'utf8')
  if (json.length > MAX_HEADER_JSON_BYTES) throw new RangeError('recording header is too long')
  const bytes = Buffer.alloc(HEADER_PREFIX_BYTES + json.length + HASH_BYTES)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt8(VERSION, 16)
  bytes.writeUInt16BE(json.length, 17)
  json.copy(bytes, HEADER_PREFIX_BYTES)
  const hash = hashHeader(bytes.subarray(0, bytes.length - HASH_BYTES))
  hash.copy(bytes, bytes.length - HASH_BYTES)
  return { bytes, hash }
}

/** The hash of the header, over all of it before the hash itself. */
export function hashHeader(bytes: Uint8Array): Buffer {
  return createHash(HASH).update(HEADER_DOMAIN).update(bytes).digest()
}

/** Hashes blocks of one file: every hash depends on the file's header, so no block fits into another file. */
export class BlockHasher {
  readonly #scratch = Buffer.alloc(PREFIX_BYTES + SMALL_BLOCK_BYTES)

  constructor(headerHash: Buffer) {
    BLOCK_DOMAIN.copy(this.#scratch, 0)
    headerHash.copy(this.#scratch, BLOCK_DOMAIN.length)
  }

  /** Over domain, header hash and the block without its own hash. */
  hash(block: Buffer): Buffer {
    if (block.length <= SMALL_BLOCK_BYTES) {
      block.copy(this.#scratch, PREFIX_BYTES)
      return hashOnce(HASH, this.#scratch.subarray(0, PREFIX_BYTES + block.length), 'buffer')
    }
    return createHash(HASH).update(this.#scratch.subarray(0, PREFIX_BYTES)).update(block).digest()
  }
}

/** One block as stored. `payload` is what goes on disk; `payloadBytes` its length before compression. */
export function encodeBlock(
  fields: Omit<BlockHead, 'length'>,
  previous: Buffer,
  payload: Buffer,
  hasher: BlockHasher,
): { readonly bytes: Buffer; readonly hash: Buffer } {
  const length = BLOCK_HEAD_BYTES + payload.length + HASH_BYTES
  const bytes = Buffer.allocUnsafe(length)
  bytes.writeUInt32BE(length, 0)
  bytes.writeUInt8(fields.kind, 4)
  bytes.writeUInt8(fields.flags, 5)
  bytes.writeUInt16BE(fields.count, 6)
  bytes.writeUInt32BE(Math.floor(fields.first / 2 ** 32), 8)
  bytes.writeUInt32BE(fields.first % 2 ** 32, 12)
  bytes.writeUInt32BE(fields.payloadBytes, 16)
  previous.copy(bytes, 20)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 52)), 52)
  payload.copy(bytes, BLOCK_HEAD_BYTES)
  const hash = hasher.hash(bytes.subarray(0, length - HASH_BYTES))
  hash.copy(bytes, length - HASH_BYTES)
  return { bytes, hash }
}

/**
 * Whether the fixed fields are as they were written. The CRC tells a damaged length, which would look like a torn tail,
 * from a real torn tail. It is no defence: the hash is.
 */
export function isHeadIntact(bytes: Buffer, at = 0): boolean {
  return crc32(bytes.subarray(at, at + 52)) === bytes.readUInt32BE(at + 52)
}

/** Reads the fixed fields of an intact head; a string says what is wrong with them. */
export function decodeBlockHead(bytes: Buffer, at = 0): BlockHead | string {
  const head: BlockHead = {
    length: bytes.readUInt32BE(at),
    kind: bytes.readUInt8(at + 4),
    flags: bytes.readUInt8(at + 5),
    count: bytes.readUInt16BE(at + 6),
    first: bytes.readUInt32BE(at + 8) * 2 ** 32 + bytes.readUInt32BE(at + 12),
    payloadBytes: bytes.readUInt32BE(at + 16),
  }
  return faultOf(head) ?? head
}

function faultOf(head: BlockHead): string | undefined {
  const stored = head.length - BLOCK_HEAD_BYTES - HASH_BYTES
  if (!Number.isSafeInteger(head.first)) return 'the sequence number is out of range'
  if (head.kind !== KIND_RECORDS && head.kind !== KIND_CHECKPOINT)
    return 'the kind of the block is unknown'
  const records = head.kind === KIND_RECORDS
  const mostPayload = records ? MAX_PAYLOAD_BYTES : MAX_CHECKPOINT_BYTES
  if (stored < 1 || stored > mostPayload) return 'the length of the block is out of range'
  if (head.payloadBytes < 1 || head.payloadBytes > mostPayload)
    return 'the payload length is out of range'
  if ((head.flags & ~(records ? FLAG_DEFLATE | FLAG_SEALED : 0)) !== 0)
    return 'a reserved flag is set'
  if (head.flags === 0 && head.payloadBytes !== stored) return 'the two lengths disagree'
  if (records ? head.count < 1 || head.count > MAX_BLOCK_RECORDS : head.count !== 0) {
    return 'the record count is out of range'
  }
  return undefined
}
