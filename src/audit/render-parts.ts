// Owns what a record says to people: which parts, in which order. Nothing here is safe to show yet: layout neutralises
// it. Members that are missing or of another type are left out: a record may come from a later version.

import type { StoredRecord } from './records.js'
import { cellText } from './render-table.js'
import type { Told } from './story.js'

/** What chalk offers. */
export interface Colors {
  dim(text: string): string
  bold(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

/** Text as it was recorded, and how it is to be laid out. */
export type Part =
  /** One paragraph; a mark is its first word, and then it alone is coloured. */
  | {
      readonly kind: 'line'
      readonly text: string
      readonly mark?: string
      readonly color?: keyof Colors
    }
  /** Text with lines of its own. */
  | { readonly kind: 'text'; readonly text: string; readonly color?: keyof Colors }
  | {
      readonly kind: 'table'
      readonly columns: readonly string[]
      readonly rows: readonly (readonly unknown[])[]
      readonly rowCount: number
    }

const MARKS = new Map([
  ['permit', 'allowed'],
  ['deny', 'denied'],
  ['hold', 'held'],
])

type Fields = Readonly<Record<string, unknown>>

/** The parts of a record; the first is a line. */
export function partsOf(told: Told): readonly Part[] {
  const { record } = told
  switch (record.type) {
    case 'session.opened':
      return sessionOpened(record)
    case 'operation.judged':
      return judged(record)
    case 'operation.delivered':
      return delivered(record)
    case 'operation.ended':
      return [dim(`${named(record)} ended: ${text(record, 'outcome')} ${text(record, 'message')}`)]
    case 'hold.opened':
      return holdOpened(told)
    case 'hold.answered':
      return holdAnswered(told)
    case 'session.closed':
      return [sessionClosed(record), ...messageOf(record)]
    default:
      return [other(record)]
  }
}

function sessionOpened(record: StoredRecord): readonly Part[] {
  const principal = member(record, 'principal')
  const grant = member(record, 'grant')
  const head = `session ${text(record, 'session')} · ${text(principal, 'name')} → ${text(record, 'target')} (${text(record, 'database')})`
  const roles = list(grant, 'roles').map(wordOf).join(', ')
  const reason = text(grant, 'reason')
  return [
    { kind: 'line', text: head, color: 'bold' },
    { kind: 'line', text: `roles ${roles} until ${text(grant, 'endsAt')}` },
    ...(reason === '' ? [] : [{ kind: 'line', text: `reason: ${reason}` } as const]),
  ]
}

function judged(record: StoredRecord): readonly Part[] {
  const verdict = text(record, 'verdict')
  const color = verdict === 'permit' ? 'green' : verdict === 'hold' ? 'yellow' : 'red'
  const mark = MARKS.get(verdict) ?? verdict
  const names = list(record, 'operations').map(operationName).join('; ')
  const statement = text(record, 'text')
  const parameters = list(record, 'parameters').map((value) =>
    typeof value === 'string' ? value : cellText(value),
  )
  const masks = member(record, 'obligations')['masks']
  const reason = text(record, 'reason')
  const approval = member(record, 'approval')
  return [
    { kind: 'line', mark, color, text: `${names} · ${text(record, 'rule')}` },
    ...(statement === '' ? [] : [{ kind: 'text', text: statement, color: 'bold' } as const]),
    ...(parameters.length > 0 ? [dim(`parameters: ${parameters.join(', ')}`)] : []),
    ...(text(approval, 'request') === '' ? [] : [approvalLine(approval)]),
    ...(typeof masks === 'number' && masks > 0
      ? [yellow(counted(masks, 'field masked', 'fields masked'))]
      : []),
    ...(reason === '' ? [] : [{ kind: 'line', text: reason, color } as const]),
    ...(record['keysUnknown'] === true ? [dim('keys unknown')] : []),
    ...keyLines(record),
  ]
}

function approvalLine(approval: Fields): Part {
  return {
    kind: 'line',
    text: `approved by ${people(approval, 'by', ' and ')} · request ${text(approval, 'request')}`,
    color: 'green',
  }
}

function holdOpened({ record, asker }: Told): readonly Part[] {
  const approvers = people(record, 'approvers', ' or ')
  const rules = list(record, 'rules').map(wordOf).join(', ')
  const parts = [`request ${text(record, 'request')}`, rules].filter((part) => part !== '')
  return [
    {
      kind: 'line',
      mark: 'waits',
      color: 'yellow',
      text: `${asker ?? 'the caller'} asks ${approvers} · ${parts.join(' · ')}`,
    },
    ...previewLine(text(record, 'preview')),
    dim(`until ${text(record, 'expiresAt')}`),
  ]
}

function holdAnswered({ record, asker, held }: Told): readonly Part[] {
  const state = text(record, 'state')
  const by = people(record, 'by', ' and ')
  const approved = state === 'approved' || state === 'consumed'
  const waited = held?.waitedMs === undefined ? '' : `after ${waitText(held.waitedMs)}`
  const words = [by === '' ? '' : `by ${by}`, waited].filter((part) => part !== '').join(' ')
  const asked = asker === undefined ? '' : `asked by ${asker}`
  const parts = [words, `request ${text(record, 'request')}`, asked].filter((part) => part !== '')
  return [
    { kind: 'line', mark: state, color: approved ? 'green' : 'red', text: parts.join(' · ') },
    ...messageOf(record),
    ...previewLine(held?.preview ?? ''),
  ]
}

function previewLine(preview: string): readonly Part[] {
  return preview === '' ? [] : [yellow(`would touch ${preview}`)]
}

/** `850 ms`, `12 s`, `2 min 31 s`, `1 h 5 min`. */
function waitText(ms: number): string {
  if (ms < 1000) return `${ms} ms`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

function delivered(record: StoredRecord): readonly Part[] {
  const error = member(record, 'error')
  const count = `${counted(number(record, 'rowCount'), 'row', 'rows')}, ${counted(number(record, 'bytes'), 'byte', 'bytes')}`
  const masked = number(record, 'masked')
  const head = [
    text(record, 'tag'),
    count,
    masked > 0 ? counted(masked, 'value masked', 'values masked') : '',
  ].filter((part) => part !== '')
  const sqlstate = text(error, 'sqlstate')
  return [
    { kind: 'line', text: head.join(' · '), color: 'cyan' },
    ...(sqlstate === ''
      ? []
      : [
          {
            kind: 'line',
            text: `error ${sqlstate}: ${text(error, 'message')}`,
            color: 'red',
          } as const,
        ]),
    {
      kind: 'table',
      columns: list(record, 'columns').map(wordOf),
      rows: list(record, 'rows').filter(Array.isArray),
      rowCount: number(record, 'rowCount'),
    },
    ...keyLines(record),
  ]
}

function sessionClosed(record: StoredRecord): Part {
  const totals = member(record, 'totals')
  const counts = `${counted(number(totals, 'operations'), 'operation', 'operations')}, ${number(totals, 'denied')} denied, ${counted(number(totals, 'rows'), 'row', 'rows')}`
  return {
    kind: 'line',
    text: `session closed: ${text(record, 'reason')} · ${counts}`,
    color: 'bold',
  }
}

function messageOf(record: StoredRecord): readonly Part[] {
  const message = text(record, 'message')
  return message === '' ? [] : [{ kind: 'line', text: message }]
}

/** Any other record: its type, and its plain members. */
function other(record: StoredRecord): Part {
  const { seq: _seq, at: _at, type, ...body } = record
  const members = Object.entries(body).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return dim([type, ...members].join(' '))
}

function operationName(value: unknown): string {
  const operation = isObject(value) ? value : {}
  const unclassified = text(operation, 'unclassified')
  if (unclassified !== '') return `not understood: ${unclassified}`
  // A DELETE with a condition uses its table twice: it reads what it deletes.
  const collections = new Set(
    list(operation, 'collections').map((use) => text(isObject(use) ? use : {}, 'collection')),
  )
  return [text(operation, 'name'), [...collections].join(', ')]
    .filter((part) => part !== '')
    .join(' ')
}

function keyLines(record: StoredRecord): readonly Part[] {
  return Object.entries(member(record, 'keys')).map(([collection, keys]) =>
    dim(`keys in ${collection}: ${Array.isArray(keys) ? keys.map(wordOf).join(', ') : '?'}`),
  )
}

function dim(words: string): Part {
  return { kind: 'line', text: words, color: 'dim' }
}

function yellow(words: string): Part {
  return { kind: 'line', text: words, color: 'yellow' }
}

function people(record: Fields, key: string, between: string): string {
  return list(record, key).map(wordOf).join(between)
}

function named(record: StoredRecord): string {
  return `${text(record, 'connection')} #${number(record, 'op')}`
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}

/** A text or number of a list. What is neither, a hostile recording may hold: its own `toString` is not called. */
function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function member(object: Fields, key: string): Fields {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return isObject(value) ? value : {}
}

function text(object: Fields, key: string): string {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return typeof value === 'string' ? value : ''
}

function number(object: Fields, key: string): number {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return typeof value === 'number' ? value : 0
}

function list(object: Fields, key: string): readonly unknown[] {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return Array.isArray(value) ? value : []
}
