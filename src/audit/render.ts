// Owns how a record looks in a terminal. Everything from a record goes through `neutralize`; nothing is executed;
// no colour but through the functions that are handed in. Members that are missing or of another type are left out:
// a record may come from a later version.

import { neutralize, neutralizeLines } from './neutralize.js'
import type { StoredRecord } from './records.js'
import { cut, renderTable } from './render-table.js'

/** What chalk offers; `noColor` for none. */
export interface Colors {
  dim(text: string): string
  bold(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

const same = (text: string): string => text
export const noColor: Colors = {
  dim: same,
  bold: same,
  red: same,
  green: same,
  yellow: same,
  cyan: same,
}

export interface RenderOptions {
  /** Columns of the terminal; lines are cut to it. At least 20. */
  readonly width: number
  readonly color?: Colors
  /** Time of the first record (ISO 8601): times are shown as an offset to it. */
  readonly startedAt?: string
  /** Rows of a result that are shown; 20 by default. */
  readonly maxRows?: number
}

interface Context {
  readonly width: number
  readonly color: Colors
  readonly maxRows: number
}

/** The lines of one record, without line ends, each at most `width` columns wide (colour codes not counted). */
export function renderRecord(record: StoredRecord, options: RenderOptions): readonly string[] {
  const context: Context = {
    width: Math.max(20, options.width),
    color: options.color ?? noColor,
    maxRows: options.maxRows ?? 20,
  }
  const time = timeOf(record, options.startedAt)
  const [first = '', ...rest] = bodyOf(record, {
    ...context,
    width: context.width - time.length - 1,
  })
  const indented = rest.map((line) => `  ${line}`)
  return [`${context.color.dim(time)} ${first}`, ...indented]
}

/** `+0:01.234` after the start, or the time of day. */
function timeOf(record: StoredRecord, startedAt: string | undefined): string {
  const at = Date.parse(record.at)
  const start = startedAt === undefined ? Number.NaN : Date.parse(startedAt)
  if (Number.isNaN(at)) return '?'
  if (Number.isNaN(start)) return new Date(at).toISOString().slice(11, 23)
  const ms = Math.max(0, at - start)
  const minutes = Math.floor(ms / 60_000)
  return `+${minutes}:${((ms % 60_000) / 1000).toFixed(3).padStart(6, '0')}`
}

function bodyOf(record: StoredRecord, context: Context): readonly string[] {
  switch (record.type) {
    case 'session.opened':
      return sessionOpened(record, context)
    case 'operation.judged':
      return judged(record, context)
    case 'operation.delivered':
      return delivered(record, context)
    case 'operation.ended':
      return [
        plain(
          `${named(record)} ended: ${text(record, 'outcome')} ${text(record, 'message')}`,
          context,
        ),
      ]
    case 'session.closed':
      return sessionClosed(record, context)
    default:
      return [other(record, context)]
  }
}

function sessionOpened(record: StoredRecord, { width, color }: Context): readonly string[] {
  const principal = member(record, 'principal')
  const grant = member(record, 'grant')
  const head = `session ${text(record, 'session')} · ${text(principal, 'name')} → ${text(record, 'target')} (${text(record, 'database')})`
  const roles = list(grant, 'roles').map(String).join(', ')
  const reason = text(grant, 'reason')
  const lines = [
    color.bold(shown(head, width)),
    shown(`roles ${roles} until ${text(grant, 'endsAt')}`, width),
  ]
  return reason === '' ? lines : [...lines, shown(`reason: ${reason}`, width)]
}

function judged(record: StoredRecord, { width, color }: Context): readonly string[] {
  const verdict = text(record, 'verdict')
  const paint = verdict === 'permit' ? color.green : verdict === 'hold' ? color.yellow : color.red
  const rule = text(record, 'rule')
  const names = list(record, 'operations').map(operationName).join('; ')
  const mark = { permit: 'allowed', deny: 'denied', hold: 'held' }[verdict] ?? neutralize(verdict)
  const lines = [
    `${paint(cut(mark, width))} ${shown(`${names} · ${rule}`, Math.max(1, width - mark.length - 1))}`,
    ...neutralizeLines(text(record, 'text')).map((line) => color.bold(cut(line, width))),
  ]
  const parameters = list(record, 'parameters').map((value) =>
    value === null ? 'NULL' : String(value),
  )
  if (parameters.length > 0)
    lines.push(color.dim(shown(`parameters: ${parameters.join(', ')}`, width)))
  const masks = member(record, 'obligations')['masks']
  if (typeof masks === 'number' && masks > 0)
    lines.push(color.yellow(shown(counted(masks, 'field masked', 'fields masked'), width)))
  const reason = text(record, 'reason')
  if (reason !== '') lines.push(paint(shown(reason, width)))
  if (record['keysUnknown'] === true) lines.push(color.dim(cut('keys unknown', width)))
  return [...lines, ...keyLines(record, width).map((line) => color.dim(line))]
}

function delivered(record: StoredRecord, { width, color, maxRows }: Context): readonly string[] {
  const error = member(record, 'error')
  const tag = text(record, 'tag')
  const count = `${counted(number(record, 'rowCount'), 'row', 'rows')}, ${counted(number(record, 'bytes'), 'byte', 'bytes')}`
  const masked = number(record, 'masked')
  const head = [tag, count, masked > 0 ? counted(masked, 'value masked', 'values masked') : '']
    .filter((part) => part !== '')
    .join(' · ')
  const lines = [color.cyan(shown(head, width))]
  if (text(error, 'sqlstate') !== '') {
    lines.push(
      color.red(shown(`error ${text(error, 'sqlstate')}: ${text(error, 'message')}`, width)),
    )
  }
  const rows = list(record, 'rows').filter(Array.isArray)
  const table = renderTable(list(record, 'columns').map(String), rows.slice(0, maxRows), width)
  const left = number(record, 'rowCount') - Math.min(rows.length, maxRows)
  if (table.length > 0 && left > 0)
    lines.push(...table, color.dim(cut(`… ${left} more rows`, width)))
  else lines.push(...table)
  return [...lines, ...keyLines(record, width).map((line) => color.dim(line))]
}

function sessionClosed(record: StoredRecord, { width, color }: Context): readonly string[] {
  const totals = member(record, 'totals')
  const counts = `${number(totals, 'operations')} operations, ${number(totals, 'denied')} denied, ${number(totals, 'rows')} rows`
  return [color.bold(shown(`session closed: ${text(record, 'reason')} · ${counts}`, width))]
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}

/** Any other record: its type, and its plain members. */
function other(record: StoredRecord, context: Context): string {
  const { seq: _seq, at: _at, type, ...body } = record
  const members = Object.entries(body).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return plain([type, ...members].join(' '), context)
}

function operationName(value: unknown): string {
  const operation = isObject(value) ? value : {}
  const unclassified = text(operation, 'unclassified')
  if (unclassified !== '') return `not understood: ${unclassified}`
  const collections = list(operation, 'collections').map((use) =>
    text(isObject(use) ? use : {}, 'collection'),
  )
  return [text(operation, 'name'), collections.join(', ')].filter((part) => part !== '').join(' ')
}

function keyLines(record: StoredRecord, width: number): readonly string[] {
  return Object.entries(member(record, 'keys')).map(([collection, keys]) =>
    shown(`keys in ${collection}: ${Array.isArray(keys) ? keys.join(', ') : '?'}`, width),
  )
}

function named(record: StoredRecord): string {
  return `${text(record, 'connection')} #${number(record, 'op')}`
}

function plain(line: string, { width, color }: Context): string {
  return color.dim(shown(line, width))
}

function shown(line: string, width: number): string {
  return cut(neutralize(line.trim()), width)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function member(
  object: Readonly<Record<string, unknown>>,
  key: string,
): Readonly<Record<string, unknown>> {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return isObject(value) ? value : {}
}

function text(object: Readonly<Record<string, unknown>>, key: string): string {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return typeof value === 'string' ? value : ''
}

function number(object: Readonly<Record<string, unknown>>, key: string): number {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return typeof value === 'number' ? value : 0
}

function list(object: Readonly<Record<string, unknown>>, key: string): readonly unknown[] {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return Array.isArray(value) ? value : []
}
