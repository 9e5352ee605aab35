// Owns the verdict on a recording or a file of the log: offline, with public keys only. It must never call a file
// good for a reason that is not in docs/spec/recording-v1.md.

import { open } from 'node:fs/promises'
import type { SigningKey } from '../core/api.js'
import { type ByteSource, chunksFrom, chunksOf } from './byte-source.js'
import type { RecordingHeader, RecordingKind } from './format.js'
import { faultInRecords } from './read-record.js'
import {
  type Place,
  RecordingScanner,
  type ScanDepth,
  type ScannedBlock,
  type ScanOutcome,
  type ScanStart,
} from './scanner.js'
import { proveAhead } from './verify-ahead.js'

export type Verdict = 'closed' | 'incomplete' | 'tampered' | 'unknown_key'

export interface Verification {
  readonly verdict: Verdict
  /** Authentic records: those that a good checkpoint covers. For `unknown_key` only consistent with themselves. */
  readonly records: number
  /** The first bad or missing place; absent for `closed`. `record` is the first that is not proven good. */
  readonly at?: Place
  /** One sentence, lower case. */
  readonly reason: string
  readonly kind?: RecordingKind
  readonly id?: string
  /** The key that the file names. */
  readonly key?: { readonly id: string; readonly public: string }
  readonly header?: RecordingHeader
  /** Closed as incomplete by a later start of the gateway. */
  readonly recovered?: boolean
  /** Whole blocks' records behind the last checkpoint: chained, but not signed for. */
  readonly unsigned?: number
  /** Hash of the last good block in hex, to compare with the head that the log keeps. */
  readonly head?: string
}

export interface VerifyOptions {
  /** The trust root. `embedded`: only the key in the file itself, so the best verdict is `unknown_key`. */
  readonly keys: readonly SigningKey[] | 'embedded'
  /**
   * `chain` by default: a verdict is over the stored bytes. `content` also reads every record; what does not hold what
   * it says is `tampered`, though only the holder of the key can have made it so.
   */
  readonly depth?: ScanDepth
  /** Hears each good block and its hash, in order. */
  readonly onBlock?: (block: ScannedBlock, hash: Buffer) => void
}

/**
 * Verifies a file in bounded memory. Never throws for what is in it; rejects with Node's error when it cannot be read.
 */
export async function verifyFile(
  source: ByteSource,
  options: VerifyOptions,
): Promise<Verification> {
  return verifyFrom(undefined, chunksOf(source), options)
}

/**
 * The same for the file at a path, which several threads read at once where it is large: for a process that has nothing
 * else to do. Rejects likewise.
 */
export async function verifyLargeFile(
  path: string,
  options: Omit<VerifyOptions, 'onBlock'> & { readonly threads: number },
): Promise<Verification> {
  const file = await open(path, 'r')
  try {
    const { threads, depth = 'chain' } = options
    const start = await proveAhead(file, { threads, depth })
    return await verifyFrom(start, chunksFrom(file, start?.offset ?? 0), options)
  } finally {
    await file.close()
  }
}

/** Verifies what stands behind `start`; `chunks` begin there. */
export async function verifyFrom(
  start: ScanStart | undefined,
  chunks: AsyncIterable<Uint8Array>,
  options: VerifyOptions,
): Promise<Verification> {
  const scanner = new RecordingScanner(options.depth ?? 'chain', start)
  let content: ScanOutcome | undefined
  for await (const chunk of chunks) {
    scanner.push(chunk)
    content = drain(scanner, options)
    if (content !== undefined || scanner.outcome?.kind === 'tampered') break
  }
  scanner.end()
  content ??= drain(scanner, options)
  return verificationOf(scanner, content ?? scanner.outcome, options)
}

/** Takes every block that is there; an outcome when records inside a good block are malformed. */
function drain(
  scanner: RecordingScanner,
  { depth, onBlock }: VerifyOptions,
): ScanOutcome | undefined {
  for (let block = scanner.next(); block !== undefined; block = scanner.next()) {
    if (scanner.position !== undefined) onBlock?.(block, scanner.position.head)
    if (block.kind !== 'records' || depth !== 'content') continue
    const fault = faultInRecords(block)
    if (fault === undefined) continue
    return { kind: 'tampered', reason: fault.reason, at: { ...block.at, record: fault.record } }
  }
  return undefined
}

/** What a finished scan means under these keys. */
export function verificationOf(
  scanner: RecordingScanner,
  outcome: ScanOutcome | undefined,
  options: VerifyOptions,
): Verification {
  const { header, position } = scanner
  const signed = position?.signed ?? 0
  const known = {
    records: signed,
    ...(header === undefined ? {} : { kind: header.kind, id: header.id, key: header.key, header }),
    ...(position === undefined ? {} : { head: position.head.toString('hex') }),
  }
  if (outcome === undefined || header === undefined || position === undefined) {
    const at = outcome?.at ?? { record: 1, block: 0, offset: 0 }
    return {
      verdict: 'tampered',
      ...known,
      at,
      reason: outcome?.kind === 'tampered' ? outcome.reason : 'unfinished',
    }
  }
  if (outcome.kind === 'tampered')
    return { verdict: 'tampered', ...known, at: outcome.at, reason: outcome.reason }
  const ended = endOf(outcome, signed, position.records)
  if (isTrusted(header, options.keys)) return { ...known, ...ended }
  return {
    ...known,
    ...ended,
    verdict: 'unknown_key',
    reason: `consistent with itself, but key ${header.key.id} is not known: ${ended.reason}`,
  }
}

function endOf(
  outcome: Extract<ScanOutcome, { kind: 'whole' }>,
  signed: number,
  records: number,
): Pick<Verification, 'verdict' | 'at' | 'reason' | 'recovered' | 'unsigned'> {
  if (outcome.state === 'closed') {
    return { verdict: 'closed', reason: `closed, ${records} records` }
  }
  const at = { ...outcome.at, record: signed + 1 }
  const upTo = signed === 0 ? 'no record is proven' : `authentic up to record ${signed}`
  if (outcome.state === 'recovered') {
    return {
      verdict: 'incomplete',
      at,
      reason: `incomplete, ${upTo}; closed at a later start`,
      recovered: true,
    }
  }
  const torn = outcome.torn > 0 ? `; the last ${outcome.torn} bytes are a torn block` : ''
  const unsigned = records - signed
  const behind = unsigned > 0 ? `; ${unsigned} more are not signed for` : ''
  return { verdict: 'incomplete', at, reason: `incomplete, ${upTo}${behind}${torn}`, unsigned }
}

function isTrusted(header: RecordingHeader, keys: VerifyOptions['keys']): boolean {
  return (
    keys !== 'embedded' &&
    keys.some((key) => key.public === header.key.public && key.algorithm === 'Ed25519')
  )
}
