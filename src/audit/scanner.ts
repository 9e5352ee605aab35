// Owns the verification steps of docs/spec/recording-v1.md as a sans-I/O machine: bytes in, verified blocks out.
// Holds at most one block. It must never give out a block whose bytes do not hash, follow and count as they should.

import { type ChainPosition, chainStart } from './chain.js'
import { type Checkpoint, openCheckpoint } from './checkpoint.js'
import { contentOf } from './content.js'
import {
  BLOCK_HEAD_BYTES,
  BlockHasher,
  type BlockHead,
  decodeBlockHead,
  FLAG_SEALED,
  HASH_BYTES,
  HEADER_PREFIX_BYTES,
  isHeadIntact,
  KIND_CHECKPOINT,
  MAX_HEADER_JSON_BYTES,
  type RecordingHeader,
} from './format.js'
import { headerJsonBytes, type OpenedHeader, openHeader } from './header.js'

/** The first bad place. `record`: the first that is not proven good; `block`: from 0; `offset`: bytes. */
export interface Place {
  readonly record: number
  readonly block: number
  readonly offset: number
}

/**
 * `chain`: what a verdict needs, over the stored bytes alone. `content`: the records are inflated and counted too, and
 * a block that does not hold what it says is tampered.
 */
export type ScanDepth = 'chain' | 'content'

/** One verified block. The payload of records is NDJSON, valid only until the next call, and empty at depth `chain`. */
export type ScannedBlock =
  | {
      readonly kind: 'records'
      readonly first: number
      readonly count: number
      readonly payload: Buffer
      readonly at: Place
    }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint; readonly at: Place }

export type ScanOutcome =
  /** Ended by a closing or recovering checkpoint, or before one, with how many bytes stand behind the last whole block. */
  | {
      readonly kind: 'whole'
      readonly state: 'closed' | 'recovered' | 'open'
      readonly torn: number
      readonly at: Place
    }
  | { readonly kind: 'tampered'; readonly reason: string; readonly at: Place }

/** Files lose what was not synced by pages and sectors. */
const SECTOR_BYTES = 512
const NO_BYTES = Buffer.alloc(0)

/** Where a scan can go on: behind the header, or behind a checkpoint that does not end the file. */
export interface ScanStart {
  readonly header: OpenedHeader
  readonly position: ChainPosition
  /** Bytes before it. */
  readonly offset: number
}

export class RecordingScanner {
  readonly #depth: ScanDepth
  #buffer = Buffer.allocUnsafe(8 * 1024)
  #start = 0
  #end = 0
  /** Bytes of the file before #start. */
  #offset = 0
  #ended = false
  #header: OpenedHeader | undefined
  #hasher: BlockHasher | undefined
  #position: ChainPosition | undefined
  /** The block after the last good checkpoint: where a rewritten stretch may begin. */
  #afterSigned: Place = { record: 1, block: 0, offset: 0 }
  #final: 'closed' | 'recovered' | undefined
  #outcome: ScanOutcome | undefined
  /** A block is damaged, but from `from` on there may be nothing but zeros: then it is torn. */
  #zeros: { readonly reason: string; readonly at: Place } | undefined

  /** `start`: what stands before it was verified by another scan. */
  constructor(depth: ScanDepth = 'content', start?: ScanStart) {
    this.#depth = depth
    if (start !== undefined) this.#begin(start)
  }

  /** Known once the header was read. */
  get header(): RecordingHeader | undefined {
    return this.#header?.fields
  }

  get headerHash(): Buffer | undefined {
    return this.#header?.hash
  }

  /** Bytes of the file that were verified. */
  get offset(): number {
    return this.#offset
  }

  /** Records, signed records, blocks and head so far. */
  get position(): ChainPosition | undefined {
    return this.#position
  }

  /** Set when there is no more to come. */
  get outcome(): ScanOutcome | undefined {
    return this.#outcome
  }

  /** Takes the next bytes of the file. Call `next` until it answers nothing before giving more. */
  push(chunk: Uint8Array): void {
    this.room(chunk.length).set(chunk)
    this.filled(chunk.length)
  }

