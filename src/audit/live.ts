// Owns playing a recording from its file, also one that is still written or still arrives: verified as it grows, each
// byte once, and only what is signed is given out.

import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { VgateError } from '../core/errors.js'
import { BlockHashes } from './block-hashes.js'
import { FinalBytes } from './final-bytes.js'
import { faultInRecords, recordsOf } from './read-record.js'
import type { StoredRecord } from './records.js'
import { RecordingScanner, type ScanOutcome } from './scanner.js'
import { type Verification, type VerifyOptions, verificationOf } from './verify.js'

const POLL_MS = 250
const CHUNK_BYTES = 256 * 1024

/** Where a file comes from that is fetched while it is played. */
export interface Arrival {
  /** Nothing more comes. */
  readonly over: boolean
  /** Why nothing more comes, where that is not its end. */
  readonly failed: Error | undefined
}

export interface LiveOptions {
  readonly keys: VerifyOptions['keys']
  /** What is still to come is wanted as well. Without it the file is taken as it is, torn tail and all. */
  readonly follow?: boolean
  readonly arrival?: Arrival
}

export class LiveRecording {
  readonly #path: string
  readonly #options: LiveOptions
  readonly #file: FileHandle
  readonly #final: FinalBytes
  readonly #scanner = new RecordingScanner()
  readonly #verified = new BlockHashes()
  /** Bytes that the scanner has. */
  #taken = 0
  /** Bytes up to and with the last checkpoint: those that are read again. */
  #signed = 0
  #fault: ScanOutcome | undefined

  private constructor(path: string, options: LiveOptions, file: FileHandle) {
    this.#path = path
    this.#options = options
    this.#file = file
    this.#final = new FinalBytes(file)
    if (options.follow !== true) this.#final.settle()
  }

  /** Opens and verifies the recording at a path, as far as it is there. Rejects with Node's error when it cannot be read. */
  static async open(path: string, options: LiveOptions): Promise<LiveRecording> {
    const recording = new LiveRecording(path, options, await open(path, 'r'))
    try {
      await recording.#take()
    } catch (error) {
      await recording.close()
      throw error
    }
    return recording
  }

  /** What is known now. */
  get verification(): Verification {
    const { position, outcome } = this.#scanner
    const block = position?.blocks ?? 0
    const at = { record: (position?.records ?? 0) + 1, block, offset: this.#taken }
    const soFar: ScanOutcome = { kind: 'whole', state: 'open', torn: 0, at }
    return verificationOf(this.#scanner, this.#fault ?? outcome ?? soFar, this.#options)
  }

  /** How many records are signed so far. */
  get total(): number {
    return this.#scanner.position?.signed ?? 0
  }

  /** More may come. */
  get live(): boolean {
    return this.#fault === undefined && this.#scanner.outcome === undefined
  }

  /** The signed records, from the first one. None when it was tampered with. */
  async *records(): AsyncGenerator<StoredRecord> {
    if (this.verification.verdict !== 'tampered') yield* this.#read(() => Promise.resolve(false))
  }

  /** Every record until the last, waiting for those that are still to come. */
  async *all(signal?: AbortSignal): AsyncGenerator<StoredRecord> {
    yield* this.#read(async () => {
      if (!this.live) return false
      await this.grown(signal)
      return true
    })
  }

  /**
   * Resolves when there are more records, or the last. Rejects with VGATE_RECORDING_BROKEN, with why it no longer
   * arrives, or with the signal's reason.
   */
  async grown(signal?: AbortSignal): Promise<void> {
    const before = this.total
    while (this.live && this.total === before) {
      // Asked first: what came before the end must be read after it.
      const { over, failed } = this.#options.arrival ?? { over: false, failed: undefined }
      if (over) this.#final.settle()
      if (await this.#take()) continue
      if (failed !== undefined) throw failed
      if (this.live) await wait(POLL_MS, undefined, signal && { signal })
    }
    const { verdict, reason } = this.verification
    if (verdict === 'tampered') {
      throw new VgateError('VGATE_RECORDING_BROKEN', `the recording was tampered with: ${reason}`, {
        hint: 'keep it as evidence, and see `vgate verify`',
      })
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** Verifies what is final by now. Answers whether there was any. */
  async #take(): Promise<boolean> {
    let any = false
    while (this.live) {
      const bytes = await this.#final.next()
      if (bytes === undefined && !this.#final.over) return any
      if (bytes === undefined) this.#scanner.end()
      else this.#scanner.push(bytes)
      this.#taken += bytes?.length ?? 0
      any = true
      this.#drain()
    }
    return any
  }

  #drain(): void {
    const scanner = this.#scanner
    for (let block = scanner.next(); block !== undefined; block = scanner.next()) {
      const { position } = scanner
      if (position !== undefined) this.#verified.add(block, position.head)
      if (block.kind === 'checkpoint') this.#signed = scanner.offset
      const fault = block.kind === 'records' ? faultInRecords(block) : undefined
      if (fault === undefined) continue
      const at = { ...block.at, record: fault.record }
      this.#fault = { kind: 'tampered', reason: fault.reason, at }
      return
    }
  }

  /** Gives out a block only when it is the one that was verified; `more` answers whether to go on at the end of what is there. */
  async *#read(more: () => Promise<boolean>): AsyncGenerator<StoredRecord> {
    const scanner = new RecordingScanner()
    const again = this.#verified.again()
    const file = await open(this.#path, 'r')
    try {
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
      let given = 0
      for (let offset = 0; given < this.total || (await more()); ) {
        const length = Math.min(buffer.length, this.#signed - offset)
        const { bytesRead } =
          length === 0 ? { bytesRead: 0 } : await file.read(buffer, 0, length, offset)
        if (bytesRead === 0 && given < this.total) throw changed()
        offset += bytesRead
        scanner.push(buffer.subarray(0, bytesRead))
        for (let block = scanner.next(); block !== undefined; block = scanner.next()) {
          const proven = again(block, scanner.position?.head)
          if (proven === undefined) throw changed()
          for (const record of recordsOf(proven)) {
            given += 1
            yield record
          }
        }
        if (scanner.outcome?.kind === 'tampered') throw changed()
      }
    } finally {
      await file.close()
    }
  }
}

function changed(): VgateError {
  return new VgateError('VGATE_RECORDING_BROKEN', 'the recording changed while it was read', {
    hint: 'run: vgate verify',
  })
}
