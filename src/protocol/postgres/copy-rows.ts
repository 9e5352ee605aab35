// Owns the rows that a client sends for COPY … FROM STDIN: how many there are and which keys they bring, as
// PostgreSQL reads them. It holds one key at most, whatever the size of a row. Where it is not sure, it names none.

import { isUtf8 } from 'node:buffer'
import type { CopyForm } from './statement.js'
import { binaryText } from './values.js'

/** Longer keys are not named. */
export const KEY_BYTES = 1024
const NEWLINE = 0x0a
const RETURN = 0x0d
const BACKSLASH = 0x5c
const DOT = 0x2e
/** What stands behind a backslash for another byte (PostgreSQL docs, COPY, "Text Format"). */
const ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 }).map(([letter, byte]) => [
    letter.charCodeAt(0),
    byte,
  ]),
)

/** Reads rows from parts that may end anywhere. */
export interface CopyRows {
  /** Rows that are whole. */
  readonly rows: number
  /** Takes the next part: the bytes from `at` on. */
  push(bytes: Buffer, at: number): void
  /** CopyDone: a last row may have no end. */
  end(): void
  /** Keys of whole rows since the last call. */
  takeKeys(): readonly string[]
}

/** The reader for one COPY. */
export function copyRows(form: CopyForm): CopyRows {
  return form.format === 'binary' ? new BinaryRows(form) : new LineRows(form)
}

/** What both readers know of the key at hand. */
class KeyCollector {
  #keys: string[] = []
  #bytes: number[] = []
  /** The key of this row cannot be told. */
  lost = false

