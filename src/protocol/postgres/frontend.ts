// Owns the reading of the client's messages into what they say. Throws a violation where the bytes do not
// add up. Must never judge.

import { isAscii, isUtf8 } from 'node:buffer'
import { NAME_BYTES } from './names.js'
import { BodyReader, violation } from './wire.js'

/** A text of the client: undefined where it is not UTF-8. */
export type ClientText = string | undefined

export interface ParseMessage {
  readonly name: string
  readonly text: ClientText
  readonly types: readonly number[]
}

export interface BindMessage {
  readonly portal: string
  readonly statement: string
  readonly formats: readonly number[]
  readonly values: readonly (Buffer | null)[]
  readonly resultFormats: readonly number[]
}

export interface NameMessage {
  readonly what: 'S' | 'P'
  readonly name: string
}

export interface ExecuteMessage {
  readonly portal: string
  readonly max: number
}

function text(bytes: Buffer): ClientText {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

// Names are compared as map keys: two byte strings that the server tells apart must never become one name, nor one of
// its names two here.
function name(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw violation('a name is not UTF-8')
  // The server cuts it in its own encoding: where, cannot be known.
  if (bytes.length > NAME_BYTES && !isAscii(bytes)) throw violation('a long name that is not ASCII')
  return bytes.toString('utf8')
}

/** Text of a Query. PostgreSQL and its grammar both stop at a NUL, so the only one must be the last byte. */
export function readQuery(bytes: Buffer): ClientText {
  const reader = new BodyReader(bytes)
  const value = reader.cbytes()
  reader.done()
  return text(value)
}

export function readParse(bytes: Buffer): ParseMessage {
  const reader = new BodyReader(bytes)
  const statement = name(reader.cbytes())
  const query = reader.cbytes()
  const types = Array.from({ length: reader.count() }, () => reader.uint32())
  reader.done()
  return { name: statement, text: text(query), types }
}

function formats(reader: BodyReader): number[] {
  return Array.from({ length: reader.count() }, () => {
    const code = reader.int16()
    if (code !== 0 && code !== 1) throw violation(`format code ${code} does not exist`)
    return code
  })
}

export function readBind(bytes: Buffer): BindMessage {
  const reader = new BodyReader(bytes)
  const portal = name(reader.cbytes())
  const statement = name(reader.cbytes())
  const given = formats(reader)
  const values = Array.from({ length: reader.count() }, () => reader.value())
  const resultFormats = formats(reader)
  reader.done()
  if (given.length > 1 && given.length !== values.length)
    throw violation('a Bind has formats for other parameters than it has')
  return { portal, statement, formats: given, values, resultFormats }
}

/** Describe and Close. */
export function readName(bytes: Buffer): NameMessage {
  const reader = new BodyReader(bytes)
  const letter = String.fromCharCode(reader.byte())
  const value = name(reader.cbytes())
  reader.done()
  if (letter !== 'S' && letter !== 'P')
    throw violation('a message names neither a statement nor a portal')
  return { what: letter, name: value }
}

export function readExecute(bytes: Buffer): ExecuteMessage {
  const reader = new BodyReader(bytes)
  const portal = name(reader.cbytes())
  const max = reader.int32()
  reader.done()
  // PostgreSQL takes zero and negative as "all".
  return { portal, max: max > 0 ? max : 0 }
}

/** The format that holds for one column or parameter: none given is text, one given holds for all. */
export function formatAt(given: readonly number[], index: number): number {
  if (given.length === 0) return 0
  if (given.length === 1) return given[0] ?? 0
  return given[index] ?? 0
}
