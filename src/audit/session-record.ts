// Owns reading the members of one record that says what was judged or delivered. Recordings may be of a later version,
// or of a key holder who lies: what has not the form that it should have is left out.

import type { StoredRecord } from './records.js'

/** A collection that a request writes. `expected`: how many rows at most, if they are all named by keys. */
export interface Written {
  readonly collection: string
  readonly action: string
  readonly expected: number | undefined
}

export interface Judged {
  readonly connection: string
  readonly op: string
  readonly verdict: string
  readonly text: string | undefined
  readonly parameters: readonly unknown[]
  /** How many operations the request holds. */
  readonly operations: number
  readonly uses: readonly { readonly collection: string; readonly action: string }[]
  readonly writes: readonly Written[]
  readonly keys: Readonly<Record<string, readonly string[]>>
  /** The recording says that there are keys which it does not name. */
  readonly keysUnknown: boolean
  readonly request: string | undefined
}

/** Of an operation that was not understood. */
export const UNKNOWN_OPERATION = 'unknown'

/** Any object but an array. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The text, or none. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** What a record `operation.judged` says. */
export function judgedOf(record: StoredRecord): Judged {
  const operations = arrayOf(record['operations']).filter(isObject)
  const approval = record['approval']
  const said = record['text']
  return {
    connection: text(record['connection']),
    op: String(record['op']),
    verdict: text(record['verdict']),
    text: typeof said === 'string' ? said : undefined,
    parameters: arrayOf(record['parameters']),
    operations: operations.length,
    uses: operations.flatMap(usesOf),
    writes: writesOf(operations),
    keys: keysOf(record['keys']),
    keysUnknown: record['keysUnknown'] === true,
    request: isObject(approval) ? text(approval['request']) || undefined : undefined,
  }
}

/** Collection → keys. Also a collection's keys told apart as `written` and `deleted`. */
export function keysOf(value: unknown): Readonly<Record<string, readonly string[]>> {
  if (!isObject(value)) return {}
  const found = new Map<string, readonly string[]>()
  for (const [collection, keys] of Object.entries(value)) {
    const lists = isObject(keys) ? [keys['written'], keys['deleted'], keys['keys']] : [keys]
    const named = lists.flatMap(arrayOf).filter((key) => typeof key === 'string')
    if (named.length > 0) found.set(collection, named)
  }
  return Object.fromEntries(found)
}

/** How many rows a database's completion counts: `DELETE 3`, `INSERT 0 1`. */
export function rowsOf(tag: string): number | undefined {
  const match = /^(?:INSERT \d+|UPDATE|DELETE|MERGE|COPY) (\d{1,15})$/.exec(tag)
  return match === null ? undefined : Number(match[1])
}

function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function usesOf(
  operation: Readonly<Record<string, unknown>>,
): { readonly collection: string; readonly action: string }[] {
  if (!('name' in operation)) return [{ collection: '', action: UNKNOWN_OPERATION }]
  const collections = arrayOf(operation['collections']).filter(isObject)
  if (collections.length === 0) return [{ collection: '', action: text(operation['name']) }]
  return collections.map((use) => ({
    collection: text(use['collection']),
    action: text(use['action']),
  }))
}

/** What the operations of one request write, each collection and action once. */
function writesOf(operations: readonly Readonly<Record<string, unknown>>[]): Written[] {
  const found = new Map<string, Written>()
  for (const operation of operations) {
    for (const use of arrayOf(operation['collections']).filter(isObject)) {
      if (use['access'] !== 'write' && use['access'] !== 'admin') continue
      const collection = text(use['collection'])
      const action = text(use['action'])
      const name = JSON.stringify([collection, action])
      const before = found.get(name)
      const expected = expectedOf(use['effect'])
      const sum =
        before === undefined || expected === undefined || before.expected === undefined
          ? expected
          : before.expected + expected
      const isOpen = before !== undefined && before.expected === undefined
      found.set(name, { collection, action, expected: isOpen ? undefined : sum })
    }
  }
  return [...found.values()]
}

function expectedOf(effect: unknown): number | undefined {
  if (!isObject(effect)) return undefined
  if (effect['kind'] === 'none') return 0
  const counted = effect['kind'] === 'ids' || effect['kind'] === 'rows'
  return counted && typeof effect['count'] === 'number' ? effect['count'] : undefined
}
