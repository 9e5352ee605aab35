// Owns what happens to each column of a result: the lineage check of RowDescription against the judged
// operation, and the plan by which a value is passed, masked, rounded or dropped. Fails closed.

import type { FieldMask, Obligations, ScoreTransform } from '../../core/decision.js'
import { VgateError } from '../../core/errors.js'
import type { FieldMasker, MaskerFactory, ValueKind } from '../../core/masker.js'
import { CATALOG, type Operation, type Output } from '../../core/operation.js'
import type { Catalogue } from './statement.js'
import { isTextual, OID, valueText } from './values.js'
import { BodyReader, violation } from './wire.js'

/** One column as RowDescription names it. */
export interface ResultColumn {
  readonly name: string
  readonly table: number
  readonly attribute: number
  readonly type: number
  readonly format: number
}

/** Where the value stays as it is, it is the same buffer. */
interface Changed {
  readonly value: Buffer | null
  readonly masked: number
}

/** What the client gets in place of a value. */
export interface ColumnPlan {
  readonly column: ResultColumn
  readonly vector: boolean
  /** It is not an embedding, but may be made of some: `embedding::text`, an array of them, the line of a plan. */
  readonly madeOfVectors?: true
  /** NULL is changed as well. */
  readonly hidesNull?: true
  /** Absent: the value passes. */
  readonly change?: (value: Buffer) => Changed
}

/** Reads RowDescription. Throws a violation when it is malformed. */
export function readRowDescription(bytes: Buffer): ResultColumn[] {
  const reader = new BodyReader(bytes)
  const columns = Array.from({ length: reader.count() }, () => {
    const name = reader.cstring()
    const table = reader.uint32()
    const attribute = reader.int16()
    const type = reader.uint32()
    reader.int16()
    reader.int32()
    const format = reader.int16()
    if (format !== 0 && format !== 1) throw violation('the database sent an unknown format code')
    return { name, table, attribute, type, format }
  })
  reader.done()
  return columns
}

const unsure = (why: string): VgateError =>
  new VgateError('VGATE_DENIED', `the result does not have the columns that were judged: ${why}`, {
    hint: 'the schema may have changed meanwhile; connect again and repeat it',
  })

// OIDs below this belong to objects of the catalogue itself (FirstNormalObjectId).
const FIRST_NORMAL_OID = 16384

function checkOrigin(
  column: ResultColumn,
  output: Output,
  catalogue: Catalogue,
  masked: boolean,
): void {
  if (column.table < FIRST_NORMAL_OID || column.attribute <= 0) return
  const origins = catalogue.originsOf(column.table, column.attribute)
  if (origins === undefined) {
    if (masked) throw unsure(`column ${column.name} comes from a relation that is not known`)
    return
  }
  for (const origin of origins) {
    if (origin.collection === CATALOG) continue
    const named = output.sources.some(
      (one) => one.collection === origin.collection && one.field === origin.field,
    )
    if (!named)
      throw unsure(`column ${column.name} comes from ${origin.collection}.${origin.field}`)
  }
}

/**
 * The masks of what is let out. Each use of a field has a mask of its own; where none is of this one, one of a member
 * (`meta.phone`) concerns whoever lets all of it (`meta`) out.
 */
function concerning(masks: readonly FieldMask[], output: Output): readonly FieldMask[] {
  const found = output.sources.flatMap(({ collection, field }) => {
    const near = masks.filter((mask) => mask.collection === collection)
    const same = near.filter((mask) => mask.field === field)
    return same.length > 0 ? same : near.filter((mask) => mask.field.startsWith(`${field}.`))
  })
  return [...new Set(found)]
}

function strictestScore(masks: readonly FieldMask[]): ScoreTransform {
  let strictest: ScoreTransform = 'exact'
  for (const { scores } of masks) {
    if (scores === 'hide') return 'hide'
    if (scores === 'exact') continue
    strictest = strictest === 'exact' ? scores : { round: Math.min(strictest.round, scores.round) }
  }
  return strictest
}

const HIDDEN = { value: null, masked: 1 } as const
const hidden = (): typeof HIDDEN => HIDDEN

/** To so many digits, on the scale on which asking with a longer vector gains nothing. */
function roundScore(
  column: ResultColumn,
  { norm = 1, complement }: Output,
  digits: number,
): ColumnPlan['change'] {
  const { type, format } = column
  const scaled = (value: number): number => (complement ? 1 - (1 - value) / norm : value / norm)
  const rounded = (given: number): number | undefined => {
    const value = scaled(given)
    if (!Number.isFinite(value) || Math.abs(value) >= 1e15) return undefined
    const result = Number(value.toFixed(digits))
    // Minus zero would tell on which side of zero it was.
    return result === 0 ? 0 : result
  }
  return (bytes) => {
    if (type !== OID.float8 && type !== OID.float4 && !(type === OID.numeric && format === 0))
      return hidden()
    const text = valueText(type, format, bytes)
    const value = rounded(Number(text === undefined || text === '' ? Number.NaN : text))
    if (value === undefined) return hidden()
    if (format === 0) return { value: Buffer.from(String(value)), masked: 1 }
    const out = Buffer.alloc(bytes.length)
    if (type === OID.float8) out.writeDoubleBE(value)
    else out.writeFloatBE(value)
    return { value: out, masked: 1 }
  }
}

