// Owns reading a header that may be hostile. It must never accept a second spelling of the same header.

import { z } from 'zod'
import { canonicalJson } from '../core/json.js'
import { type CheckpointKey, keyIdOf, publicKeyOf } from './checkpoint.js'
import {
  HASH_BYTES,
  HEADER_PREFIX_BYTES,
  hashHeader,
  MAGIC,
  MAX_HEADER_JSON_BYTES,
  type RecordingHeader,
  VERSION,
} from './format.js'

const time = z.string().regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
const id = z.string().regex(/^[a-z0-9_]{1,64}$/)
const headerJson = z.strictObject({
  kind: z.enum(['session', 'log']),
  id,
  created: time,
  key: z.strictObject({ id: z.string().regex(/^[0-9a-f]{16}$/), public: z.string().length(44) }),
  seal: z
    .string()
    .regex(/^[ -~]{1,1024}$/)
    .exactOptional(),
  number: z.int().positive().exactOptional(),
  previous: z
    .strictObject({ id, records: z.int().nonnegative(), head: z.string().regex(/^[0-9a-f]{64}$/) })
    .exactOptional(),
})

/** Length of the JSON from the first 19 bytes; a string says why this is no header of version 1. */
export function headerJsonBytes(bytes: Buffer): number | string {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'this is not a recording'
  const version = bytes.readUInt8(16)
  if (version !== VERSION) return `version ${version} of the format is not known`
  const length = bytes.readUInt16BE(17)
  return length < 2 || length > MAX_HEADER_JSON_BYTES
    ? 'the length of the header is out of range'
    : length
}

/** A header that is as it should be. */
export interface OpenedHeader {
  readonly fields: RecordingHeader
  readonly hash: Buffer
  readonly key: CheckpointKey
}

/** Checks a whole header, hash included; a string says what is wrong. */
export function openHeader(bytes: Buffer): OpenedHeader | string {
  const end = bytes.length - HASH_BYTES
  const hash = hashHeader(bytes.subarray(0, end))
  if (!hash.equals(bytes.subarray(end))) return 'the hash of the header is wrong'
  const text = bytes.subarray(HEADER_PREFIX_BYTES, end).toString('utf8')
  const parsed = headerJson.safeParse(parseJson(text))
  if (!parsed.success || canonicalJson(parsed.data) !== text) return 'the header is malformed'
  const raw = Buffer.from(parsed.data.key.public, 'base64')
  if (raw.length !== 32 || raw.toString('base64') !== parsed.data.key.public)
    return 'the public key is malformed'
  if (keyIdOf(raw) !== parsed.data.key.id) return 'the key id is not that of the public key'
  try {
    return {
      fields: parsed.data,
      hash,
      key: { id: parsed.data.key.id, raw, object: publicKeyOf(raw) },
    }
  } catch {
    return 'the public key is malformed'
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // the schema refuses it
  }
}
