// Owns remembering which blocks were verified, for whoever reads the file again: 16 bytes for each.

/**
 * Half of each block's hash, which nobody can make another block for. The next checkpoint alone would not do: it comes
 * after what it signs has been given out, and whoever stops reading before never sees it.
 */
export class BlockHashes {
  static readonly #BYTES = 16
  #hashes = Buffer.alloc(64 * BlockHashes.#BYTES)
  #count = 0

  /** The next good block. */
  add(hash: Buffer): void {
    const at = this.#count * BlockHashes.#BYTES
    if (at === this.#hashes.length)
      this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(this.#hashes.length)])
    hash.copy(this.#hashes, at, 0, BlockHashes.#BYTES)
    this.#count += 1
  }

  /** Whether the block of this number is still the one that was verified. */
  has(block: number, hash: Buffer | undefined): boolean {
    const at = block * BlockHashes.#BYTES
    const known = this.#hashes.subarray(at, at + BlockHashes.#BYTES)
    return block < this.#count && hash?.subarray(0, BlockHashes.#BYTES).equals(known) === true
  }
}
