// Owns following a recording that is still written: again and again verified, and only what is signed is given out.

import { stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { VgateError } from '../core/errors.js'
import { openVerified, type VerifiedRecording } from './read.js'
import type { StoredRecord } from './records.js'
import type { VerifyOptions } from './verify.js'

const POLL_MS = 250
/** Verifying costs as much as the recording is long: of the time at most one part in so many. */
const SHARE = 8

export class LiveRecording {
  readonly #path: string
  readonly #options: VerifyOptions
  #recording: VerifiedRecording
  #size: number
  #costMs: number

  private constructor(path: string, options: VerifyOptions, first: Opened) {
    this.#path = path
    this.#options = options
    this.#recording = first.recording
    this.#size = first.size
    this.#costMs = first.costMs
  }

  /** Opens the recording at a path, whether it is still written or not. Rejects as `openVerified`. */
  static async open(path: string, options: VerifyOptions): Promise<LiveRecording> {
    return new LiveRecording(path, options, await openOnce(path, options))
  }

  get verification(): VerifiedRecording['verification'] {
    return this.#recording.verification
  }

  /** How many records are signed so far. */
  get total(): number {
    return this.verification.records
  }

  /** More may come: it has no closing checkpoint. */
  get live(): boolean {
    const { verdict, at, recovered } = this.verification
    return verdict !== 'tampered' && at !== undefined && recovered !== true
  }

  records(): AsyncGenerator<StoredRecord> {
    return this.#recording.records()
  }

  /** Resolves when there are more records, or the last. Rejects with VGATE_RECORDING_BROKEN, or the signal's reason. */
  async grown(signal?: AbortSignal): Promise<void> {
    const before = this.total
    while (this.live && this.total === before) {
      await wait(Math.max(POLL_MS, this.#costMs * SHARE), undefined, signal && { signal })
      if ((await stat(this.#path)).size === this.#size) continue
      const { recording, size, costMs } = await openOnce(this.#path, this.#options)
      const fault = this.#faultOf(recording.verification)
      if (fault !== undefined) {
        throw new VgateError('VGATE_RECORDING_BROKEN', `the recording ${fault}`, {
          hint: 'keep it as evidence, and see `vgate verify`',
        })
      }
      this.#recording = recording
      this.#size = size
      this.#costMs = costMs
    }
  }

  /** A recording only ever becomes longer. */
  #faultOf({
    verdict,
    reason,
    id,
    records,
  }: VerifiedRecording['verification']): string | undefined {
    if (verdict === 'tampered') return `was tampered with: ${reason}`
    if (id !== this.verification.id) return `was replaced by another: ${id}`
    return records < this.total
      ? `was cut: it has ${records} records, and had ${this.total}`
      : undefined
  }

  /** Every record until the last, waiting for those that are still to come. */
  async *all(signal?: AbortSignal): AsyncGenerator<StoredRecord> {
    let given = 0
    for (;;) {
      const { live } = this
      for await (const record of this.records()) {
        if (record.seq <= given) continue
        given = record.seq
        yield record
      }
      if (!live) return
      await this.grown(signal)
    }
  }
}

interface Opened {
  readonly recording: VerifiedRecording
  /** Of the file before it was verified: what came meanwhile counts as new. */
  readonly size: number
  readonly costMs: number
}

async function openOnce(path: string, options: VerifyOptions): Promise<Opened> {
  const startedAt = performance.now()
  const { size } = await stat(path)
  const recording = await openVerified(path, options)
  return { recording, size, costMs: performance.now() - startedAt }
}
