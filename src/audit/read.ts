// Owns reading a recording for people and searches: verified first, then its records one after another. It must
// never give out a record that no checkpoint of a good chain covers.

import { VgateError } from '../core/errors.js'
import { BlockHashes } from './block-hashes.js'
import { type ByteSource, chunksOf } from './byte-source.js'
import { recordsOf } from './read-record.js'
import type { StoredRecord } from './records.js'
import { RecordingScanner } from './scanner.js'
import { type Verification, type VerifyOptions, verifyFile } from './verify.js'

/** A file that can be read twice. */
export type Rereadable = Exclude<ByteSource, AsyncIterable<Uint8Array>>

export interface VerifiedRecording {
  readonly verification: Verification
  /** The authentic records in order. Empty when the verdict is `tampered`, unless `evenIfTampered`. */
  records(): AsyncGenerator<StoredRecord>
}

/**
 * Verifies a recording, then opens it. `records()` gives out a block only when it is the one that was verified, and
 * throws VGATE_RECORDING_BROKEN when the file was changed between the two.
 */
export async function openVerified(
  source: Rereadable,
  options: VerifyOptions & {
    /** Also play what stands before the bad place, as far as it is signed. */ readonly evenIfTampered?: boolean
  },
): Promise<VerifiedRecording> {
  const verified = new BlockHashes()
  const onBlock: VerifyOptions['onBlock'] = (block, hash) => verified.add(block, hash)
  const verification = await verifyFile(source, { ...options, depth: 'content', onBlock })
  const refused = verification.verdict === 'tampered' && options.evenIfTampered !== true
  const upTo = refused ? 0 : verification.records
  return { verification, records: () => recordsUpTo(source, upTo, verified) }
}

async function* recordsUpTo(
  source: Rereadable,
  upTo: number,
  verified: BlockHashes,
): AsyncGenerator<StoredRecord> {
  if (upTo === 0) return
  const scanner = new RecordingScanner()
  const again = verified.again()
  let given = 0
  for await (const chunk of chunksOf(source)) {
    scanner.push(chunk)
    for (let block = scanner.next(); block !== undefined; block = scanner.next()) {
      const proven = again(block, scanner.position?.head)
      if (proven === undefined) throw changed()
      for (const record of recordsOf(proven)) {
        if (given === upTo) return
        given += 1
        yield record
      }
    }
    if (given === upTo) return
    if (scanner.outcome !== undefined) break
  }
  scanner.end()
  if (given < upTo) throw changed()
}

function changed(): VgateError {
  return new VgateError('VGATE_RECORDING_BROKEN', 'the recording changed while it was read', {
    hint: 'run: vgate verify',
  })
}
