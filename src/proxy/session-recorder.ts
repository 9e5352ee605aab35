// Owns what of a session goes into its recording, and when it must be on the disk (recording.md, "Durability").

import {
  type OperationJudged,
  type RecordBody,
  type RecordingHead,
  recordedDelivery,
  recordedOperation,
} from '../audit/records.js'
import { CHECKPOINT_MS, type Recording } from '../audit/writer.js'
import { KeyTally, recordedKeys } from '../audit/written-keys.js'
import type { Delivery, JudgeRequest } from '../core/adapter.js'
import type { RecordLevel } from '../core/decision.js'
import type { CollectionUse } from '../core/operation.js'
import type { Judgement, RecordedJudgement } from './pep.js'

/** Reads are on the disk at most this long after they were let through. */
export const READ_SYNC_MS = 10
/** On a slow disk reads wait, once what was recorded before them has waited this long for it. */
export const READ_STALL_MS = 50

export interface Totals {
  operations: number
  denied: number
  rows: number
  bytesOut: number
}

/** A permitted request: what may be recorded of its results, how many of its operations are not over, and keys that came with rows. */
interface Permitted {
  readonly level: RecordLevel
  left: number
  tally?: KeyTally
}

/** Writes one session's recording. A failure is told once; from then on every call throws, so that nothing runs unrecorded. */
export class SessionRecorder {
  readonly totals: Totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
  readonly #recording: Recording
  readonly #onFailed: (error: unknown) => void
  readonly #checkpoints: NodeJS.Timeout
  /** Requests that are not over. */
  readonly #permitted = new Map<string, Permitted>()
  #unflushed = false
  /** The file's name, its header and the session's first record are on the disk. */
  #begun = false
  /** When the oldest and the newest record that may not be on the disk yet were handed to the operating system. */
  #oldest: number | undefined
  #newest = 0
  #syncTimer: NodeJS.Timeout | undefined
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
    judgement: RecordedJudgement,
    durable: boolean,
  ): void | Promise<void> {
    // What waits is counted when it is known what became of it.
    if (judgement.verdict !== 'hold') this.totals.operations += 1
    const mistaken = request.operations.some((one) => 'serverError' in one)
    if (judgement.verdict === 'deny' && !mistaken) this.totals.denied += 1
    const level = judgement.record
    this.append({
      type: 'operation.judged',
      connection,
      op: id,
      form: request.form,
      ...said(request, level),
      operations: request.operations.map((one) => recordedOperation(one, level)),
      verdict: judgement.verdict,
      rule: judgement.rule,
      ...(judgement.reason === undefined || quotes(request, level)
        ? {}
        : { reason: judgement.reason }),
      ...(judgement.approval === undefined ? {} : { approval: judgement.approval }),
      ...(judgement.verdict === 'deny' ? {} : { obligations: recordedObligations(judgement) }),
      ...recordedKeys(request.keys, usesOf(request)),
    })
    if (judgement.verdict === 'permit')
      this.#permitted.set(`${connection}/${id}`, { level, left: request.operations.length })
    this.flush()
    const waits = durable || (judgement.verdict === 'permit' && (!this.#begun || this.#isStalled()))
    return waits ? this.sync() : undefined
  }

  /** Appends what the client is about to be given. */
  delivered(connection: string, delivery: Delivery): void {
    this.totals.rows += delivery.rowCount
    this.totals.bytesOut += delivery.bytes
    const operation = `${connection}/${delivery.request}`
    const known = this.#permitted.get(operation)
    const { keys, ...rest } = delivery
    if (keys !== undefined && known !== undefined) known.tally ??= new KeyTally()
    const told = keys === undefined ? undefined : known?.tally?.add(keys)
    const given = told === undefined ? rest : { ...rest, keys: told }
    const body = recordedDelivery(connection, given, known?.level ?? 'metadata')
    const more = delivery.done ? known?.tally?.more() : undefined
    if (more !== undefined) this.append({ ...body, keysMore: more })
    else if (!isEmpty(given)) this.append(body)
    if (known === undefined || !delivery.done) return
    known.left -= 1
    if (known.left <= 0) this.#permitted.delete(operation)
  }

  /** The connection is over: nothing more of its requests is delivered. */
  forget(connection: string): void {
    for (const operation of this.#permitted.keys()) {
      if (operation.startsWith(`${connection}/`)) this.#permitted.delete(operation)
    }
  }

  /** Appends any record of the session. */
  append(body: RecordBody): void {
    this.#recording.append(body)
    this.#unflushed = true
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
    this.#newest = performance.now()
    this.#oldest ??= this.#newest
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined
      this.sync().catch(this.#onFailed)
    }, READ_SYNC_MS)
  }

  /** Makes everything appended durable. */
  async sync(): Promise<void> {
    const from = performance.now()
    await this.#recording.sync()
    this.#begun = true
    this.#oldest = this.#newest > from ? from : undefined
  }

  /** Closes the recording with its last record. */
  async close(body: RecordBody): Promise<RecordingHead> {
    clearInterval(this.#checkpoints)
    clearTimeout(this.#syncTimer)
    return await this.#recording.close(body)
  }

  #isStalled(): boolean {
    return this.#oldest !== undefined && performance.now() - this.#oldest > READ_STALL_MS
  }

  #checkpoint(): void {
    const { unsigned, failed } = this.#recording
    if (this.#checkpointing || !unsigned || failed !== undefined) return
    this.#checkpointing = true
    this.#recording
      .checkpoint()
      .catch(this.#onFailed)
      .finally(() => {
        this.#checkpointing = false
      })
  }
}

/** Nothing but keys came, and they are in the filter. */
function isEmpty({ done, rowCount, bytes, keys }: Delivery): boolean {
  return !done && rowCount === 0 && bytes === 0 && keys === undefined
}

function usesOf(request: JudgeRequest): readonly CollectionUse[] {
  return request.operations.flatMap((one) => ('access' in one ? one.collections : []))
}

/** What the request itself says, as far as its level allows. */
function said(
  request: JudgeRequest,
  level: RecordLevel,
): Pick<OperationJudged, 'text' | 'parameters'> {
  if (level === 'metadata') return {}
  const { text, parameters } = (level === 'full' ? request.whole?.() : undefined) ?? request
  return parameters === undefined ? { text } : { text, parameters }
}

/** Why a request was not understood quotes its text: a name, or what the grammar stopped at. */
function quotes(request: JudgeRequest, level: RecordLevel): boolean {
  return level === 'metadata' && request.operations.some((one) => 'reason' in one)
}

function recordedObligations(judgement: Judgement): { masks: number; rowLimit?: number } {
  const masks = judgement.obligations.reduce((sum, one) => sum + one.masks.length, 0)
  const limits = judgement.obligations.flatMap((one) =>
    one.rowLimit === undefined ? [] : [one.rowLimit.rows],
  )
  return { masks, ...(limits.length === 0 ? {} : { rowLimit: Math.min(...limits) }) }
}
