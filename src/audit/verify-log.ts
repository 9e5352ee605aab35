// Owns what holds the files of a log together: each but the first names the one before it and its head. A newest file
// that was deleted as a whole is found only by checkpoints kept elsewhere.

import type { Verification } from './verify.js'

export interface VerifiedFile {
  readonly path: string
  readonly verification: Verification
}

/**
 * Verified files of one log, or of several, with `tampered` for each that is good by itself but does not stand where it
 * says: the file before it is not there or is another one, or a second one stands in its place. Copies do no harm.
 */
export function linked(files: readonly VerifiedFile[]): readonly VerifiedFile[] {
  const byId = new Map<string, Verification[]>()
  const next = new Map<string, Set<string>>()
  for (const { verification } of files) {
    const { id, header } = verification
    if (id === undefined) continue
    byId.set(id, [...(byId.get(id) ?? []), verification])
    const before = header?.previous?.id
    if (before !== undefined) next.set(before, new Set([...(next.get(before) ?? []), id]))
  }
  const faultOf = ({ header }: Verification): string | undefined => {
    const { number, previous } = header ?? {}
    if (number === undefined) return 'this is not a file of a log'
    if (number === 1 && previous === undefined) return undefined
    if (previous === undefined) return `it does not say what file ${number - 1} of the log was`
    const before = byId.get(previous.id)
    if (before === undefined) return `file ${number - 1} of the log is missing`
    if ((next.get(previous.id)?.size ?? 0) > 1) return `there are two files ${number} of the log`
    const follows = before.some(
      (one) =>
        // What is wrong with a changed one is said of that one.
        one.verdict === 'tampered' ||
        (one.head === previous.head && one.header?.number === number - 1),
    )
    return follows ? undefined : 'it does not continue the file before it'
  }
  return files.map(({ path, verification }) => {
    const fault = verification.verdict === 'tampered' ? undefined : faultOf(verification)
    if (fault === undefined) return { path, verification }
    const at = { record: 1, block: 0, offset: 0 }
    return {
      path,
      verification: { ...verification, verdict: 'tampered', reason: fault, at, records: 0 },
    }
  })
}
