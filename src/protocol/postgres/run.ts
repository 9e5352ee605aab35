// Owns one judged operation while it runs: its rows through the masks, its counts, and what is recorded of
// it before the client is given anything. Must never hand out a row that is not in a delivery.

import type { Delivery, RecordedValue } from '../../core/adapter.js'
import type { Obligations, RowLimit } from '../../core/decision.js'
import type { MaskerFactory } from '../../core/masker.js'
import type { Operation } from '../../core/operation.js'
import { type ColumnPlan, planColumns, type ResultColumn } from './columns.js'
import type { Catalogue } from './statement.js'
import { recordedValue, wholeValue } from './values.js'
import { BodyReader, i16, i32, message, violation } from './wire.js'

/** Rows that one delivery carries at most. */
export const DELIVERY_ROWS = 500
/** Bytes of recorded rows that one delivery carries at most, about. */
export const DELIVERY_BYTES = 4 * 1024 * 1024

/** The most that Execute can ask for. */
const MAX_ROWS = 0x7fffffff

const COPY_COLUMN = ['copy'] as const

/** One operation of one request, from its permit to its completion. */
export class Run {
  readonly request: number
  readonly index: number
  readonly operation: Operation
  readonly obligations: Obligations
  readonly #masker: MaskerFactory
  readonly #catalogue: Catalogue
  /** What is kept of a value. */
  readonly #kept: typeof recordedValue
  #plan: readonly ColumnPlan[] | undefined
  #announce: readonly string[] | undefined
  #changes = false
  #rows: RecordedValue[][] = []
  #batchRows = 0
  #batchBytes = 0
  #batchMasked = 0
  #upRows = 0
  #upBytes = 0
  /** Rows given to the client so far, over all Executes of the portal. */
  rowCount = 0
  /** The row after the limit has come. */
  exceeded = false
  finished = false

  constructor(
    id: { readonly request: number; readonly index: number },
    operation: Operation,
    obligations: Obligations,
    masker: MaskerFactory,
    catalogue: Catalogue,
  ) {
    this.request = id.request
    this.index = id.index
    this.operation = operation
    this.obligations = obligations
    this.#masker = masker
    this.#catalogue = catalogue
    this.#kept = obligations.record === 'full' ? wholeValue : recordedValue
  }

  get limit(): RowLimit | undefined {
    return this.obligations.rowLimit
  }

  /** The `max` of an Execute that proves when the limit is passed: one row more than may leave; undefined where none is in reach. */
  most(max: number): number | undefined {
    if (this.limit === undefined) return undefined
    const most = this.limit.rows - this.rowCount + 1
    if (most > MAX_ROWS) return undefined
    return max === 0 ? most : Math.min(max, most)
  }

  get masks(): boolean {
    return this.obligations.masks.length > 0
  }

  /** True once a batch is worth a delivery of its own. */
  get full(): boolean {
    return this.#batchRows >= DELIVERY_ROWS || this.#batchBytes >= DELIVERY_BYTES
  }

  get described(): boolean {
    return this.#plan !== undefined
  }

  /** The columns that will come. Throws a VgateError when they are not those that were judged. */
  describe(columns: readonly ResultColumn[]): void {
    this.#plan = planColumns(
      columns,
      this.operation,
      this.obligations,
      this.#masker,
      this.#catalogue,
    )
    this.#changes = this.#plan.some((plan) => plan.change !== undefined)
    this.#announce = columns.map((column) => column.name)
  }

  /** One DataRow → what the client is given. Throws a violation when it does not fit its description. */
  row(bytes: Buffer): Buffer {
    const plan = this.#plan
    if (plan === undefined) throw violation('the database sent a row without its description')
    const reader = new BodyReader(bytes)
    if (reader.count() !== plan.length)
      throw violation('the database sent a row with other columns than described')
    const given = this.#changes ? this.#changed(reader, plan) : this.#plain(reader, plan)
    this.rowCount += 1
    this.#batchRows += 1
    if (!this.#changes) {
      this.#batchBytes += bytes.length
      return bytes
    }
    const parts = given.flatMap((value) =>
      value === null ? [i32(-1)] : [i32(value.length), value],
    )
    const whole = message('D', i16(given.length), ...parts)
    this.#batchBytes += whole.length
    return whole
  }

  #plain(reader: BodyReader, plan: readonly ColumnPlan[]): (Buffer | null)[] {
    const values = plan.map(() => reader.value())
    reader.done()
    this.#remember(values, plan)
    return values
  }

  #changed(reader: BodyReader, plan: readonly ColumnPlan[]): (Buffer | null)[] {
    const values = plan.map(({ change }) => {
      const value = reader.value()
      if (value === null || change === undefined) return value
      const result = change(value)
      this.#batchMasked += result.masked
      return result.value
    })
    reader.done()
    this.#remember(values, plan)
    return values
  }

  #remember(values: readonly (Buffer | null)[], plan: readonly ColumnPlan[]): void {
    if (this.obligations.record === 'metadata') return
    const kept = this.#kept
    this.#rows.push(
      plan.map(({ column, vector }, index) =>
        kept(column.type, vector, column.format, values[index] ?? null),
      ),
    )
  }

  /** One CopyData of COPY … TO STDOUT, as it is given. */
  copied(bytes: Buffer): void {
    this.#announce ??= this.rowCount === 0 ? COPY_COLUMN : undefined
    this.rowCount += 1
    this.#batchRows += 1
    this.#batchBytes += bytes.length
    if (this.obligations.record !== 'metadata')
      this.#rows.push([this.#kept(25, false, 0, bytes.subarray(5))])
  }

  /** Data that the client sends for COPY … FROM STDIN: counted for the last delivery, not kept. */
  uploaded(bytes: number, rows: number): void {
    this.#upRows += rows
    this.#upBytes += bytes
  }

  /** What has come since the last delivery, or undefined where nothing has. */
  batch(): Delivery | undefined {
    return this.#batchRows === 0 && this.#batchBytes === 0
      ? undefined
      : this.#delivery({ done: false })
  }

  /** The last delivery, with the database's tag or error. Undefined when it was given before. */
  finish(end: Pick<Delivery, 'tag' | 'error' | 'abandoned'>): Delivery | undefined {
    if (this.finished) return undefined
    this.finished = true
    this.#batchRows += this.#upRows
    this.#batchBytes += this.#upBytes
    return this.#delivery({ ...end, done: true })
  }

  #delivery(end: Pick<Delivery, 'tag' | 'error' | 'done' | 'abandoned'>): Delivery {
    const rows = this.#rows
    const columns = this.#announce
    const metadata = this.obligations.record === 'metadata'
    const delivery: Delivery = {
      request: this.request,
      index: this.index,
      ...(columns === undefined || metadata ? {} : { columns }),
      ...(metadata || rows.length === 0 ? {} : { rows }),
      rowCount: this.#batchRows,
      bytes: this.#batchBytes,
      masked: this.#batchMasked,
      ...end,
    }
    this.#announce = undefined
    this.#rows = []
    this.#batchRows = 0
    this.#batchBytes = 0
    this.#batchMasked = 0
    return delivery
  }
}
