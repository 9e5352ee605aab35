// Owns single values on the wire: binary forms to text, parameters for the analysis, and what is recorded
// of a value. Must never see an unmasked value on the way to the record.

import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { RecordedValue } from '../../core/adapter.js'
import { countByte } from './count-byte.js'
import type { Parameter } from './statement.js'
import { vectorNorm } from './vector-norm.js'

/** Type OIDs of pg_type.dat that the adapter decodes. */
export const OID = {
  bool: 16,
  bytea: 17,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  xml: 142,
  float4: 700,
  float8: 701,
  unknown: 705,
  bpchar: 1042,
  varchar: 1043,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const

const TEXTUAL: ReadonlySet<number> = new Set([
  OID.text,
  OID.varchar,
  OID.bpchar,
  OID.name,
  OID.json,
  OID.jsonb,
  OID.xml,
])
const ELEMENT_OF: Readonly<Record<number, number>> = {
  1000: OID.bool,
  1005: OID.int2,
  1007: OID.int4,
  1016: OID.int8,
  1021: OID.float4,
  1022: OID.float8,
  1009: OID.text,
  1014: OID.bpchar,
  1015: OID.varchar,
  2951: OID.uuid,
}
const RECORD_TEXT_BYTES = 8 * 1024
const HEAD_CHARS = 256
const PARAMETER_CHARS = 8 * 1024

/** True for types whose values a text mask fits. */
export function isTextual(type: number): boolean {
  return TEXTUAL.has(type)
}

function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

const FIXED: Readonly<Record<number, readonly [number, (bytes: Buffer) => string]>> = {
  [OID.bool]: [1, (bytes) => (bytes.readUInt8(0) === 0 ? 'f' : 't')],
  [OID.int2]: [2, (bytes) => String(bytes.readInt16BE(0))],
  [OID.int4]: [4, (bytes) => String(bytes.readInt32BE(0))],
  [OID.int8]: [8, (bytes) => String(bytes.readBigInt64BE(0))],
  [OID.oid]: [4, (bytes) => String(bytes.readUInt32BE(0))],
  [OID.float4]: [4, (bytes) => floatText(Math.fround(bytes.readFloatBE(0)))],
  [OID.float8]: [8, (bytes) => floatText(bytes.readDoubleBE(0))],
  [OID.uuid]: [16, uuidText],
}

function floatText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

function arrayText(element: number, bytes: Buffer): string | undefined {
  if (bytes.length < 12) return undefined
  const dimensions = bytes.readInt32BE(0)
  if (dimensions === 0) return '{}'
  if (dimensions !== 1 || bytes.length < 20 || bytes.readUInt32BE(8) !== element) return undefined
  const count = bytes.readInt32BE(12)
  const items: string[] = []
  let at = 20
  for (let index = 0; index < count; index += 1) {
    if (at + 4 > bytes.length) return undefined
    const size = bytes.readInt32BE(at)
    at += 4
    if (size === -1) {
      items.push('NULL')
      continue
    }
    if (size < 0 || at + size > bytes.length) return undefined
    const value = binaryText(element, bytes.subarray(at, at + size))
    if (value === undefined) return undefined
    at += size
    items.push(isTextual(element) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value)
  }
  return at === bytes.length ? `{${items.join(',')}}` : undefined
}

/** The text form of a binary value, or undefined for a type or form that is not decoded. */
export function binaryText(type: number, bytes: Buffer): string | undefined {
  const fixed = FIXED[type]
  if (fixed !== undefined) return bytes.length === fixed[0] ? fixed[1](bytes) : undefined
  if (type === OID.jsonb) {
    const body = bytes.subarray(1)
    return bytes.length > 0 && bytes.readUInt8(0) === 1 && isUtf8(body)
      ? body.toString('utf8')
      : undefined
  }
  if (isTextual(type) || type === OID.unknown)
    return isUtf8(bytes) ? bytes.toString('utf8') : undefined
  const element = ELEMENT_OF[type]
  return element === undefined ? undefined : arrayText(element, bytes)
}

/** A value's text whatever its format, or undefined. */
export function valueText(type: number, format: number, bytes: Buffer): string | undefined {
  if (format === 1) return binaryText(type, bytes)
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** A bound parameter for the analysis. A type of 0 is not known: its binary form is not decoded. */
export function toParameter(type: number, format: number, bytes: Buffer | null): Parameter {
  if (bytes === null) return { known: true, value: null }
  const value = valueText(type, format, bytes)
  const plain = PLAIN_NUMBERS.has(type) || type >= FIRST_NORMAL_OID
  if (value !== undefined) return { known: true, value, ...(plain ? {} : { odd: true }) }
  return format === 1 && plain
    ? { known: false, norm: () => vectorNorm(1, bytes) }
    : { known: false }
}

/** Types of the catalogue itself have OIDs below this (FirstNormalObjectId). */
const FIRST_NORMAL_OID = 16384
/** Numbers, texts, and arrays of them, and what is not known yet. Not "char", of which '0' is 48. */
const PLAIN_NUMBERS: ReadonlySet<number> = new Set([
  ...[0, OID.unknown, OID.text, OID.varchar, OID.int2, OID.int4, OID.int8],
  ...[OID.float4, OID.float8, OID.numeric, 1005, 1007, 1016, 1021, 1022, 1231, 1009, 1015],
])

const ZERO = 0x30
const ONE = 0x31
const BRACE = 0x7b
const BRACKET = 0x5b
const BRACKET_END = 0x5d
const COMMA = 0x2c

/** Dimension of an embedding's value, or undefined where it does not look like one. */
export function vectorSize(format: number, bytes: Buffer): number | undefined {
  if (format === 1) {
    if (bytes.length < 4) return undefined
    const size = bytes.readUInt16BE(0)
    if (bytes.length === 4 + 4 * size || bytes.length === 4 + 2 * size) return size
    return bytes.readUInt32BE(0) // sparsevec: int32 dimension first
  }
  const [first, last] = [bytes[0], bytes.at(-1)]
  if (first === ZERO || first === ONE) return bytes.length > 1 ? bytes.length : undefined
  if (first === BRACE) {
    const sparse = /^\{[^{}]*\}\/(\d{1,9})$/.exec(bytes.toString('latin1'))
    return sparse === null ? undefined : Number(sparse[1])
  }
  if (bytes.length < 2 || first !== BRACKET || last !== BRACKET_END) return undefined
  return bytes.length === 2 ? 0 : 1 + countByte(bytes, COMMA)
}

const VECTOR_TEXT = /^\[[-+0-9.eE,\s]*\]$/
/** Arrays of floats that embeddings are cast from; one of so many numbers is taken for one, as a literal is. */
const FLOAT_ARRAYS: ReadonlySet<number> = new Set([1021, 1022])
const FLOAT_ARRAY_TEXT = /^\{(?=[^}]*[.eE])[-+0-9.eE,\s]*\}$/
const LONG_ARRAY = 16

/** Numbers in an array of floats that is long enough to be an embedding, in either form. */
function floatArraySize(type: number, format: number, bytes: Buffer): number | undefined {
  if (format === 1) {
    if (!FLOAT_ARRAYS.has(type) || bytes.length < 20 || bytes.readInt32BE(0) !== 1) return undefined
    const size = bytes.readInt32BE(12)
    return size >= LONG_ARRAY ? size : undefined
  }
  if (bytes[0] !== BRACE || countByte(bytes, COMMA) < LONG_ARRAY - 1) return undefined
  const text = bytes.toString('latin1')
  const floats = FLOAT_ARRAYS.has(type)
    ? VECTOR_TEXT.test(`[${text.slice(1, -1)}]`)
    : FLOAT_ARRAY_TEXT.test(text)
  return floats ? 1 + countByte(bytes, COMMA) : undefined
}

const VECTOR_INSIDE = /\[\s*[-+0-9.eE]+(?:\s*,\s*[-+0-9.eE]+)+\s*\]/g

/** A text in which embeddings stand as values, for instance a line of COPY: each as `vector(n)`. */
export function withoutVectors(text: string): string {
  return text.replace(VECTOR_INSIDE, (found) => `vector(${found.split(',').length})`)
}

/** A parameter as it is recorded: text, or what it was. */
export function recordedParameter(
  type: number,
  vector: boolean,
  format: number,
  bytes: Buffer | null,
): string | null {
  if (bytes === null) return null
  const looksLikeVector =
    format === 0 && bytes.length > 16 && VECTOR_TEXT.test(bytes.toString('latin1'))
  const size =
    vector || looksLikeVector ? vectorSize(format, bytes) : floatArraySize(type, format, bytes)
  if (size !== undefined) return `vector(${size})`
  const text = type === OID.bytea ? undefined : valueText(type, format, bytes)
  if (text === undefined) return `bytes(${bytes.length})`
  return text.length <= PARAMETER_CHARS
    ? text
    : `${text.slice(0, HEAD_CHARS)}… (${bytes.length} bytes)`
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** A value with all its bytes, for `record: full`. Text stands as it is, whatever its length. */
export function wholeValue(
  type: number,
  vector: boolean,
  format: number,
  bytes: Buffer | null,
): RecordedValue {
  if (bytes === null) return null
  const size = vector ? vectorSize(format, bytes) : undefined
  const text = size === undefined ? valueText(type, format, bytes) : undefined
  if (text !== undefined) return text
  const whole = { sha256: digest(bytes), data: bytes.toString('base64') }
  if (size === undefined) return { bytes: bytes.length, head: '', ...whole }
  const norm = vectorNorm(format, bytes)
  return { vector: size, ...(norm === undefined ? {} : { norm }), ...whole }
}

/**
 * A result's value as it is recorded, from the bytes that the client is given. `shown` changes its text on the way to
 * the record.
 */
export function recordedValue(
  type: number,
  vector: boolean,
  format: number,
  bytes: Buffer | null,
  shown: (text: string) => string = (text) => text,
): RecordedValue {
  if (bytes === null) return null
  const size = vector ? vectorSize(format, bytes) : undefined
  if (size !== undefined) return { vector: size }
  const whole = valueText(type, format, bytes)
  if (whole === undefined) return { bytes: bytes.length, sha256: digest(bytes), head: '' }
  const text = shown(whole)
  const kept = text === whole ? bytes.length : Buffer.byteLength(text)
  if (kept <= RECORD_TEXT_BYTES) return text
  return { bytes: bytes.length, sha256: digest(bytes), head: text.slice(0, HEAD_CHARS) }
}
