// Owns how sessions, and who wrote or deleted what, look to people.

import type { SessionRow } from '../core/api.js'
import type { FoundKey, IndexStanding, TouchRow } from '../core/api-sessions.js'
import { type Output, visible } from './output.js'
import { momentText, tableText } from './people.js'

/** A table of sessions. */
export function sessionsText(sessions: readonly SessionRow[]): Promise<string> {
  const rows = sessions.map((session) => [
    session.id,
    momentText(session.started_at),
    session.principal.name,
    session.target,
    session.state,
    // Counted when it ends.
    ...[session.operations, session.denied, session.rows].map((count) =>
      session.state === 'open' ? '-' : String(count),
    ),
  ])
  const head = ['SESSION', 'STARTED', 'WHO', 'TARGET', 'STATE', 'OPERATIONS', 'DENIED', 'ROWS']
  return tableText(head, rows)
}

/** Says what the answer does not know of. */
export function warnOfGaps(output: Output, { behind, unread, some }: IndexStanding): void {
  if (behind > 0)
    output.warn('recordings are still being read: what ended a moment ago may be missing')
  if (unread === 0) return
  const named = some.map((one) => `${one.session} (${one.state})`).join(', ')
  output.warn(`${unread} recordings are not in this answer: ${named}`)
}

/** Who wrote or deleted a key, and what may have. */
export async function keyText(
  output: Output,
  asked: { readonly collection: string; readonly key: string },
  { named, unnamed }: FoundKey,
): Promise<string> {
  const what = `key ${visible(asked.key)} of ${visible(asked.collection)}`
  const lines = [
    named.found.length === 0
      ? `no operation that is indexed names ${what}`
      : await touchesText(named.found),
    ...(named.more ? ['(there are older ones: --until, or a larger --limit)'] : []),
  ]
  if (unnamed.found.length === 0) return lines.join('\n')
  lines.push(
    '',
    output.dataColour.bold(`not named: these may have touched ${what}, their keys are not known`),
    await touchesText(unnamed.found, true),
    ...(unnamed.more ? ['(there are older ones: --until, or a larger --limit)'] : []),
  )
  return lines.join('\n')
}

function touchesText(found: readonly TouchRow[], predicate = false): Promise<string> {
  const rows = found.map((touch) => [
    momentText(touch.at),
    touch.principal.name,
    touch.target,
    touch.operation,
    touch.outcome.replace('_', ' '),
    touch.rows === undefined ? '-' : String(touch.rows),
    touch.session,
    String(touch.record),
    approvalText(touch),
    ...(predicate ? [oneLine(touch.predicate ?? '(not recorded)')] : []),
  ])
  const head = ['WHEN', 'WHO', 'TARGET', 'WHAT', 'OUTCOME', 'ROWS', 'SESSION', 'RECORD', 'APPROVAL']
  return tableText(predicate ? [...head, 'STATEMENT'] : head, rows)
}

function approvalText({ approval }: TouchRow): string {
  if (approval === undefined) return '-'
  const by = approval.by.map((one) => one.name).join(', ')
  return by === '' ? approval.request : `${approval.request} by ${by}`
}

function oneLine(statement: string): string {
  const line = statement.replace(/\s+/g, ' ').trim()
  return line.length > 100 ? `${line.slice(0, 99)}…` : line
}