  /** The same without a copy: where to put the next bytes, and how many then came. */
  room(length: number): Buffer {
    const held = this.#end - this.#start
    if (this.#end + length > this.#buffer.length) {
      const target =
        held + length > this.#buffer.length ? Buffer.allocUnsafe((held + length) * 2) : this.#buffer
      this.#buffer.copy(target, 0, this.#start, this.#end)
      this.#buffer = target
      this.#start = 0
      this.#end = held
    }
    return this.#buffer.subarray(this.#end, this.#end + length)
  }

  filled(length: number): void {
    this.#end += length
  }

  /** No more bytes. */
  end(): void {
    this.#ended = true
  }

  /** The next verified block; undefined when more bytes are needed or `outcome` is set. */
  next(): ScannedBlock | undefined {
    if (this.#outcome !== undefined) return undefined
    if (this.#zeros !== undefined) return this.#onlyZeros(this.#zeros)
    if (this.#header === undefined && !this.#readHeader()) return undefined
    const place = this.#place()
    const held = this.#end - this.#start
    if (this.#final !== undefined) return this.#atEnd(held, this.#final, place)
    if (held < BLOCK_HEAD_BYTES) return this.#short(held, place)
    if (!isHeadIntact(this.#buffer, this.#start))
      return this.#damaged('the head of the block is damaged', place, BLOCK_HEAD_BYTES)
    const head = decodeBlockHead(this.#buffer, this.#start)
    if (typeof head === 'string') return this.#tampered(head, place)
    const fault = this.#doesNotFollow(head)
    if (fault !== undefined) return this.#tampered(fault, place)
    if (held < head.length) return this.#short(held, place)
    return this.#readBlock(head, place)
  }

  #place(): Place {
    const position = this.#position
    return {
      record: (position?.records ?? 0) + 1,
      block: position?.blocks ?? 0,
      offset: this.#offset,
    }
  }

  #tampered(reason: string, at: Place): undefined {
    this.#outcome = { kind: 'tampered', reason, at }
    return undefined
  }

  /**
   * A power loss can leave zeros where bytes were written but not synced: from a block's begin or a sector's to the end
   * of the file. That is a torn tail. Whoever makes one on purpose could have cut the file there.
   */
  #damaged(reason: string, at: Place, length: number): undefined {
    const end = this.#start + length
    const lastSector =
      Math.floor((at.offset + length - 1) / SECTOR_BYTES) * SECTOR_BYTES - at.offset
    const last = this.#start + Math.max(0, lastSector)
    const zeros =
      isZero(this.#buffer.subarray(last, end)) || isZero(this.#buffer.subarray(this.#start, end))
    if (!zeros || at.block === 0) return this.#tampered(reason, at)
    this.#consume(length)
    this.#zeros = { reason, at }
    return this.#onlyZeros(this.#zeros)
  }

  #onlyZeros({ reason, at }: { readonly reason: string; readonly at: Place }): undefined {
    const held = this.#end - this.#start
    if (!isZero(this.#buffer.subarray(this.#start, this.#end))) return this.#tampered(reason, at)
    this.#consume(held)
    if (this.#ended)
      this.#outcome = { kind: 'whole', state: 'open', torn: this.#offset - at.offset, at }
    return undefined
  }

  /** Fewer bytes than the block has: more may come, or the tail is torn. */
  #short(held: number, at: Place): undefined {
    if (!this.#ended) return undefined
    // The file appears under its name with its first checkpoint in it, so that can only be missing by tampering.
    if (at.block === 0) return this.#tampered('the file ends before its first checkpoint', at)
    this.#outcome = { kind: 'whole', state: 'open', torn: held, at }
    return undefined
  }

  #atEnd(held: number, state: 'closed' | 'recovered', at: Place): undefined {
    if (held > 0) return this.#tampered('there are bytes after the closing checkpoint', at)
    if (this.#ended) this.#outcome = { kind: 'whole', state, torn: 0, at }
    return undefined
  }

  #readHeader(): boolean {
    const at: Place = { record: 1, block: 0, offset: 0 }
    const held = this.#end - this.#start
    const window = this.#buffer.subarray(this.#start, this.#end)
    const jsonBytes = held < HEADER_PREFIX_BYTES ? 0 : headerJsonBytes(window)
    if (typeof jsonBytes === 'string') {
      this.#tampered(jsonBytes, at)
      return false
    }
    const length = HEADER_PREFIX_BYTES + Math.min(jsonBytes, MAX_HEADER_JSON_BYTES) + HASH_BYTES
    if (held < HEADER_PREFIX_BYTES || held < length) {
      if (this.#ended) this.#tampered('the header is cut off', at)
      return false
    }
    const header = openHeader(Buffer.from(window.subarray(0, length)))
    if (typeof header === 'string') {
      this.#tampered(header, at)
      return false
    }
    this.#consume(length)
    this.#begin({ header, position: chainStart(header.hash), offset: this.#offset })
    return true
  }

  #begin({ header, position, offset }: ScanStart): void {
    this.#header = header
    this.#hasher = new BlockHasher(header.hash)
    this.#position = position
    this.#offset = offset
    this.#afterSigned = this.#place()
  }

  #doesNotFollow(head: BlockHead): string | undefined {
    const position = this.#position
    if (position === undefined) return 'there is no header'
    const previous = this.#start + 20
    if (this.#buffer.compare(position.head, 0, HASH_BYTES, previous, previous + HASH_BYTES) !== 0)
      return 'the block does not follow the one before it'
    if (head.first !== position.records + 1)
      return `the block begins with record ${head.first}, expected ${position.records + 1}`
    if (position.blocks === 0 && head.kind !== KIND_CHECKPOINT)
      return 'the first block is not a checkpoint'
    if ((head.flags & FLAG_SEALED) !== 0 && this.#header?.fields.seal === undefined)
      return 'the block is sealed, and the header does not say how'
    return undefined
  }

  #readBlock(head: BlockHead, at: Place): ScannedBlock | undefined {
    const position = this.#position
    if (position === undefined || this.#hasher === undefined || this.#header === undefined)
      return undefined
    const end = this.#start + head.length - HASH_BYTES
    const hash = this.#hasher.hash(this.#buffer.subarray(this.#start, end))
    if (this.#buffer.compare(hash, 0, HASH_BYTES, end, end + HASH_BYTES) !== 0) {
      return this.#damaged('the hash of the block is wrong', at, head.length)
    }
    const payload = this.#buffer.subarray(this.#start + BLOCK_HEAD_BYTES, end)
    const block =
      head.kind === KIND_CHECKPOINT
        ? this.#checkpoint(payload, at)
        : this.#records(head, payload, at)
    if (block === undefined) return undefined
    const records = position.records + head.count
    const signed = block.kind === 'checkpoint' ? records : position.signed
    this.#position = { records, signed, blocks: position.blocks + 1, head: hash }
    this.#consume(head.length)
    if (block.kind === 'checkpoint') this.#afterSigned = this.#place()
    return block
  }

  #records(head: BlockHead, stored: Buffer, at: Place): ScannedBlock | undefined {
    const payload = this.#depth === 'content' ? contentOf(head, stored) : NO_BYTES
    if (typeof payload === 'string') return this.#tampered(payload, at)
    return { kind: 'records', first: head.first, count: head.count, payload, at }
  }

  #checkpoint(payload: Buffer, at: Place): ScannedBlock | undefined {
    const header = this.#header
    const position = this.#position
    if (header === undefined || position === undefined) return undefined
    const checkpoint = openCheckpoint(payload, header.key)
    if (typeof checkpoint === 'string') return this.#tampered(checkpoint, at)
    if (checkpoint.id !== header.fields.id)
      return this.#tampered('the checkpoint belongs to another file', at)
    if (
      !checkpoint.head.equals(position.head) ||
      checkpoint.records !== position.records ||
      checkpoint.block !== position.blocks
    ) {
      // Hashes were made afresh around something that was changed since the last good checkpoint.
      return this.#tampered(
        'the chain is not the one that the next checkpoint signs',
        this.#afterSigned,
      )
    }
    if (checkpoint.state !== 'open') this.#final = checkpoint.state
    return { kind: 'checkpoint', checkpoint, at }
  }

  #consume(bytes: number): void {
    this.#start += bytes
    this.#offset += bytes
    if (this.#start === this.#end) {
      this.#start = 0
      this.#end = 0
    }
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}
