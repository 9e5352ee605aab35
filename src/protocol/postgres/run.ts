// Owns one judged operation while it runs: its rows through the masks, its counts, and what is recorded of
// it before the client is given anything. Must never hand out a row that is not in a delivery.

import type { Delivery, RecordedValue } from '../../core/adapter.js'
import type { ByteLimit, Obligations, RowLimit } from '../../core/decision.js'
import type { MaskerFactory } from '../../core/masker.js'
import type { Operation } from '../../core/operation.js'
import { type ColumnPlan, planColumns, type ResultColumn } from './columns.js'
import { type CopyRows, copyRows, KEY_BYTES } from './copy-rows.js'
import type { Catalogue, Classification } from './statement.js'
import { Tally } from './tally.js'
import { OID, recordedValue, valueText, wholeValue, withoutVectors } from './values.js'
import { BodyReader, violation } from './wire.js'

/** Rows that one delivery carries at most. */
export const DELIVERY_ROWS = 500
/** Keys that one delivery carries at most, about: whoever records them keeps no more by name. */
export const DELIVERY_KEYS = 1000
/** Bytes of recorded rows that one delivery carries at most, about. */
export const DELIVERY_BYTES = 4 * 1024 * 1024

/** Rows of a read that is limited by bytes which are asked for before the length of any is known. */
const FIRST_PART = 64
/** Rows that are asked for at once, however short those before them were. */
const LARGEST_PART = 10_000

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
  /** The row past a limit has come. */
  exceeded: 'rows' | 'bytes' | undefined
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

  get byteLimit(): ByteLimit | undefined {
    return this.obligations.byteLimit
  }

  /** It may have to be ended before its last row. */
  get limited(): boolean {
    return this.limit !== undefined || this.byteLimit !== undefined
  }

  /**
   * The `max` of an Execute that proves when a limit is passed: one row more than may leave, or about as many as the
   * limit's bytes have room for; undefined where none is in reach. `max`: what the client asks for, 0 for all.
   */
  most(max: number): number | undefined {
    const rows = this.limit && Math.max(1, this.limit.rows - this.rowCount + 1)
    const most = Math.min(rows ?? Number.POSITIVE_INFINITY, this.#part())
    if (most > MAX_ROWS) return undefined
    return max === 0 ? most : Math.min(max, most)
  }

  /** Rows that are asked for at once: what comes past the limit's bytes is thrown away. */
  #part(): number {
    if (this.byteLimit === undefined) return Number.POSITIVE_INFINITY
    const { given, bytes } = this.#tally
    if (given === 0 || bytes === 0) return FIRST_PART
    const room = Math.ceil((this.byteLimit.bytes - bytes) / (bytes / given)) + 1
    return Math.min(LARGEST_PART, Math.max(FIRST_PART, room))
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
    this.#announce = columns.map((column) => column.name)
  }

  /**
   * One DataRow → what the client is given; undefined where it would go past a limit's bytes. Throws a violation when it
   * does not fit its description.
   */
  row(bytes: Buffer): Buffer | undefined {
    const plan = this.#plan
    if (plan === undefined) throw violation('the database sent a row without its description')
    // Of an operation that is over nothing would be recorded.
    if (this.finished) throw violation('the database sent a row of an operation that is over')
    const reader = new BodyReader(bytes)
    if (reader.count() !== plan.length)
      throw violation('the database sent a row with other columns than described')
    const values: (Buffer | null)[] = []
    let masked = 0
    let same = true
    for (const { change } of plan) {
      const value = reader.value()
      const result = value === null ? undefined : change?.(value)
      values.push(result === undefined ? value : result.value)
      masked += result?.masked ?? 0
      same &&= result === undefined || result.value === value
    }
    reader.done()
    const given = same ? bytes : rowMessage(values)
    if (this.byteLimit !== undefined && this.#tally.bytes + given.length > this.byteLimit.bytes) {
      this.exceeded = 'bytes'
      return undefined
    }
    this.#remember(values, plan)
    this.#batchMasked += masked
    this.#tally.given += 1
    this.#tally.bytes += given.length
    if (this.#promised > 0) {
      this.#promised -= 1
      this.#tally.promised -= 1
    }
    this.#batchRows += 1
    this.#batchBytes += given.length
    return given
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

/** DataRow ("Message Formats"), written once. */
function rowMessage(values: readonly (Buffer | null)[]): Buffer {
  let size = 6 + 4 * values.length
  for (const value of values) size += value?.length ?? 0
  const row = Buffer.allocUnsafe(1 + size)
  row[0] = 0x44
  row.writeUInt32BE(size, 1)
  row.writeUInt16BE(values.length, 5)
  let at = 7
  for (const value of values) {
    at = row.writeInt32BE(value?.length ?? -1, at)
    if (value !== null) at += value.copy(row, at)
  }
  return row
}