function scoreChange(
  column: ResultColumn,
  output: Output,
  masks: readonly FieldMask[],
): ColumnPlan['change'] {
  const transform = strictestScore(masks)
  if (transform === 'exact') return undefined
  const { scoreOf = 'other', norm } = output
  // An inner product grows with the query: with a norm that is not known, rounding protects nothing.
  const grows = scoreOf === 'inner' && (norm === undefined || norm === 0)
  return transform === 'hide' || scoreOf === 'other' || grows
    ? hidden
    : roundScore(column, output, transform.round)
}

function jsonSafe(type: number, text: string): string {
  if (type !== OID.json && type !== OID.jsonb) return text
  try {
    JSON.parse(text)
    return text
  } catch {
    return JSON.stringify(text)
  }
}

function valueChange(column: ResultColumn, masker: FieldMasker): ColumnPlan['change'] {
  if (masker.alwaysNull) return hidden
  const { type, format } = column
  if (masker.constant !== undefined && type !== OID.json && type !== OID.jsonb) {
    const same = { value: Buffer.from(masker.constant), masked: 1 }
    return () => same
  }
  return (bytes) => {
    const text = valueText(type, format, bytes)
    if (text === undefined) return hidden()
    const { value, masked } = masker.mask(text)
    if (value === null) return { value: null, masked }
    if (value === text) return { value: bytes, masked }
    const body = Buffer.from(jsonSafe(type, value))
    return {
      value: type === OID.jsonb && format === 1 ? Buffer.concat([Buffer.from([1]), body]) : body,
      masked,
    }
  }
}

const HIDES = { value: 'redact', vector: 'null', detect: 'redact' } as const

/** What stands in place of every value of an expression, of NULL too: it tells nothing of what it is made of. */
function wholeChange(
  column: ResultColumn,
  masks: readonly FieldMask[],
  masker: MaskerFactory,
  kind: ValueKind,
): NonNullable<ColumnPlan['change']> {
  const all = masks.map(
    ({ path: _, transforms, ...mask }): FieldMask => ({
      ...mask,
      transforms: transforms.map((one) => ({
        kind: 'value',
        with: 'with' in one && one.with === 'null' ? one.with : HIDES[one.kind],
      })),
    }),
  )
  const json = kind === 'json' ? '""' : ''
  const empty = column.type === OID.jsonb && column.format === 1 ? `\u0001${json}` : json
  const change = valueChange(column, masker.forField(all, kind))
  const given = change?.(Buffer.from(empty)).value ?? null
  return () => ({ value: given, masked: 1 })
}

function kindOf(type: number, catalogue: Catalogue): ValueKind {
  if (catalogue.isVectorType(type)) return 'vector'
  if (type === OID.json || type === OID.jsonb) return 'json'
  return isTextual(type) ? 'text' : 'other'
}

function planColumn(
  column: ResultColumn,
  output: Output,
  operation: Operation,
  obligations: Obligations,
  masker: MaskerFactory,
  catalogue: Catalogue,
): ColumnPlan {
  checkOrigin(column, output, catalogue, obligations.masks.length > 0)
  const vector = catalogue.isVectorType(column.type)
  const plan: ColumnPlan = {
    column,
    vector,
    ...(mayHoldVectors(output, operation) ? { madeOfVectors: true } : {}),
  }
  const masks = concerning(obligations.masks, output)
  if (masks.length === 0) return plan
  if (output.kind === 'derived') throw unsure(`column ${column.name} is made from masked fields`)
  if (output.kind === 'whole') {
    const kind = kindOf(column.type, catalogue)
    return { ...plan, hidesNull: true, change: wholeChange(column, masks, masker, kind) }
  }
  const change =
    output.kind === 'score'
      ? scoreChange(column, output, masks)
      : valueChange(column, masker.forField(masks, kindOf(column.type, catalogue)))
  return change === undefined ? plan : { ...plan, change }
}

function mayHoldVectors(output: Output, operation: Operation): boolean {
  if (output.sources.some((source) => source.vector)) return output.kind !== 'score'
  return output.kind === 'derived' && operation.fields.some((use) => use.vector)
}

/** True where nothing that was classified leaves, so that columns may come unannounced (SHOW, EXPLAIN). */
function announcesNothing(operation: Operation, columns: readonly ResultColumn[]): boolean {
  if (operation.returns.outputs.length > 0 || columns.some((column) => column.table !== 0))
    return false
  return !operation.fields.some(
    ({ how }) => how === 'output' || how === 'score' || how === 'whole' || how === 'derived',
  )
}

/** The plan of a result. Throws a VgateError where the columns are not those that were judged: the connection is cut. */
export function planColumns(
  columns: readonly ResultColumn[],
  operation: Operation,
  obligations: Obligations,
  masker: MaskerFactory,
  catalogue: Catalogue,
): ColumnPlan[] {
  const { outputs } = operation.returns
  if (outputs.length !== columns.length) {
    if (obligations.masks.length > 0 || !announcesNothing(operation, columns)) {
      throw unsure(`${columns.length} came where ${outputs.length} were expected`)
    }
    return columns.map((column) => ({ column, vector: catalogue.isVectorType(column.type) }))
  }
  return columns.map((column, index) => {
    const output = outputs[index]
    if (output === undefined) throw unsure('a column is missing')
    return planColumn(column, output, operation, obligations, masker, catalogue)
  })
}
