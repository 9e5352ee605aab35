// Owns what a record means in the light of those before it: who asked, and how long a held operation waited. It holds
// little, however long a recording is.

import type { StoredRecord } from './records.js'

/** A record, and what only the ones before it know. */
export interface Told {
  readonly record: StoredRecord
  /** Name of the person or workload whose session this is. */
  readonly asker?: string
  /** What a held operation that is now answered would touch, and how long it waited. */
  readonly held?: { readonly preview: string; readonly waitedMs?: number }
}

/** Requests that wait at once in one session are few; a hostile recording must not fill the memory. */
const MOST_OPEN = 1000

/** Tells records in order, from the first. */
export async function* tell(records: AsyncIterable<StoredRecord>): AsyncGenerator<Told> {
  const open = new Map<string, { readonly preview: string; readonly at: number }>()
  let asker: string | undefined
  for await (const record of records) {
    if (record.type === 'session.opened') asker = nameOf(record['principal'])
    const request = textOf(record['request'])
    const held = record.type === 'hold.answered' ? open.get(request) : undefined
    if (record.type === 'hold.opened') {
      const [oldest] = open.size >= MOST_OPEN ? open.keys() : []
      if (oldest !== undefined) open.delete(oldest)
      open.set(request, { preview: textOf(record['preview']), at: Date.parse(record.at) })
    } else if (held !== undefined) open.delete(request)
    yield {
      record,
      ...(asker === undefined ? {} : { asker }),
      ...(held === undefined
        ? {}
        : { held: { preview: held.preview, ...waitOf(Date.parse(record.at) - held.at) } }),
    }
  }
}

/** The wall clock may step back: then nobody knows how long it was. */
function waitOf(ms: number): { readonly waitedMs?: number } {
  return ms >= 0 ? { waitedMs: ms } : {}
}

function nameOf(principal: unknown): string | undefined {
  const found =
    typeof principal === 'object' && principal !== null && 'name' in principal
      ? principal.name
      : undefined
  return typeof found === 'string' && found !== '' ? found : undefined
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
