// Owns the gateway's audit log: recordings of kind `log`, numbered files in one folder, each naming the head of the
// one before it. It must never let an event pass that could not be written.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { RecordingHeader } from './format.js'
import type { SigningKeyPair } from './keys.js'
import type { RecordingFs } from './recording-fs.js'
import type { LogRecord } from './records.js'
import { recoverRecordings, scan } from './recover.js'
import { openRecording, type Recording } from './writer.js'

const MAX_FILE_BYTES = 64 * 1024 * 1024
const NAME = /^log-(\d{8})\.vgr$/

export interface OpenAuditLogOptions {
  readonly directory: string
  readonly key: SigningKeyPair
  readonly clock: Clock
  readonly fs?: RecordingFs
  /** A new file begins above this size; 64 MiB by default. */
  readonly maxFileBytes?: number
}

export interface AuditLog {
  /**
   * Writes an event and hands it to the operating system before it returns; with `sync` it is durable when the
   * promise resolves. Rejects with VGATE_RECORDING_UNAVAILABLE: then what the event speaks of must not happen.
   * After a failure the next call tries a new file.
   */
  append(body: LogRecord, options?: { readonly sync?: boolean }): Promise<void>
  /** Signs and syncs what is pending; the caller's timer calls it every two seconds. */
  checkpoint(): Promise<void>
  /** Ends the file. */
  close(reason: string): Promise<void>
  readonly path: string
}

/** One file of a log on disk. */
export interface LogFile {
  readonly number: number
  readonly path: string
}

/** The files of a log, oldest first. */
export function listLogFiles(directory: string): readonly LogFile[] {
  if (statSync(directory, { throwIfNoEntry: false }) === undefined) return []
  return readdirSync(directory)
    .flatMap((name) => {
      const digits = NAME.exec(name)?.[1]
      return digits === undefined ? [] : [{ number: Number(digits), path: join(directory, name) }]
    })
    .sort((a, b) => a.number - b.number)
}

/**
 * Opens the log: a file left open is closed as incomplete, then a new file continues the chain. Rejects with
 * VGATE_RECORDING_BROKEN when the newest file does not verify: a gateway must not write on over a changed log.
 */
export async function openAuditLog(options: OpenAuditLogOptions): Promise<AuditLog> {
  return new ChainedLog(options, await nextFile(options))
}

async function nextFile(options: OpenAuditLogOptions): Promise<Recording> {
  const { directory, key, clock, fs } = options
  await recoverRecordings(directory, key, fs === undefined ? { clock } : { clock, fs })
  const last = listLogFiles(directory).at(-1)
  const chain =
    last === undefined ? { number: 1 } : { number: last.number + 1, previous: await headOf(last) }
  const name = `log-${String(chain.number).padStart(8, '0')}`
  const id = newId('log')
  return openRecording({
    directory,
    key,
    clock,
    id,
    name,
    kind: 'log',
    chain,
    ...(fs === undefined ? {} : { fs }),
  })
}

async function headOf(file: LogFile): Promise<NonNullable<RecordingHeader['previous']>> {
  const { outcome, position, header } = await scan(file.path)
  if (outcome?.kind !== 'whole' || position === undefined || header === undefined) {
    const reason = outcome?.kind === 'tampered' ? outcome.reason : 'it cannot be read'
    throw new VgateError(
      'VGATE_RECORDING_BROKEN',
      `the audit log ${file.path} does not verify: ${reason}`,
      {
        hint: `keep the file as evidence; move it and its folder away to start a new log`,
      },
    )
  }
  return { id: header.id, records: position.records, head: position.head.toString('hex') }
}

class ChainedLog implements AuditLog {
  readonly #options: OpenAuditLogOptions
  #recording: Recording
  /** Changing files is asynchronous; events wait for it in order. */
  #turn: Promise<void> = Promise.resolve()
  #closed = false
  /** The file has ended and the next one is not there yet. */
  #between = false

  constructor(options: OpenAuditLogOptions, recording: Recording) {
    this.#options = options
    this.#recording = recording
  }

  get path(): string {
    return this.#recording.path
  }

  append(body: LogRecord, options: { readonly sync?: boolean } = {}): Promise<void> {
    return this.#inTurn(async () => {
      await this.#ready()
      this.#recording.append(body)
      this.#recording.flush()
      return options.sync === true ? [this.#recording.sync()] : []
    })
  }

  checkpoint(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#closed || this.#between || !this.#recording.unsigned) return []
      return [this.#recording.checkpoint()]
    })
  }

  close(reason: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#closed) return []
      this.#closed = true
      if (!this.#between) await this.#recording.close({ type: 'log.closed', reason })
      return []
    })
  }

  /** Runs one after another; what the action answers is awaited outside the turn, so that fsyncs are shared. */
  async #inTurn(action: () => Promise<readonly Promise<void>[]>): Promise<void> {
    const mine = this.#turn.then(action)
    this.#turn = mine.then(
      () => undefined,
      () => undefined, // told to the caller by `mine`
    )
    await Promise.all(await mine)
  }

  async #ready(): Promise<void> {
    if (this.#closed) throw new VgateError('VGATE_RECORDING_UNAVAILABLE', 'the audit log is closed')
    if (!this.#between) {
      const failed = this.#recording.failed !== undefined
      if (!failed && this.#recording.bytes < (this.#options.maxFileBytes ?? MAX_FILE_BYTES)) return
      this.#between = true
      try {
        await this.#recording.close({ type: 'log.closed', reason: failed ? 'failed' : 'rotated' })
      } catch (error) {
        // What could not be closed is closed as incomplete by `nextFile`.
        if (!(error instanceof VgateError)) throw error
      }
    }
    this.#recording = await nextFile(this.#options)
    this.#between = false
  }
}