  add(byte: number): void {
    if (this.#bytes.length < KEY_BYTES) this.#bytes.push(byte)
    else this.lost = true
  }

  take(): readonly string[] {
    const keys = this.#keys
    this.#keys = []
    return keys
  }

  /** The row is whole. */
  settle(text: (bytes: Buffer) => string | undefined): void {
    const key = this.lost ? undefined : text(Buffer.from(this.#bytes))
    if (key !== undefined) this.#keys.push(key)
    this.reset()
  }

  reset(): void {
    this.#bytes = []
    this.lost = false
  }
}

/** Text and CSV. */
class LineRows implements CopyRows {
  rows = 0
  readonly #form: CopyForm
  readonly #key = new KeyCollector()
  readonly #csv: boolean
  /** Bytes that mean something. */
  readonly #outside: Uint8Array
  readonly #insideQuotes: Uint8Array
  /** The column whose bytes are collected; −1: none. */
  #at: number
  #column = 0
  /** A row has begun. */
  #begun = false
  #header: boolean
  /** Columns are counted in the first row: one that the catalogue does not tell of would shift the key. */
  #first = true
  #escaped = false
  #quoted = false
  /** 1: the row is a backslash so far, 2: and a dot, which alone is the end. */
  #mark = 0
  #ended = false

  constructor(form: CopyForm) {
    this.#form = form
    this.#csv = form.format === 'csv'
    this.#at = form.key?.at ?? -1
    this.#header = form.header
    const { delimiter, quote, escapeBy } = form
    this.#insideQuotes = stopsAt([quote, escapeBy])
    this.#outside = stopsAt([NEWLINE, delimiter, this.#csv ? quote : BACKSLASH])
  }

  takeKeys(): readonly string[] {
    return this.#key.take()
  }

  push(bytes: Buffer, from: number): void {
    let at = from
    while (at < bytes.length && !this.#ended) {
      // Of other columns only what ends them matters: embeddings are most of the bytes.
      const skips = this.#begun && this.#mark === 0 && !this.#escaped && this.#column !== this.#at
      const stops = this.#quoted ? this.#insideQuotes : this.#outside
      if (skips) while (at < bytes.length && stops[bytes[at] ?? 0] === 0) at += 1
      if (at < bytes.length) this.#step(bytes[at++] ?? 0)
    }
  }

  end(): void {
    if (this.#begun && !this.#ended) this.#row()
  }

  #step(byte: number): void {
    this.#mark =
      !this.#begun && byte === BACKSLASH
        ? 1
        : this.#mark === 1 && byte === DOT
          ? 2
          : this.#marked(byte)
    this.#begun = true
    if (this.#csv) this.#csvByte(byte)
    else this.#textByte(byte)
  }

  #marked(byte: number): number {
    return this.#mark === 2 && (byte === RETURN || byte === NEWLINE) ? 2 : 0
  }

  #textByte(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false
      // Octal and hexadecimal forms are as good as never written: such a key is not named.
      if ((byte >= 0x30 && byte <= 0x37) || byte === 0x78)
        this.#key.lost ||= this.#column === this.#at
      this.#collect(ESCAPES.get(byte) ?? byte)
    } else if (byte === BACKSLASH) this.#escaped = true
    else if (byte === this.#form.delimiter) this.#column += 1
    else if (byte === NEWLINE) this.#row()
    else if (byte !== RETURN) this.#collect(byte)
  }

  #csvByte(byte: number): void {
    const { delimiter, quote, escapeBy } = this.#form
    if (this.#quoted) {
      if (this.#escaped) {
        this.#escaped = false
        if (byte === quote || byte === escapeBy) return this.#collect(byte)
        // A lone escape stands for itself; a lone quote, where it is the escape, has ended the quotes.
        if (quote !== escapeBy) this.#collect(escapeBy)
        else this.#quoted = false
        return this.#csvByte(byte)
      }
      if (byte === escapeBy) this.#escaped = true
      else if (byte === quote) this.#quoted = false
      else this.#collect(byte)
    } else if (byte === quote) this.#quoted = true
    else if (byte === delimiter) this.#column += 1
    else if (byte === NEWLINE) this.#row()
    else if (byte !== RETURN) this.#collect(byte)
  }

  #collect(byte: number): void {
    if (this.#column === this.#at) this.#key.add(byte)
  }

  #row(): void {
    const [header, columns] = [this.#header, this.#column + 1]
    this.#ended = this.#mark === 2
    this.#header = false
    this.#begun = false
    this.#escaped = false
    this.#quoted = false
    this.#mark = 0
    this.#column = 0
    if (header || this.#ended) return this.#key.reset()
    if (this.#first && columns !== this.#form.columns) this.#at = -1
    this.#first = false
    this.rows += 1
    if (this.#at >= 0) this.#key.settle(utf8)
    else this.#key.reset()
  }
}

function stopsAt(bytes: readonly number[]): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of bytes) table[byte] = 1
  return table
}

function utf8(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
/** Signature, flags, length of the extension. */
const HEAD_BYTES = SIGNATURE.length + 8

/** The binary format (PostgreSQL docs, COPY, "Binary Format"). */
class BinaryRows implements CopyRows {
  rows = 0
  readonly #form: CopyForm
  readonly #key = new KeyCollector()
  readonly #part: number[] = []
  #state: 'head' | 'count' | 'length' | 'value' | 'over' = 'head'
  #skip = 0
  /** Fields of the row that are still to come, and bytes of the value at hand. */
  #fields = 0
  #value = 0

  constructor(form: CopyForm) {
    this.#form = form
  }

  takeKeys(): readonly string[] {
    return this.#key.take()
  }

  /** The trailer ends it; what is behind that is no row. */
  end(): void {
    this.#state = 'over'
  }

  push(bytes: Buffer, from: number): void {
    let at = from
    while (at < bytes.length && this.#state !== 'over') {
      const skipped = Math.min(this.#skip, bytes.length - at)
      this.#skip -= skipped
      at += skipped
      if (at < bytes.length) this.#step(bytes[at++] ?? 0)
    }
  }

  #step(byte: number): void {
    if (this.#state === 'value') {
      this.#key.add(byte)
      this.#value -= 1
      if (this.#value === 0) this.#next()
      return
    }
    this.#part.push(byte)
    const wanted = { head: HEAD_BYTES, count: 2, length: 4, over: 0 }[this.#state]
    if (this.#part.length < wanted) return
    const part = Buffer.from(this.#part.splice(0))
    if (this.#state === 'head') this.#head(part)
    else if (this.#state === 'count') this.#count(part.readInt16BE())
    else this.#length(part.readInt32BE())
  }

  #head(part: Buffer): void {
    const known = part.subarray(0, SIGNATURE.length).equals(SIGNATURE)
    const plain = part.readUInt32BE(SIGNATURE.length) >>> 16 === 0
    this.#skip = part.readUInt32BE(SIGNATURE.length + 4)
    this.#state = known && plain ? 'count' : 'over'
  }

  #count(fields: number): void {
    this.#fields = fields
    this.#state = fields === this.#form.columns ? 'length' : 'over'
  }

  #length(length: number): void {
    const isKey = this.#form.columns - this.#fields === this.#form.key?.at
    if (isKey && length > 0) {
      this.#value = length
      this.#state = 'value'
      return
    }
    this.#skip = Math.max(0, length)
    if (isKey) this.#key.lost = length < 0
    this.#next()
  }

  /** A field is over, but for what is skipped of it. */
  #next(): void {
    this.#fields -= 1
    this.#state = this.#fields > 0 ? 'length' : 'count'
    if (this.#fields > 0) return
    this.rows += 1
    const { key } = this.#form
    if (key !== undefined) this.#key.settle((bytes) => binaryText(key.type, bytes))
  }
}
