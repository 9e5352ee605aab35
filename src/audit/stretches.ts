// Owns cutting a large recording into stretches between checkpoints that can be proved apart from each other, and
// proving one. How it is cut is only a guess from the heads of blocks, which nobody has verified: it must never answer
// for a stretch of which anything at all is not as it should be.

import { readSync } from 'node:fs'
import type { ChainPosition } from './chain.js'
import { BLOCK_HEAD_BYTES, decodeBlockHead, HASH_BYTES, KIND_CHECKPOINT } from './format.js'
import type { OpenedHeader } from './header.js'
import { faultInRecords } from './read-record.js'
import { RecordingScanner, type ScanDepth } from './scanner.js'

/** Blocks from behind the header or a checkpoint up to and with a checkpoint. */
export interface Stretch {
  readonly from: number
  readonly to: number
  /** Where the chain stands before it, if all before it is good. */
  readonly position: ChainPosition
}

/** What all stretches of a file share. */
export interface StretchFile {
  readonly fd: number
  readonly header: OpenedHeader
  readonly depth: ScanDepth
}

/** As many heads of small blocks are read at once; a large block costs no more. */
const WINDOW_BYTES = 4 * 1024
// Small enough to stay in a processor's cache from reading to hashing.
const CHUNK_BYTES = 256 * 1024

/**
 * Stretches of at least `leastBytes`, in order and without a gap, from `offset` behind the header on. The last one ends
 * with the last checkpoint before what is left is shorter, or before the first block that makes no sense.
 */
export function* stretchesOf(
  { fd, header }: Pick<StretchFile, 'fd' | 'header'>,
  { offset, size, leastBytes }: { offset: number; size: number; leastBytes: number },
): Generator<Stretch> {
  const read = windowOn(fd)
  let from = offset
  let position: ChainPosition = { records: 0, signed: 0, blocks: 0, head: header.hash }
  let { records, blocks } = position
  for (let at = offset; ; ) {
    const bytes = read(at, BLOCK_HEAD_BYTES)
    const head = bytes.length < BLOCK_HEAD_BYTES ? undefined : decodeBlockHead(bytes)
    if (head === undefined || typeof head === 'string') return
    at += head.length
    if (at > size) return
    records += head.count
    blocks += 1
    if (head.kind !== KIND_CHECKPOINT || at - from < leastBytes) continue
    yield { from, to: at, position }
    // Copied: the window moves on.
    const hash = Buffer.from(read(at - HASH_BYTES, HASH_BYTES))
    position = { records, signed: records, blocks, head: hash }
    from = at
  }
}

/** Reads a few bytes at any place, mostly forward. */
function windowOn(fd: number): (at: number, count: number) => Buffer {
  const window = Buffer.allocUnsafe(WINDOW_BYTES)
  let start = 0
  let held = 0
  return (at, count) => {
    if (at < start || at + count > start + held) {
      start = at
      held = readSync(fd, window, 0, window.length, at)
    }
    return window.subarray(at - start, Math.min(at - start + count, held))
  }
}

/**
 * Where the chain stands behind a stretch, if it stands before it as the stretch says. Undefined when that cannot be
 * told, for whatever reason: then it is to be verified from its begin on, as a whole file is.
 */
export function proveStretch(
  { fd, header, depth }: StretchFile,
  { from, to, position }: Stretch,
): ChainPosition | undefined {
  const scanner = new RecordingScanner(depth, { header, position, offset: from })
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - from))
  let end: { readonly offset: number; readonly position: ChainPosition | undefined } | undefined
  for (let offset = from; offset < to; ) {
    const bytes = readSync(fd, buffer, 0, Math.min(buffer.length, to - offset), offset)
    if (bytes === 0) return undefined
    offset += bytes
    scanner.push(buffer.subarray(0, bytes))
    for (let block = scanner.next(); block !== undefined; block = scanner.next()) {
      if (block.kind === 'checkpoint') {
        // What may stand behind a final checkpoint is not for this to say.
        if (block.checkpoint.state !== 'open') return undefined
        end = { offset: scanner.offset, position: scanner.position }
      } else if (depth === 'content' && faultInRecords(block) !== undefined) return undefined
    }
    if (scanner.outcome !== undefined) return undefined
  }
  return end?.offset === to ? end.position : undefined
}
