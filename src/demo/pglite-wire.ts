// Owns the wire form the front needs: PostgreSQL's message framing and the few messages it writes itself
// (PostgreSQL docs, "Message Formats"). It must never look at SQL.

export interface Message {
  /** One letter; empty for a start-up packet. */
  readonly type: string
  readonly payload: Buffer
  /** The whole message as it came. */
  readonly bytes: Buffer
}

/** Cuts a byte stream into messages. Throws a RangeError for a length out of bounds. */
export class Framer {
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }

  /** The next whole message, or undefined. `startup`: the form without a type letter. */
  next(startup: boolean): Message | undefined {
    const head = startup ? 4 : 5
    if (this.#size < head) return undefined
    const first = this.#joined(head)
    const length = first.readUInt32BE(head - 4)
    if (length < 4 || length > this.#maxBytes)
      throw new RangeError('a message length is out of bounds')
    const total = head - 4 + length
    if (this.#size < total) return undefined
    const all = this.#joined(total)
    const bytes = all.subarray(0, total)
    this.#chunks =
      all.length > total ? [all.subarray(total), ...this.#chunks.slice(1)] : this.#chunks.slice(1)
    this.#size -= total
    return {
      type: startup ? '' : String.fromCharCode(bytes[0] ?? 0),
      payload: bytes.subarray(head),
      bytes,
    }
  }

  /** Makes the first chunk at least this long. */
  #joined(size: number): Buffer {
    const first = this.#chunks[0]
    if (first !== undefined && first.length >= size) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }
}

/** One message: letter, length, parts. Strings get their terminator. */
export function message(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)),
  )
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

export const query = (text: string): Buffer => message('Q', text)
export const SYNC = message('S')
export const AUTHENTICATION_OK = message('R', int32(0))
export const parameterStatus = (name: string, value: string): Buffer => message('S', name, value)
export const readyForQuery = (status: string): Buffer => message('Z', Buffer.from(status, 'latin1'))

/** NegotiateProtocolVersion: 3.0 is the newest spoken here, and these options are not understood. */
export function negotiateProtocolVersion(options: readonly string[]): Buffer {
  return message('v', int32(196608), int32(options.length), ...options)
}

export function errorResponse(severity: 'ERROR' | 'FATAL', sqlstate: string, text: string): Buffer {
  return message('E', `S${severity}`, `V${severity}`, `C${sqlstate}`, `M${text}`, Buffer.from([0]))
}

/** The zero-terminated strings of a payload. */
export function strings(payload: Buffer): string[] {
  const list = payload.toString('utf8').split('\0')
  return list.slice(0, -1)
}

/** Columns of a DataRow in text form. */
export function dataRow(payload: Buffer): (string | null)[] {
  const row: (string | null)[] = []
  let at = 2
  for (let left = payload.readInt16BE(0); left > 0; left -= 1) {
    const length = payload.readInt32BE(at)
    at += 4
    row.push(length < 0 ? null : payload.toString('utf8', at, at + length))
    if (length > 0) at += length
  }
  return row
}
