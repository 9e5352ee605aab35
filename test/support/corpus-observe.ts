// Owns the verdict that an item got, judged from outside: from what the client saw and from the database's
// own statement log. It trusts nothing that the gateway says about itself.

import type { CorpusItem, Verdict } from './corpus.js'
import { stepsOf } from './corpus.js'
import { errorsOf, outcomeOf, type Transcript } from './corpus-driver.js'
import { RawPostgres, type Reply, rowValues } from './raw-postgres.js'

/** SQLSTATE of a read that ran into its row limit. */
const LIMITED = '53400'

export interface Evidence {
  readonly item: CorpusItem
  readonly seen: Transcript
  /** The database's log of statements since the item began. */
  readonly statementLog: string
  /** Runs the item straight against a fresh database. */
  readonly direct: () => Promise<string>
}

/**
 * The verdict that was observed. `deny` means that a text of the item was answered by an error and never ran; an
 * error after it has run counts as `mask` only, because by then it had its effect.
 */
export async function observe(evidence: Evidence): Promise<Verdict> {
  const { item, seen, statementLog } = evidence
  if (seen.closedByServer) return 'reject'
  const codes = errorsOf(seen.replies).map((error) => error['C'])
  if (codes.includes(LIMITED)) return 'limited'
  if (codes.length > 0 && stopped(item, seen, statementLog)) {
    // It waited, and then ended in an error without having run: for an item that states so, that is a denial.
    return held(seen) && item.expect !== 'deny' ? 'approval' : 'deny'
  }
  return outcomeOf(seen.replies) === (await evidence.direct()) ? 'allow' : 'mask'
}

/** A notice named the request that waited for a second person. */
function held(seen: Transcript): boolean {
  return seen.replies.some(
    ({ type, body }) => type === 'N' && body.toString().includes('request req_'),
  )
}

/** A simple query is judged by its own replies; other messages are judged by the last text among them. */
function stopped(item: CorpusItem, seen: Transcript, log: string): boolean {
  if (seen.queries.length > 0) {
    return seen.queries.some(({ sql, replies }) => errorsOf(replies).length > 0 && !ran(sql, log))
  }
  const texts = stepsOf(item).flatMap((step) =>
    typeof step === 'object' && 'sql' in step && step.sql ? [step.sql] : [],
  )
  const last = texts.at(-1)
  return last === undefined || !ran(last, log)
}

/** PostgreSQL logs a statement as it stands, with a tab behind each of its line ends. */
function ran(sql: string, log: string): boolean {
  return log.includes(`: ${sql.trim().replaceAll('\n', '\n\t')}`)
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
