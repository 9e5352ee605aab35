// Owns reading a recording in pieces, from a file or from memory. No network, ever.

import { type FileHandle, open } from 'node:fs/promises'

/** A path, the bytes, or pieces of them in order. */
export type ByteSource = string | Uint8Array | AsyncIterable<Uint8Array>

// Small enough to stay in a processor's cache from reading to hashing.
const CHUNK_BYTES = 256 * 1024
/** Above it, a piece is handed on in parts, so that the scanner's buffer stays small. */
const PART_BYTES = 4 * 1024 * 1024

/** The pieces in order. A piece is valid only until the next is asked for. Throws Node's errors for an unreadable file. */
export async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  if (typeof source === 'string') yield* fileChunks(source)
  else if (source instanceof Uint8Array) yield* parts(source)
  else for await (const chunk of source) yield* parts(chunk)
}

function* parts(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PART_BYTES) yield bytes.subarray(at, at + PART_BYTES)
}

async function* fileChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r')
  try {
    yield* chunksFrom(file, 0)
  } finally {
    await file.close()
  }
}

/** The pieces of an open file from a place on, under the same terms. */
export async function* chunksFrom(file: FileHandle, offset: number): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  for (let at = offset; ; ) {
    // From the begin on as it comes: a pipe can be read at no other place.
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset === 0 ? null : at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
