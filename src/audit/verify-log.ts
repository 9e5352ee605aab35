// Owns the verdict on a whole log: every file verified, numbered without a gap, each naming the head of the one
// before it. A newest file that was deleted as a whole is found only by checkpoints kept elsewhere.

import type { SigningKey } from '../core/api.js'
import { listLogFiles } from './audit-log.js'
import { type Verification, verifyFile } from './verify.js'

export interface LogVerification {
  /** The worst of the files; `incomplete` while the newest is open or one was recovered. */
  readonly verdict: Verification['verdict']
  readonly records: number
  readonly reason: string
  readonly files: readonly {
    readonly path: string
    readonly number: number
    readonly verification: Verification
  }[]
}

const ORDER = ['closed', 'incomplete', 'unknown_key', 'tampered'] as const

/** Verifies the files of a log's folder, oldest first. */
export async function verifyLog(
  directory: string,
  keys: readonly SigningKey[] | 'embedded',
): Promise<LogVerification> {
  const files: { path: string; number: number; verification: Verification }[] = []
  let before: Verification | undefined
  for (const file of listLogFiles(directory)) {
    const found = await verifyFile(file.path, { keys })
    const fault =
      found.verdict === 'tampered'
        ? undefined
        : linkFault(found, before, file.number, files.length + 1)
    const at = { record: 1, block: 0, offset: 0 }
    const verification =
      fault === undefined
        ? found
        : { ...found, verdict: 'tampered' as const, reason: fault, at, records: 0 }
    files.push({ ...file, verification })
    before = found
  }
  const worst = files.reduce<(typeof files)[number] | undefined>(
    (bad, file) =>
      bad === undefined || rank(file.verification) > rank(bad.verification) ? file : bad,
    undefined,
  )
  const records = files.reduce((sum, file) => sum + file.verification.records, 0)
  if (worst === undefined)
    return { verdict: 'tampered', records, reason: 'there is no log in this folder', files }
  const { verdict, reason } = worst.verification
  return {
    verdict,
    records,
    reason: verdict === 'closed' ? `${files.length} files` : `file ${worst.number}: ${reason}`,
    files,
  }
}

function rank(verification: Verification): number {
  return ORDER.indexOf(verification.verdict)
}

function linkFault(
  found: Verification,
  before: Verification | undefined,
  number: number,
  expected: number,
): string | undefined {
  if (found.kind !== 'log') return 'this is not a file of a log'
  if (number !== expected || found.header?.number !== expected) return `file ${expected} is missing`
  const previous = found.header.previous
  if (before === undefined)
    return previous === undefined ? undefined : 'the file before it is missing'
  if (previous === undefined || previous.id !== before.id || previous.head !== before.head) {
    return 'it does not continue the file before it'
  }
  return undefined
}
