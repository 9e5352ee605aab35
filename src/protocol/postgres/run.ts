// Owns one judged operation while it runs: its rows through the masks, its counts, and what is recorded of
// it before the client is given anything. Must never hand out a row that is not in a delivery.

import type { Delivery, RecordedValue } from '../../core/adapter.js'
import type { Obligations, RowLimit } from '../../core/decision.js'
import type { MaskerFactory } from '../../core/masker.js'
import type { Operation } from '../../core/operation.js'
import { type ColumnPlan, planColumns, type ResultColumn } from './columns.js'
import { type CopyRows, copyRows, KEY_BYTES } from './copy-rows.js'
import type { Catalogue, Classification } from './statement.js'
import { Tally } from './tally.js'
import { OID, recordedValue, valueText, wholeValue, withoutVectors } from './values.js'
import { BodyReader, i16, i32, message, violation } from './wire.js'

/** Rows that one delivery carries at most. */
export const DELIVERY_ROWS = 500
/** Keys that one delivery carries at most, about: whoever records them keeps no more by name. */
export const DELIVERY_KEYS = 1000
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
  #upBytes = 0
  /** Rows of its portal; it may have given some before this run. */
  readonly #tally: Tally
  /** Rows that may come of it, asked when it is opened. */
  readonly #promise: () => number
  /** Rows that the tally still counts for it although they have not come. */
  #promised = 0
  readonly #upload: CopyRows | undefined
  /** What it was judged as. */
  readonly found: Classification
  #keys: string[] = []
  #copiesText = false
  /** The row after the limit has come. */
  exceeded = false
  finished = false

  constructor(
    id: { readonly request: number; readonly index: number },
    operation: Operation,
    obligations: Obligations,
    masker: MaskerFactory,
    catalogue: Catalogue,
    found: Classification,
    counted: { readonly tally: Tally; readonly promise: () => number } = {
      tally: new Tally(),
      promise: () => 0,
    },
  ) {
    this.#tally = counted.tally
    this.#promise = counted.promise
    this.request = id.request
    this.index = id.index
    this.operation = operation
    this.obligations = obligations
    this.#masker = masker
    this.#catalogue = catalogue
    this.found = found
    this.#upload = found.copyIn === undefined ? undefined : copyRows(found.copyIn)
    this.#kept = obligations.record === 'full' ? wholeValue : recordedValue
  }

  /** Its rows may come from now on. */
  open(): void {
    this.#promised = this.#promise()
    this.#tally.promised += this.#promised
  }

  /** Rows given to the client so far, over all runs of the portal. */
  get rowCount(): number {
    return this.#tally.given
  }

  get limit(): RowLimit | undefined {
    return this.obligations.rowLimit
  }

  /** The `max` of an Execute that proves when the limit is passed: one row more than may leave; undefined where none is in reach. */
  most(max: number): number | undefined {
    if (this.limit === undefined) return undefined
    const most = Math.max(1, this.limit.rows - this.rowCount + 1)
    if (most > MAX_ROWS) return undefined
    return max === 0 ? most : Math.min(max, most)
  }

  get masks(): boolean {
    return this.obligations.masks.length > 0
  }

  /** True once a batch is worth a delivery of its own. */
  get full(): boolean {
    return (
      this.#batchRows >= DELIVERY_ROWS ||
      this.#batchBytes >= DELIVERY_BYTES ||
      this.#keys.length >= DELIVERY_KEYS
    )
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
    // Of an operation that is over nothing would be recorded.
    if (this.finished) throw violation('the database sent a row of an operation that is over')
    const reader = new BodyReader(bytes)
    if (reader.count() !== plan.length)
      throw violation('the database sent a row with other columns than described')
    const given = this.#changes ? this.#changed(reader, plan) : this.#plain(reader, plan)
    this.#tally.given += 1
    if (this.#promised > 0) {
      this.#promised -= 1
      this.#tally.promised -= 1
    }
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
    this.#nameReturned(values, plan)
    if (this.obligations.record === 'metadata') return
    const kept = this.#kept
    this.#rows.push(
      plan.map(({ column, vector, madeOfVectors }, index) => {
        const shown = madeOfVectors === true ? withoutVectors : undefined
        return kept(column.type, vector, column.format, values[index] ?? null, shown)
      }),
    )
  }

  #nameReturned(values: readonly (Buffer | null)[], plan: readonly ColumnPlan[]): void {
    const at = this.found.returnedKey?.at ?? -1
    const [value, column] = [values[at] ?? null, plan[at]]
    // A mask names nothing.
    if (value === null || column === undefined || column.change !== undefined) return
    const key = valueText(column.column.type, column.column.format, value)
    if (key !== undefined && value.length <= KEY_BYTES) this.#keys.push(key)
  }

  /** CopyOutResponse: whether text or binary will come. */
  copyBegins(bytes: Buffer): void {
    this.#copiesText = new BodyReader(bytes).byte() === 0
  }

  /** One CopyData of COPY … TO STDOUT, as it is given. */
  copied(bytes: Buffer): void {
    this.#announce ??= this.rowCount === 0 ? COPY_COLUMN : undefined
    this.#tally.given += 1
    this.#batchRows += 1
    this.#batchBytes += bytes.length
    if (this.obligations.record === 'metadata') return
    // Of what is binary nothing is read: its embeddings may happen to be UTF-8.
    const type = this.#copiesText ? OID.text : OID.bytea
    const format = this.#copiesText ? 0 : 1
    this.#rows.push([this.#kept(type, false, format, bytes.subarray(5), withoutVectors)])
  }

  /** One CopyData of COPY … FROM STDIN: rows are counted for the last delivery, of their values only keys are kept. */
  uploaded(bytes: Buffer): void {
    this.#upBytes += bytes.length - 5
    this.#upload?.push(bytes, 5)
    this.#named(this.#upload?.takeKeys() ?? [])
  }

  /** CopyDone. */
  uploadEnds(): void {
    this.#upload?.end()
    this.#named(this.#upload?.takeKeys() ?? [])
  }

  #named(keys: readonly string[]): void {
    for (const key of keys) this.#keys.push(key)
  }

  /** What has come since the last delivery, or undefined where nothing has. */
  batch(): Delivery | undefined {
    const keys = this.#keys.length >= DELIVERY_KEYS
    return this.#batchRows === 0 && this.#batchBytes === 0 && !keys
      ? undefined
      : this.#delivery({ done: false })
  }

  /** The last delivery, with the database's tag or error. Undefined when it was given before. */
  finish(end: Pick<Delivery, 'tag' | 'error' | 'abandoned'>): Delivery | undefined {
    if (this.finished) return undefined
    this.finished = true
    this.#tally.promised -= this.#promised
    this.#batchRows += this.#upload?.rows ?? 0
    this.#batchBytes += this.#upBytes
    return this.#delivery({ ...end, done: true })
  }

  #keysOf(): NonNullable<Delivery['keys']> {
    const { copyIn, returnedKey } = this.found
    const collection = copyIn?.key?.collection ?? returnedKey?.collection
    return collection === undefined ? {} : { [collection]: this.#keys }
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
      ...(this.#keys.length === 0 ? {} : { keys: this.#keysOf() }),
      ...end,
    }
    this.#keys = []
    this.#announce = undefined
    this.#rows = []
    this.#batchRows = 0
    this.#batchBytes = 0
    this.#batchMasked = 0
    return delivery
  }
}
