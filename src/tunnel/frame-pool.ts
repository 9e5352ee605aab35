// Owns the memory of full frames: what the socket has taken is written again, so that a large result costs no garbage.
// Must never hand out a frame that the socket still holds.

import { HEADER_BYTES, RECORD_BYTES } from './frame.js'

/** One mebibyte for all tunnels of a process. */
const SPARE_FRAMES = 64

export class FramePool {
  readonly #spare: ArrayBuffer[] = []

  /** Memory for a message of this length; its content is arbitrary. */
  take(length: number): Buffer {
    if (length <= RECORD_BYTES / 2 || length > RECORD_BYTES) return Buffer.allocUnsafe(length)
    return Buffer.from(this.#spare.pop() ?? new ArrayBuffer(RECORD_BYTES), 0, length)
  }

  /** The socket has taken this message, and nobody else will read it. */
  give(message: Buffer): void {
    const { buffer } = message
    const ours = buffer instanceof ArrayBuffer && buffer.byteLength === RECORD_BYTES
    if (ours && message.length > HEADER_BYTES && this.#spare.length < SPARE_FRAMES)
      this.#spare.push(buffer)
  }
}
