// Owns what happens at the gateway's start to recordings that were left open: each is closed as incomplete by a
// signed checkpoint behind its last whole block. It never changes or drops a whole block.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../core/clock.js'
import { chunksOf } from './byte-source.js'
import { Chain } from './chain.js'
import type { SigningKeyPair } from './keys.js'
import { attempt, nodeFs, type RecordingFs, writeAll } from './recording-fs.js'
import type { RecordingHead } from './records.js'
import { RecordingScanner } from './scanner.js'
import { NEW_SUFFIX, RECORDING_SUFFIX, RESERVE_SUFFIX } from './writer.js'

export interface RecoveredRecording {
  /** Name of the file without its suffix: the id, for a session. */
  readonly name: string
  readonly path: string
  /**
   * `recovered`: closed as incomplete now. `closed`: it was closed already. `tampered`: it does not verify and was
   * left alone. `foreign`: it is signed by another key and was left alone. `missing`: nothing was ever recorded.
   */
  readonly state: 'recovered' | 'closed' | 'tampered' | 'foreign' | 'missing'
  readonly recording: RecordingHead
  /** Bytes of a torn block that were cut off. */
  readonly torn: number
  readonly reason?: string
}

/**
 * Closes every recording in a folder that was left open. No other process may be writing there. Rejects with the
 * system's error when the disk fails; it can be run again.
 */
export async function recoverRecordings(
  directory: string,
  key: SigningKeyPair,
  options: { readonly clock: Clock; readonly fs?: RecordingFs },
): Promise<readonly RecoveredRecording[]> {
  const fs = options.fs ?? nodeFs
  const names = listDirectory(directory)
  // A half-made file was never given its name: nothing ran under it.
  for (const name of names.filter((name) => name.endsWith(NEW_SUFFIX)))
    fs.unlink(join(directory, name))
  const recovered: RecoveredRecording[] = []
  for (const name of names.filter((name) => name.endsWith(RESERVE_SUFFIX)).sort()) {
    const stem = name.slice(0, -RESERVE_SUFFIX.length)
    const reserve = join(directory, name)
    const fd = fs.open(reserve)
    try {
      fs.truncate(fd, 0) // the space may be needed for the checkpoint
    } finally {
      fs.close(fd)
    }
    recovered.push(await recoverOne(directory, stem, key, options.clock, fs))
    fs.unlink(reserve)
  }
  return recovered
}

async function recoverOne(
  directory: string,
  name: string,
  key: SigningKeyPair,
  clock: Clock,
  fs: RecordingFs,
): Promise<RecoveredRecording> {
  const path = join(directory, `${name}${RECORDING_SUFFIX}`)
  const none = { records: 0, head: '' }
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    return { name, path, state: 'missing', recording: none, torn: 0 }
  }
  const scanner = await scan(path)
  const { outcome, position, header, headerHash } = scanner
  if (
    outcome?.kind !== 'whole' ||
    position === undefined ||
    header === undefined ||
    headerHash === undefined
  ) {
    const reason = outcome?.kind === 'tampered' ? outcome.reason : 'it cannot be read'
    return { name, path, state: 'tampered', recording: none, torn: 0, reason }
  }
  const recording = { records: position.records, head: position.head.toString('hex') }
  if (outcome.state !== 'open') return { name, path, state: 'closed', recording, torn: 0 }
  if (header.key.public !== key.key.public) {
    const reason = `it is signed by key ${header.key.id}`
    return { name, path, state: 'foreign', recording, torn: 0, reason }
  }
  const chain = new Chain(header.id, key, headerHash, position)
  const bytes = chain.checkpoint('recovered', new Date(clock.now()).toISOString())
  await appendAt(path, outcome.at.offset, bytes, fs)
  const after = { records: position.records, head: chain.position.head.toString('hex') }
  return { name, path, state: 'recovered', recording: after, torn: outcome.torn }
}

/** Cuts the torn block off, writes, and makes it durable. */
async function appendAt(
  path: string,
  offset: number,
  bytes: Buffer,
  fs: RecordingFs,
): Promise<void> {
  const fd = fs.open(path)
  try {
    fs.truncate(fd, offset)
    writeAll(fs, fd, bytes, offset)
    await fs.dataSync(fd)
  } finally {
    attempt(() => fs.close(fd))
  }
}

/** Reads a whole file through the verification steps. */
export async function scan(path: string): Promise<RecordingScanner> {
  const scanner = new RecordingScanner('chain')
  for await (const chunk of chunksOf(path)) {
    scanner.push(chunk)
    while (scanner.next() !== undefined) {
      // Only where it ends matters here.
    }
    if (scanner.outcome !== undefined && scanner.outcome.kind === 'tampered') break
  }
  scanner.end()
  while (scanner.next() !== undefined) {
    // As above.
  }
  return scanner
}

function listDirectory(directory: string): readonly string[] {
  return statSync(directory, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(directory)
}
