// Owns reading one recording for the index: verified first, then in batches, so that memory stays bounded however long
// it is. It runs in a thread of its own (index-worker.ts): a long recording must not hold up anybody's operation.

import { lstat } from 'node:fs/promises'
import { openVerified } from '../audit/read.js'
import { SessionFacts, type Touch, type Use } from '../audit/session-facts.js'
import type { SigningKey } from '../core/api.js'

export interface ReadJob {
  readonly session: string
  readonly path: string
  readonly keys: readonly SigningKey[]
  /** Records that were read before: what was certain by then is not given again. */
  readonly from: number
}

export type ReadMessage =
  | { readonly kind: 'touches'; readonly touches: readonly Touch[] }
  /** The recording is not there, or is none that may be read. */
  | { readonly kind: 'missing' | 'tampered' | 'unread'; readonly reason: string }
  | {
      readonly kind: 'end'
      readonly closed: boolean
      /** Signed records. */
      readonly records: number
      readonly open: readonly Touch[]
      readonly uses: readonly Use[]
      readonly texts: readonly string[]
      readonly textCut: boolean
    }

const BATCH = 1_000

/** Reads a recording; the last message is the one that is not of touches. Rejects when the disk fails. */
export async function* readFacts(job: ReadJob): AsyncGenerator<ReadMessage> {
  const found = await lstat(job.path).catch(() => undefined)
  if (found === undefined) return yield { kind: 'missing', reason: 'there is no recording' }
  // A link planted there could name anything.
  if (!found.isFile()) return yield { kind: 'tampered', reason: 'the recording is not a file' }
  const { verification, records } = await openVerified(job.path, { keys: job.keys })
  const { verdict, reason, id } = verification
  if (verdict === 'tampered') return yield { kind: 'tampered', reason }
  if (verdict === 'unknown_key') return yield { kind: 'unread', reason }
  if (id !== job.session)
    return yield { kind: 'tampered', reason: `it is the recording of ${id ?? 'nothing'}` }
  const facts = new SessionFacts()
  let certain: Touch[] = []
  for await (const record of records()) {
    facts.add(record)
    const touches = facts.take()
    if (record.seq <= job.from) continue
    certain.push(...touches)
    if (certain.length < BATCH) continue
    yield { kind: 'touches', touches: certain }
    certain = []
  }
  if (certain.length > 0) yield { kind: 'touches', touches: certain }
  const closed = verdict === 'closed' || verification.recovered === true
  const { uses, texts, textCut } = facts
  const open = facts.open(closed)
  yield { kind: 'end', closed, records: verification.records, open, uses, texts, textCut }
}
