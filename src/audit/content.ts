// Owns what is inside a block of records: inflating it within bounds, and its lines. Says nothing of authenticity:
// that is the chain's, over the stored bytes (scanner.ts).

import { isUtf8 } from 'node:buffer'
import { inflateRawSync } from 'node:zlib'
import { type BlockHead, FLAG_DEFLATE, FLAG_SEALED } from './format.js'

/** The lines of a block of records (NDJSON); a string says why they cannot be read. */
export function contentOf(head: BlockHead, stored: Buffer): Buffer | string {
  if ((head.flags & FLAG_SEALED) !== 0)
    return 'the records are sealed, which this version cannot read'
  const payload = head.flags === FLAG_DEFLATE ? inflate(stored, head.payloadBytes) : stored
  if (payload === undefined) return 'the block does not decompress to its stated length'
  if (!isUtf8(payload)) return 'the records are not UTF-8'
  if (payload[payload.length - 1] !== 0x0a || countLines(payload) !== head.count)
    return 'the block does not hold as many records as it says'
  return payload
}

/** Exactly `length` bytes, or undefined. Never inflates beyond them, so a bomb costs no more than it states (≤ 32 MiB). */
function inflate(stored: Buffer, length: number): Buffer | undefined {
  try {
    const { buffer, engine } = inflateRawSync(stored, {
      maxOutputLength: length,
      info: true,
    }) as unknown as {
      readonly buffer: Buffer
      readonly engine: { readonly bytesWritten: number }
    }
    // Bytes behind the end of the DEFLATE stream would be hashed but shown to nobody.
    return buffer.length === length && engine.bytesWritten === stored.length ? buffer : undefined
  } catch {
    return undefined // not DEFLATE, or longer than stated
  }
}

function countLines(payload: Buffer): number {
  let lines = 0
  for (let at = payload.indexOf(0x0a); at >= 0; at = payload.indexOf(0x0a, at + 1)) lines += 1
  return lines
}
