// Owns cutting a byte stream into typed messages, with every length checked from the five header bytes
// before anything is buffered. Must never copy a message that lies whole in one chunk.

import { violation } from './wire.js'

const HEADER = 5

/** Types that a client may send once it has authenticated, and during it ('p'). */
export const CLIENT_TYPES = new Set([...'QPBDECSHFXdcf'].map((letter) => letter.charCodeAt(0)))
export const PASSWORD_TYPE = 'p'.charCodeAt(0)
/** Types that a database may send. */
export const UPSTREAM_TYPES = new Set(
  [...'RKZSENAT123tnDCIsGHWdcVv'].map((letter) => letter.charCodeAt(0)),
)

// Messages with a small fixed form are not given the cap of a statement (memory per connection).
const SMALL_CAPS = new Map([...'SHXc'].map((letter) => [letter.charCodeAt(0), 4] as const))

/**
 * Cap of a client's message by its type, in bytes of its length field; undefined where the type may not come.
 * `authenticated` false allows only the password family of messages.
 */
export function clientCap(
  type: number,
  authenticated: boolean,
  messageBytes: number,
): number | undefined {
  if (!authenticated) return type === PASSWORD_TYPE ? messageBytes : undefined
  if (!CLIENT_TYPES.has(type)) return undefined
  return SMALL_CAPS.get(type) ?? messageBytes
}

/** Cuts a stream into messages. */
export class Framer {
  readonly #cap: (type: number) => number | undefined
  #parts: Buffer[] = []
  #have = 0
  #need = HEADER
  #stopped = false

  /** `cap` answers the greatest length field for a type, or undefined where the type is a violation. */
  constructor(cap: (type: number) => number | undefined) {
    this.#cap = cap
  }

  /** No further message is handed out, not even out of the chunk at hand. */
  stop(): void {
    this.#stopped = true
    this.#parts = []
    this.#have = 0
  }

  /**
   * Takes a chunk and calls `take` with each whole message, header included. Throws a violation for a type
   * that may not come and for a length under 4 or above the cap (read unsigned, so −1 is 4 GiB). Answers the
   * bytes that were not looked at because it was stopped.
   */
  push(chunk: Buffer, take: (type: number, message: Buffer) => void): Buffer {
    let rest = chunk
    while (rest.length > 0 && !this.#stopped) {
      if (this.#have === 0 && rest.length >= HEADER) {
        const size = this.#size(rest)
        if (rest.length >= size) {
          const whole = rest.subarray(0, size)
          rest = rest.subarray(size)
          take(whole.readUInt8(0), whole)
          continue
        }
      }
      rest = this.#gather(rest, take)
    }
    return rest
  }

  #gather(chunk: Buffer, take: (type: number, message: Buffer) => void): Buffer {
    const used = Math.min(this.#need - this.#have, chunk.length)
    this.#parts.push(chunk.subarray(0, used))
    this.#have += used
    if (this.#have < this.#need) return chunk.subarray(used)
    if (this.#need === HEADER) {
      const header = Buffer.concat(this.#parts)
      this.#parts = [header]
      this.#need = this.#size(header)
    }
    if (this.#have === this.#need) {
      const whole = Buffer.concat(this.#parts)
      this.#parts = []
      this.#have = 0
      this.#need = HEADER
      take(whole.readUInt8(0), whole)
    }
    return chunk.subarray(used)
  }

  #size(header: Buffer): number {
    const type = header.readUInt8(0)
    const cap = this.#cap(type)
    if (cap === undefined)
      throw violation(`message type 0x${type.toString(16).padStart(2, '0')} may not come here`)
    const length = header.readUInt32BE(1)
    if (length < 4) throw violation(`a message says it has ${length} bytes`)
    if (length > cap)
      throw violation(`a message of ${length} bytes is longer than the ${cap} allowed`)
    return length + 1
  }
}
