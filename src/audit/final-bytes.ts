// Owns which bytes of a recording that is still written can no longer change: those up to its last whole checkpoint.
// A writer may cut off what stands behind it (docs/spec/recording-v1.md, "Writing"). It verifies nothing: where the
// framing makes no sense it gives out everything, for the scanner to say what is wrong.

import type { FileHandle } from 'node:fs/promises'
import { VgateError } from '../core/errors.js'
import {
  BLOCK_HEAD_BYTES,
  decodeBlockHead,
  HASH_BYTES,
  HEADER_PREFIX_BYTES,
  KIND_CHECKPOINT,
} from './format.js'
import { headerJsonBytes } from './header.js'

const CHUNK_BYTES = 256 * 1024

export class FinalBytes {
  readonly #file: FileHandle
  readonly #window = Buffer.allocUnsafe(CHUNK_BYTES)
  #windowAt = 0
  #windowBytes = 0
  #given: number
  #final = 0
  /** A final checkpoint stands there, or nobody writes any more: whatever is there counts. */
  #all = false
  #over = false

  /** `from`: bytes that were given out before. */
  constructor(file: FileHandle, from = 0) {
    this.#file = file
    this.#given = from
  }

  /** Bytes given out so far. */
  get given(): number {
    return this.#given
  }

  /** Everything was given out, and nothing more comes. */
  get over(): boolean {
    return this.#over
  }

  /** Nobody writes this file any more: what stands behind its last checkpoint is given out too. */
  settle(): void {
    this.#all = true
  }

  /** The next bytes; undefined when there are none now. Throws VGATE_RECORDING_BROKEN when the file has become shorter. */
  async next(): Promise<Buffer | undefined> {
    if (this.#given >= this.#final || this.#all) await this.#look()
    const length = Math.min(CHUNK_BYTES, this.#final - this.#given)
    if (length <= 0) {
      this.#over = this.#all
      return undefined
    }
    const bytes = Buffer.allocUnsafe(length)
    const { bytesRead } = await this.#file.read(bytes, 0, length, this.#given)
    this.#given += bytesRead
    return bytesRead === 0 ? undefined : bytes.subarray(0, bytesRead)
  }

  async #look(): Promise<void> {
    const { size } = await this.#file.stat()
    if (size < this.#given) {
      throw new VgateError(
        'VGATE_RECORDING_BROKEN',
        'the recording became shorter while it was read',
        {
          hint: 'keep it as evidence, and see `vgate verify`',
        },
      )
    }
    if (this.#all) this.#final = size
    else await this.#walk(size)
  }

  /** From the last known checkpoint over the heads of the blocks behind it, which may be others than last time. */
  async #walk(size: number): Promise<void> {
    this.#windowBytes = 0
    let at = this.#final
    if (at === 0) {
      const prefix = await this.#peek(0, HEADER_PREFIX_BYTES)
      if (prefix.length < HEADER_PREFIX_BYTES) return
      const jsonBytes = headerJsonBytes(prefix)
      if (typeof jsonBytes === 'string') return this.#takeAll(size)
      at = HEADER_PREFIX_BYTES + jsonBytes + HASH_BYTES
    }
    while (this.#final - this.#given < CHUNK_BYTES) {
      const bytes = await this.#peek(at, BLOCK_HEAD_BYTES)
      if (bytes.length < BLOCK_HEAD_BYTES) return
      const head = decodeBlockHead(bytes)
      if (typeof head === 'string') return this.#takeAll(size)
      const end = at + head.length
      if (end > size) return
      if (head.kind === KIND_CHECKPOINT) {
        this.#final = end
        if (!isOpen(await this.#peek(at, head.length))) return this.#takeAll(size)
      }
      at = end
    }
  }

  #takeAll(size: number): void {
    this.#all = true
    this.#final = size
  }

  /** `count` bytes at this offset, fewer at the end of the file. */
  async #peek(at: number, count: number): Promise<Buffer> {
    const held = at >= this.#windowAt && at + count <= this.#windowAt + this.#windowBytes
    if (!held) {
      const { bytesRead } = await this.#file.read(this.#window, 0, this.#window.length, at)
      this.#windowAt = at
      this.#windowBytes = bytesRead
    }
    const from = at - this.#windowAt
    return this.#window.subarray(from, Math.min(from + count, this.#windowBytes))
  }
}

/** The fifth line of a checkpoint says whether it ends the file. */
function isOpen(block: Buffer): boolean {
  const text = block.subarray(BLOCK_HEAD_BYTES, block.length - HASH_BYTES).toString('utf8')
  return text.split('\n')[4] === 'state open'
}
