// Owns making the next block of a file: what it follows, what it counts, what a checkpoint signs. It writes nothing.

import { deflateRawSync } from 'node:zlib'
import { type CheckpointState, signCheckpoint } from './checkpoint.js'
import { BlockHasher, encodeBlock, FLAG_DEFLATE, KIND_CHECKPOINT, KIND_RECORDS } from './format.js'
import type { SigningKeyPair } from './keys.js'

/** Smaller payloads are not worth the time to compress. */
const DEFLATE_ABOVE_BYTES = 4096

/** Where a chain stands. */
export interface ChainPosition {
  /** Records in blocks. */
  readonly records: number
  /** Records that a checkpoint covers. */
  readonly signed: number
  /** Blocks. */
  readonly blocks: number
  /** Hash of the last block, or of the header. */
  readonly head: Buffer
}

/** Where the chain of a file stands behind its header. */
export function chainStart(headerHash: Buffer): ChainPosition {
  return { records: 0, signed: 0, blocks: 0, head: headerHash }
}

export class Chain {
  readonly #id: string
  readonly #key: SigningKeyPair
  readonly #hasher: BlockHasher
  /** Assigned back by the writer when what was made could not be written. */
  position: ChainPosition

  constructor(id: string, key: SigningKeyPair, headerHash: Buffer, position?: ChainPosition) {
    this.#id = id
    this.#key = key
    this.#hasher = new BlockHasher(headerHash)
    this.position = position ?? chainStart(headerHash)
  }

  /** A block of these lines (1–500, each ending in LF). */
  records(lines: readonly string[]): Buffer {
    const { records, signed, blocks, head } = this.position
    const raw = Buffer.from(lines.join(''), 'utf8')
    const deflated = raw.length > DEFLATE_ABOVE_BYTES ? deflateRawSync(raw, { level: 1 }) : raw
    const smaller = deflated.length < raw.length - raw.length / 8
    const fields = {
      kind: KIND_RECORDS,
      flags: smaller ? FLAG_DEFLATE : 0,
      count: lines.length,
      first: records + 1,
      payloadBytes: raw.length,
    }
    const block = encodeBlock(fields, head, smaller ? deflated : raw, this.#hasher)
    this.position = {
      records: records + lines.length,
      signed,
      blocks: blocks + 1,
      head: block.hash,
    }
    return block.bytes
  }

  /** A signed checkpoint over everything so far. `time` is ISO 8601. */
  checkpoint(state: CheckpointState, time: string): Buffer {
    const { records, blocks, head } = this.position
    const payload = signCheckpoint(
      { id: this.#id, records, head, block: blocks, state, time },
      this.#key,
    )
    const fields = {
      kind: KIND_CHECKPOINT,
      flags: 0,
      count: 0,
      first: records + 1,
      payloadBytes: payload.length,
    }
    const block = encodeBlock(fields, head, payload, this.#hasher)
    this.position = { records, signed: records, blocks: blocks + 1, head: block.hash }
    return block.bytes
  }
}
