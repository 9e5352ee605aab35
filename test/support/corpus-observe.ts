// Owns the verdict that an item got, judged from outside: from what the client saw and from the database's
// own statement log. It trusts nothing that the gateway says about itself.

import type { CorpusItem, Verdict } from './corpus.js'
import { stepsOf } from './corpus.js'
import type { Seen } from './corpus-control.js'
import { errorsOf, outcomeOf, type Transcript } from './corpus-driver.js'
import { RawPostgres, type Reply, rowValues } from './raw-postgres.js'

/** SQLSTATE of a read that ran into its row limit. */
const LIMITED = '53400'
/** SQLSTATE of a session that is ended from outside. */
const ENDED = '57P01'

export interface Evidence {
  readonly item: CorpusItem
  readonly seen: Transcript
  /** The database's log of statements since the item began. */
  readonly statementLog: string
  /** What was held of it, and what was answered. */
  readonly holds: Seen
  /** Runs the item straight against a fresh database. */
  readonly direct: () => Promise<string>
}

/**
 * The verdict that was observed. `deny` means that a text of the item was answered by an error and never ran; an
 * error after it has run counts as `mask` only, because by then it had its effect. `approval` means that it waited,
 * that nothing of it had reached the database by then, and that it ran once after a yes and never without.
 */
export async function observe(evidence: Evidence): Promise<Verdict> {
  const { item, seen, statementLog, holds } = evidence
  const codes = errorsOf(seen.replies).map((error) => error['C'])
  // Access was taken away while it waited: the session ends with a clear error, and what waited never ran.
  if (holds.revoked && codes.at(-1) === ENDED && runsOf(item, statementLog) === 0) return 'deny'
  if (seen.closedByServer) return 'reject'
  if (codes.includes(LIMITED)) return 'limited'
  if (holds.approved) {
    const before = runsOf(item, holds.logBefore)
    return before === 0 && runsOf(item, statementLog) <= 1 ? 'approval' : 'allow'
  }
  if (codes.length > 0 && stopped(item, seen, statementLog))
    return holds.requests.length > 0 ? 'approval' : 'deny'
  return outcomeOf(seen.replies) === (await evidence.direct()) ? 'allow' : 'mask'
}

/** How often the item's last text ran. */
function runsOf(item: CorpusItem, log: string): number {
  const last = textsOf(item).at(-1)
  return last === undefined ? 0 : times(last, log)
}

function textsOf(item: CorpusItem): string[] {
  return stepsOf(item).flatMap((step) => {
    if (typeof step === 'string') return [step]
    return 'sql' in step && step.sql ? [step.sql] : []
  })
}

/** A simple query is judged by its own replies; other messages are judged by the last text among them. */
function stopped(item: CorpusItem, seen: Transcript, log: string): boolean {
  if (seen.queries.length > 0) {
    // The same text may have run at another time. One that was turned away by a transaction that had failed tells nothing.
    return seen.queries.some(
      (one) => errorsOf(one.replies).some(({ C }) => C !== '25P02') && !ran(one.sql, one.log),
    )
  }
  const last = textsOf(item).at(-1)
  return last === undefined || !ran(last, log)
}

/** PostgreSQL logs a statement as it stands, with a tab behind each of its line ends. */
function logged(sql: string): string {
  return `: ${sql.trim().replaceAll('\n', '\n\t')}`
}

function times(sql: string, log: string): number {
  return log.split(logged(sql)).length - 1
}

function ran(sql: string, log: string): boolean {
  return times(sql, log) > 0
}

/** Leaves whatever the item left open, then asks for 1. True when the answer is exactly that. */
export async function canary(connection: RawPostgres): Promise<boolean> {
  const from = connection.replies.length
  connection.step({ m: 'S' })
  await connection.waitFor('Z', from)
  if (connection.replies.at(-1)?.body.toString('latin1') !== 'I') await connection.query('ROLLBACK')
  return isOne(await connection.query('SELECT 1'))
}

/** True for the whole answer to `SELECT 1` and nothing beside it. */
export function isOne(replies: readonly Reply[]): boolean {
  const row = replies.find((reply) => reply.type === 'D')
  return (
    replies.map((reply) => reply.type).join('') === 'TDCZ' &&
    row !== undefined &&
    rowValues(row.body)[0] === '1'
  )
}

/**
 * The item with two clients: the first leaves in the middle of a 100 MB result, the second comes at once.
 * `allow` when the second gets its own answer and nothing of the first's.
 */
export async function twoClients(
  login: Parameters<typeof RawPostgres.login>[0],
): Promise<{ verdict: Verdict; connection: RawPostgres }> {
  const first = await RawPostgres.login(login)
  const from = first.replies.length
  first.step({ m: 'Q', sql: `SELECT repeat('x', 1000000) FROM generate_series(1, 100)` })
  const refused =
    (await first.waitFor('DE', from)) !== 'found' || first.replies.at(-1)?.type === 'E'
  first.end()
  const second = await RawPostgres.login(login)
  const own = isOne(await second.query('SELECT 1'))
  if (refused) return { verdict: 'deny', connection: second }
  return { verdict: own ? 'allow' : 'mask', connection: second }
}
