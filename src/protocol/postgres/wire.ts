// Owns the bytes of single PostgreSQL messages: a bounds-checked reader, a writer, and ErrorResponse both ways.
// Must never decide what a message means. Source: PostgreSQL docs, "Message Formats".

import { VgateError } from '../../core/errors.js'

/** A protocol violation of either side; the connection ends with it. */
export function violation(message: string): VgateError {
  return new VgateError('VGATE_PROTOCOL_VIOLATION', message)
}

/** Reads one message's body. Every read past the end throws a violation. */
export class BodyReader {
  readonly #bytes: Buffer
  #offset: number

  /** `offset` is where the body starts: 5 for a typed message. */
  constructor(bytes: Buffer, offset = 5) {
    this.#bytes = bytes
    this.#offset = offset
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  get offset(): number {
    return this.#offset
  }

  #need(size: number): number {
    if (size < 0 || size > this.remaining) throw violation('a message ends before its fields do')
    const at = this.#offset
    this.#offset += size
    return at
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#need(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#need(2))
  }

  /** A count: never negative. */
  count(): number {
    const value = this.int16()
    // Bind and DataRow allow up to 65535 fields; PostgreSQL reads the count as unsigned there.
    return value < 0 ? value + 65536 : value
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#need(4))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#need(4))
  }

  bytes(size: number): Buffer {
    const at = this.#need(size)
    return this.#bytes.subarray(at, at + size)
  }

  /** Bytes up to the next NUL, which is consumed. */
  cbytes(): Buffer {
    const end = this.#bytes.indexOf(0, this.#offset)
    if (end < 0) throw violation('a string in a message has no end')
    const value = this.#bytes.subarray(this.#offset, end)
    this.#offset = end + 1
    return value
  }

  cstring(): string {
    return this.cbytes().toString('utf8')
  }

  /** A length-prefixed value: NULL for −1; any other negative length is a violation (pgproto3 CVE-2026-4427 class). */
  value(): Buffer | null {
    const size = this.int32()
    if (size === -1) return null
    if (size < 0) throw violation(`a field says it has ${size} bytes`)
    return this.bytes(size)
  }

  /** Throws when bytes are left over. */
  done(): void {
    if (this.remaining !== 0) throw violation('a message has bytes after its last field')
  }
}

export type Part = Buffer | string | { readonly i16: number } | { readonly i32: number }

export const i16 = (value: number): Part => ({ i16: value })
export const i32 = (value: number): Part => ({ i32: value })
/** A NUL-terminated string. */
export const cstr = (value: string): Buffer => Buffer.from(`${value}\0`, 'utf8')

function partBytes(part: Part): Buffer {
  if (typeof part === 'string') return Buffer.from(part, 'latin1')
  if (Buffer.isBuffer(part)) return part
  if ('i16' in part) {
    const bytes = Buffer.allocUnsafe(2)
    bytes.writeUInt16BE(part.i16 & 0xffff)
    return bytes
  }
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(part.i32 >>> 0)
  return bytes
}

/** A whole message: type byte, length, parts. */
export function message(type: string, ...parts: readonly Part[]): Buffer {
  const body = Buffer.concat(parts.map(partBytes))
  const head = Buffer.allocUnsafe(5)
  head.write(type, 0, 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** A message without a type byte (start-up phase). */
export function untyped(...parts: readonly Part[]): Buffer {
  const body = Buffer.concat(parts.map(partBytes))
  const head = Buffer.allocUnsafe(4)
  head.writeUInt32BE(body.length + 4)
  return Buffer.concat([head, body])
}

/** What the client is told. */
export interface ErrorReply {
  readonly severity: 'ERROR' | 'FATAL'
  readonly sqlstate: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  /** Characters from 1. */
  readonly position?: number
}

// A NUL inside a field would end it and let text forge further fields.
const field = (letter: string, value: string): Buffer => cstr(letter + value.replaceAll('\0', ''))

/** ErrorResponse ("Error and Notice Message Fields"). */
export function errorResponse(reply: ErrorReply): Buffer {
  const parts = [
    field('S', reply.severity),
    field('V', reply.severity),
    field('C', reply.sqlstate),
    field('M', reply.message),
  ]
  if (reply.detail !== undefined && reply.detail !== '') parts.push(field('D', reply.detail))
  if (reply.hint !== undefined && reply.hint !== '') parts.push(field('H', reply.hint))
  if (reply.position !== undefined && reply.position > 0)
    parts.push(field('P', String(reply.position)))
  return message('E', ...parts, Buffer.from([0]))
}

/** The FATAL form of an error of the house. */
export function fatalResponse(error: VgateError): Buffer {
  return errorResponse({
    severity: 'FATAL',
    sqlstate: error.faces.sqlstate,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  })
}

/** Fields of an ErrorResponse or NoticeResponse by their letter. Throws a violation when it is malformed. */
export function errorFields(bytes: Buffer): Map<string, string> {
  const reader = new BodyReader(bytes)
  const fields = new Map<string, string>()
  for (;;) {
    const code = reader.byte()
    if (code === 0) break
    fields.set(String.fromCharCode(code), reader.cstring())
  }
  reader.done()
  return fields
}

/** Rebuilds an ErrorResponse ('E') or NoticeResponse ('N') from fields. */
export function fieldsMessage(type: 'E' | 'N', fields: ReadonlyMap<string, string>): Buffer {
  const parts = [...fields].map(([letter, value]) => field(letter, value))
  return message(type, ...parts, Buffer.from([0]))
}
