// Owns verifying whatever is at a path: one file, or every recording and log in a folder.

import { availableParallelism } from 'node:os'
import { type VerifyOptions, verifyLargeFile } from '../audit/verify.js'
import { linked, type VerifiedFile } from '../audit/verify-log.js'
import { recordingFiles } from './recording-files.js'

/**
 * Each file at a path with what was found: a session's when it was verified, those of a log at the end, when it is known
 * whether one of them is missing. Throws VGATE_NOT_FOUND.
 */
export async function* verifyPath(
  path: string,
  options: Pick<VerifyOptions, 'keys' | 'depth'>,
): AsyncGenerator<VerifiedFile> {
  const threads = availableParallelism()
  const files = await recordingFiles(path)
  const log: VerifiedFile[] = []
  for (const file of files) {
    const verification = await verifyLargeFile(file, { ...options, threads })
    const found = { path: file, verification }
    if (verification.kind === 'log' && file !== path) log.push(found)
    else yield found
  }
  yield* linked(log)
}
