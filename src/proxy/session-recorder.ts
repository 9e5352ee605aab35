// Owns what of a session goes into its recording, and when it must be on the disk (recording.md, "Durability").

import type { Delivery, JudgeRequest } from '../core/adapter.js'
import type { VgateError } from '../core/errors.js'
import type { Operation, Unclassified } from '../core/operation.js'
import type { Recording } from '../audit/writer.js'
import type { Judgement } from './pep.js'

/** Reads are on the disk at most this long after they were let through. */
export const READ_SYNC_MS = 10
export const CHECKPOINT_MS = 2_000
export const CHECKPOINT_RECORDS = 100

export interface Totals {
  operations: number
  denied: number
  rows: number
  bytesOut: number
}

/** Writes one session's recording. A failure is told once; from then on every call throws, so that nothing runs unrecorded. */
export class SessionRecorder {
  readonly totals: Totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
  readonly #recording: Recording
  readonly #onFailed: (error: unknown) => void
  readonly #checkpoints: NodeJS.Timeout
  #unflushed = false
  #syncTimer: NodeJS.Timeout | undefined
  #sinceCheckpoint = 0
  #checkpointing = false

  constructor(recording: Recording, onFailed: (error: unknown) => void) {
    this.#recording = recording
    this.#onFailed = onFailed
    this.#checkpoints = setInterval(() => this.#checkpoint(), CHECKPOINT_MS)
    this.#checkpoints.unref()
  }

  /** Appends the outcome of one request. The promise, where there is one, waits for the disk. */
  intent(
    connection: string,
    id: number,
    request: JudgeRequest,
    judgement: Judgement,
    durable: boolean,
  ): void | Promise<void> {
    this.totals.operations += 1
    if (judgement.verdict === 'deny') this.totals.denied += 1
    this.append({
      type: 'operation.judged',
      connection,
      op: id,
      phase: request.phase,
      form: request.form,
      text: request.text,
      ...(request.parameters === undefined ? {} : { parameters: request.parameters }),
      operations: request.operations.map(summary),
      verdict: judgement.verdict,
      rule: judgement.rule,
      ...(judgement.reason === undefined ? {} : { reason: judgement.reason }),
      masks: judgement.obligations.flatMap((o) => o.masks.map((mask) => `${mask.collection}.${mask.field}`)),
      ...(request.keys === undefined ? {} : { keys: request.keys }),
    })
    this.flush()
    return durable ? this.#recording.sync() : undefined
  }

  /** Appends what the client is about to be given. */
  delivered(connection: string, delivery: Delivery): void {
    this.totals.rows += delivery.rowCount
    this.totals.bytesOut += delivery.bytes
    const { request, ...rest } = delivery
    this.append({ type: 'operation.delivered', connection, op: request, ...rest })
  }

  /** Appends any record of the session. */
  append(body: { readonly type: string } & Readonly<Record<string, unknown>>): void {
    this.#recording.append(body)
    this.#unflushed = true
    this.#sinceCheckpoint += 1
  }

  /** Hands what was appended to the operating system. Throws VGATE_RECORDING_UNAVAILABLE when it cannot. */
  flush(): void {
    if (this.#recording.failed !== undefined) throw this.#recording.failed
    if (!this.#unflushed) return
    try {
      this.#recording.flush()
    } catch (error) {
      this.#onFailed(error)
      throw error
    }
    this.#unflushed = false
    if (this.#sinceCheckpoint >= CHECKPOINT_RECORDS) this.#checkpoint()
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined
      this.#recording.sync().catch(this.#onFailed)
    }, READ_SYNC_MS)
  }

  /** Makes everything appended durable. */
  sync(): Promise<void> {
    return this.#recording.sync()
  }

  /** Closes the recording with its last record. */
  async close(body: { readonly type: string } & Readonly<Record<string, unknown>>): Promise<{ records: number; head: string }> {
    clearInterval(this.#checkpoints)
    clearTimeout(this.#syncTimer)
    return await this.#recording.close(body)
  }

  #checkpoint(): void {
    if (this.#checkpointing || this.#sinceCheckpoint === 0 || this.#recording.failed !== undefined) return
    this.#checkpointing = true
    this.#sinceCheckpoint = 0
    this.#recording
      .checkpoint()
      .catch((error: unknown) => this.#onFailed(error as VgateError))
      .finally(() => {
        this.#checkpointing = false
      })
  }
}

function summary(operation: Operation | Unclassified): Record<string, unknown> {
  if (!('access' in operation)) return { unclassified: operation.reason }
  return {
    name: operation.name,
    access: operation.access,
    collections: operation.collections.map(({ collection, access, action, effect }) => ({
      collection,
      access,
      action,
      effect,
    })),
    risks: operation.risks,
    ...(operation.functions.length === 0 ? {} : { functions: operation.functions }),
    rows: operation.returns.rows,
  }
}
