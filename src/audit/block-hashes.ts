// Owns remembering what was verified, for whoever reads the file again: 16 bytes for each 64 KiB, and what was read again
// is given out only when it is the same.

import type { ScannedBlock } from './scanner.js'

/** A block of records, as a scan gives it out. */
export type RecordsBlock = Extract<ScannedBlock, { kind: 'records' }>

const KEPT_BYTES = 16
/** Smaller blocks are taken together up to here: what is read again is held as long. */
const GROUP_BYTES = 64 * 1024
/** What a block takes beside its payload. */
const BLOCK_BYTES = 256

/**
 * Half of the hash of the last block of each group, which nobody can make other blocks for, and of the last checkpoint. The
 * next checkpoint alone would not do: it may come long after what it signs.
 */
export class BlockHashes {
  #hashes = Buffer.alloc(64 * KEPT_BYTES)
  #groups = 0
  #blocks = 0
  readonly #size = new GroupSize()
  #checkpoint: { readonly block: number; readonly hash: Buffer } | undefined

  /** The next good block. */
  add(block: ScannedBlock, hash: Buffer): void {
    if (block.kind === 'checkpoint') {
      const kept = Buffer.from(hash.subarray(0, KEPT_BYTES))
      this.#checkpoint = { block: this.#blocks, hash: kept }
    }
    this.#blocks += 1
    if (!this.#size.isFull(block)) return
    const at = this.#groups * KEPT_BYTES
    if (at === this.#hashes.length)
      this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(this.#hashes.length)])
    hash.copy(this.#hashes, at, 0, KEPT_BYTES)
    this.#groups += 1
  }

  /** Takes the blocks of the file again, from the first one. */
  again(): ReadAgain {
    const size = new GroupSize()
    let held: RecordsBlock[] = []
    let groups = 0
    return (block, hash) => {
      const known = size.isFull(block) ? this.#ofGroup(groups++) : this.#ofCheckpoint(block)
      if (known === undefined) {
        if (block.kind === 'records') held.push({ ...block, payload: Buffer.from(block.payload) })
        return []
      }
      if (hash?.subarray(0, KEPT_BYTES).equals(known) !== true) return undefined
      const proven = block.kind === 'records' ? [...held, block] : held
      held = []
      return proven
    }
  }

  /** Empty, which no hash is, behind what was verified. */
  #ofGroup(group: number): Buffer {
    return group < this.#groups
      ? this.#hashes.subarray(group * KEPT_BYTES, (group + 1) * KEPT_BYTES)
      : Buffer.alloc(0)
  }

  #ofCheckpoint({ at }: ScannedBlock): Buffer | undefined {
    return this.#checkpoint?.block === at.block ? this.#checkpoint.hash : undefined
  }
}

/** The blocks of records that are now known to be the ones that were verified; undefined when one of them is another. */
export type ReadAgain = (
  block: ScannedBlock,
  hash: Buffer | undefined,
) => readonly RecordsBlock[] | undefined

class GroupSize {
  #bytes = 0

  /** Whether this block ends a group. */
  isFull(block: ScannedBlock): boolean {
    this.#bytes += BLOCK_BYTES + (block.kind === 'records' ? block.payload.length : 0)
    if (this.#bytes < GROUP_BYTES) return false
    this.#bytes = 0
    return true
  }
}
