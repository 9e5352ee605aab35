// Owns how a recording that is still written comes over HTTP: its bytes in frames, so that a sign of life and the end
// can stand between them. A frame is four bytes of length and as many bytes; lengths above any frame's are signs.

/** Bytes of one frame at most. */
export const FRAME_MAX_BYTES = 256 * 1024

const ALIVE = 0
const OVER = 0xffff_ffff
const AGAIN = 0xffff_fffe

const sign = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export const FOLLOW_SIGNS = {
  /** All that is final was sent; more may come. */
  alive: sign(ALIVE),
  /** Nothing more comes. */
  over: sign(OVER),
  /** The caller has to show that it may still read, and goes on from there. */
  again: sign(AGAIN),
} as const

/** Bytes of the recording as a frame. */
export function followFrame(bytes: Buffer): Buffer {
  if (bytes.length === 0 || bytes.length > FRAME_MAX_BYTES)
    throw new RangeError(`a frame has 1 to ${FRAME_MAX_BYTES} bytes`)
  return Buffer.concat([sign(bytes.length), bytes])
}

/** Takes a stream of frames apart, however it was cut on its way. Holds four bytes at most. */
export class FollowReader {
  readonly #bytes: (part: Buffer) => Promise<void>
  readonly #alive: () => void
  #head = Buffer.alloc(0)
  #left = 0
  /** How the stream ended; undefined while it has not, also when it was cut. */
  end: 'over' | 'again' | undefined

  constructor(listener: { bytes(part: Buffer): Promise<void>; alive(): void }) {
    this.#bytes = (part) => listener.bytes(part)
    this.#alive = () => listener.alive()
  }

  /** Takes the next bytes of the stream. Rejects with a RangeError for what is no such stream. */
  async take(chunk: Buffer): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      if (this.end !== undefined) throw new RangeError('there are bytes behind the end')
      if (this.#left > 0) {
        const part = rest.subarray(0, this.#left)
        rest = rest.subarray(part.length)
        this.#left -= part.length
        await this.#bytes(part)
        continue
      }
      const missing = 4 - this.#head.length
      this.#head = Buffer.concat([this.#head, rest.subarray(0, missing)])
      rest = rest.subarray(missing)
      if (this.#head.length === 4) this.#begin(this.#head.readUInt32BE(0))
    }
  }

  #begin(length: number): void {
    this.#head = Buffer.alloc(0)
    if (length === ALIVE) this.#alive()
    else if (length === OVER) this.end = 'over'
    else if (length === AGAIN) this.end = 'again'
    else if (length <= FRAME_MAX_BYTES) this.#left = length
    else throw new RangeError('a frame is longer than frames are')
  }
}
