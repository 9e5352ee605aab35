// Owns cutting a large recording into stretches between checkpoints that can be proved apart from each other, and
// proving one. How it is cut is only a guess from what checkpoints say, which nobody has verified: it must never answer
// for a stretch of which anything at all is not as it should be.

import { readSync } from 'node:fs'
import { type ChainPosition, chainStart } from './chain.js'
import { CHECKPOINT_ORIGIN } from './checkpoint.js'
import {
  BLOCK_HEAD_BYTES,
  decodeBlockHead,
  HASH_BYTES,
  KIND_CHECKPOINT,
  MAX_CHECKPOINT_BYTES,
} from './format.js'
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

/** The longest block of a checkpoint. */
const CHECKPOINT_BYTES = BLOCK_HEAD_BYTES + MAX_CHECKPOINT_BYTES + HASH_BYTES
/** What is searched for a checkpoint at once. */
const WINDOW_BYTES = 64 * 1024
// Small enough to stay in a processor's cache from reading to hashing.
const CHUNK_BYTES = 64 * 1024

/**
 * Stretches of at least `leastBytes`, in order and without a gap, from `offset` behind the header on. The last one ends
 * with the last checkpoint that looks like one.
 */
export function* stretchesOf(
  { fd, header }: Pick<StretchFile, 'fd' | 'header'>,
  { offset, size, leastBytes }: { offset: number; size: number; leastBytes: number },
): Generator<Stretch> {
  let from = offset
  let position = chainStart(header.hash)
  for (;;) {
    const found = checkpointFrom(fd, header.fields.id, from + leastBytes, size)
    if (found === undefined) return
    yield { from, to: found.end, position }
    from = found.end
    position = found.position
  }
}

/** The first checkpoint that ends at `least` or later, by the words that it begins with. */
function checkpointFrom(
  fd: number,
  id: string,
  least: number,
  size: number,
): { readonly end: number; readonly position: ChainPosition } | undefined {
  const words = Buffer.from(`${CHECKPOINT_ORIGIN}${id}\n`, 'utf8')
  const window = Buffer.allocUnsafe(WINDOW_BYTES)
  // The words of one that ends there stand a little before.
  let at = Math.max(0, least - CHECKPOINT_BYTES)
  while (at < size) {
    const held = window.subarray(0, readSync(fd, window, 0, window.length, at))
    for (let hit = held.indexOf(words); hit >= 0; hit = held.indexOf(words, hit + 1)) {
      const found = checkpointAt(fd, at + hit - BLOCK_HEAD_BYTES)
      if (found !== undefined && found.end >= least) return found
    }
    if (held.length < words.length) return undefined
    at += held.length - words.length + 1
  }
  return undefined
}

/** What a checkpoint says of the chain behind itself. */
function checkpointAt(fd: number, at: number): ReturnType<typeof checkpointFrom> {
  const bytes = Buffer.alloc(CHECKPOINT_BYTES)
  const held = at < 0 ? 0 : readSync(fd, bytes, 0, bytes.length, at)
  const head = held < BLOCK_HEAD_BYTES ? '' : decodeBlockHead(bytes)
  if (typeof head === 'string' || head.kind !== KIND_CHECKPOINT || head.length > held)
    return undefined
  const text = bytes.toString('latin1', BLOCK_HEAD_BYTES, head.length)
  const block = /\nblock (\d{1,15})\nstate open\n/.exec(text)?.[1]
  if (block === undefined) return undefined
  const records = head.first - 1
  const hash = bytes.subarray(head.length - HASH_BYTES, head.length)
  const position = { records, signed: records, blocks: Number(block) + 1, head: hash }
  return { end: at + head.length, position }
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
  let end: { readonly offset: number; readonly position: ChainPosition | undefined } | undefined
  for (let offset = from; offset < to; ) {
    const room = scanner.room(Math.min(CHUNK_BYTES, to - offset))
    const bytes = readSync(fd, room, 0, room.length, offset)
    if (bytes === 0) return undefined
    offset += bytes
    scanner.filled(bytes)
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
