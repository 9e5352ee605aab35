// Owns what is about to be written in one direction: neighbouring slices of one chunk become one write
// without a copy. Must never reorder.

/** Collects buffers and hands them on in order. */
export class Outbox {
  readonly #write: (bytes: Buffer) => void
  #waiting: Buffer[] = []

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write
  }

  add(bytes: Buffer): void {
    const last = this.#waiting.at(-1)
    if (
      last !== undefined &&
      last.buffer === bytes.buffer &&
      last.byteOffset + last.length === bytes.byteOffset
    ) {
      this.#waiting[this.#waiting.length - 1] = Buffer.from(
        last.buffer,
        last.byteOffset,
        last.length + bytes.length,
      )
      return
    }
    this.#waiting.push(bytes)
  }

  get empty(): boolean {
    return this.#waiting.length === 0
  }

  /** Writes everything: one write where it is one run or small pieces. */
  flush(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    this.#write(
      waiting.length === 1 && waiting[0] !== undefined ? waiting[0] : Buffer.concat(waiting),
    )
  }
}
