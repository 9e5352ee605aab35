// Owns the gateway's own connections to a target: at most two, with a deadline, never the caller's. What they load is
// shared by the sessions of that target for as long as each question allows.

import pg from 'pg'
import type { PreviewQuery, SideQuery } from '../core/adapter.js'
import type { PreviewCount } from '../core/approval.js'
import type { TargetSpec } from '../core/authority.js'
import { asVgateError, VgateError } from '../core/errors.js'
import type { Secret } from '../core/secret.js'
import { Answers, type LoadQuestion } from './answers.js'
import { tlsOptions } from './upstream.js'

export const SIDE_CONNECTIONS = 2
export const SIDE_QUERY_DEADLINE_MS = 5_000
export const SIDE_ROWS_MAX = 500_000
/** How long counting for a preview may take. */
export const PREVIEW_MS = 2_000
/** Sessions whose right to the credential is kept; the newest are enough. */
const LENDERS_MAX = 8

/** What a session may ask of its authority for as long as it lives. */
export type LeaseCredential = () => Promise<{
  readonly username: string
  readonly password: Secret
}>

/** Side queries of one target. */
export class SideQueries {
  readonly #target: TargetSpec
  readonly #pool: pg.Pool
  readonly #answers: Answers
  /** By session, the newest last. */
  readonly #lenders = new Map<string, LeaseCredential>()

  constructor(target: TargetSpec, username: string, now: () => number) {
    this.#target = target
    this.#answers = new Answers(now, (question, previous) => this.#load(question, previous))
    this.#pool = new pg.Pool({
      host: target.host,
      port: target.port,
      database: target.databaseName,
      user: username,
      password: () => this.#password(),
      ssl: target.tls.verify === 'full' ? tlsOptions(target) : false,
      max: SIDE_CONNECTIONS,
      idleTimeoutMillis: 10_000,
      allowExitOnIdle: true,
      connectionTimeoutMillis: SIDE_QUERY_DEADLINE_MS,
      query_timeout: SIDE_QUERY_DEADLINE_MS,
      application_name: 'vgate catalogue',
    })
    // An idle connection that the database drops is replaced at the next question.
    this.#pool.on('error', () => undefined)
  }

  /** What is in memory and young enough for the question; undefined: `load` it. */
  known(question: LoadQuestion): { readonly value: unknown } | undefined {
    return this.#answers.known(question)
  }

  /** Answers from memory while `maxAgeMs` allows; concurrent questions share one load. Rejects with VGATE_UPSTREAM_FAILED. */
  load(question: LoadQuestion): Promise<unknown> {
    return this.#answers.find(question)
  }

  /** New connections may log in with this session's credential while it lives. A session asks before each `load`. */
  lend(session: string, credential: LeaseCredential): void {
    this.#lenders.delete(session)
    this.#lenders.set(session, credential)
    const [oldest] = this.#lenders.keys()
    if (this.#lenders.size > LENDERS_MAX && oldest !== undefined) this.#lenders.delete(oldest)
  }

  /**
   * Counts what a statement would touch: read-only, 2 s for each of its two counts, on a connection of the gateway's own. Never rejects: what
   * cannot be counted says why.
   */
  async count(preview: PreviewQuery): Promise<PreviewCount> {
    if ('unknown' in preview) return preview
    const { collection } = preview
    let client: pg.PoolClient | undefined
    try {
      client = await this.#pool.connect()
      await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = ${PREVIEW_MS}`)
      const path = preview.searchPath.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ')
      await client.query('SELECT set_config($1, $2, true)', ['search_path', path])
      const rows = await counted(client, preview.count, preview.parameters)
      const of = await counted(client, preview.total, []).catch(() => undefined)
      await client.query('ROLLBACK')
      client.release()
      return { collection, rows, ...(of === undefined ? {} : { of }) }
    } catch (error) {
      client?.release(true)
      const slow = error instanceof Error && 'code' in error && error.code === '57014'
      return { collection, unknown: slow ? 'counting took too long' : 'it could not be counted' }
    }
  }

  /** Statements that change something, on one connection; what fails ends it. Rejects as `work` does. */
  async administer<T>(work: (query: SideQuery) => Promise<T>): Promise<T> {
    return await this.#run(work, (error) =>
      asVgateError(error, `cannot reach ${this.#target.name}`, 'VGATE_UPSTREAM_FAILED'),
    )
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  /** The connections outlive sessions: one that has ended has no credential any more, another may. */
  async #password(): Promise<string> {
    let refused: unknown
    for (const [session, credential] of [...this.#lenders].reverse()) {
      try {
        return (await credential()).password.reveal()
      } catch (error) {
        this.#lenders.delete(session)
        refused = error
      }
    }
    throw refused ?? new Error('no session lends its credential')
  }

  async #load(question: LoadQuestion, previous: unknown): Promise<unknown> {
    return await this.#run(
      (query) => question.load(query, previous),
      (error) =>
        new VgateError(
          'VGATE_UPSTREAM_FAILED',
          `cannot read the catalogue of ${this.#target.name}`,
          {
            cause: error,
            hint: 'check that the database is up and not blocked, and what the credential of the target may read',
          },
        ),
    )
  }

  async #run<T>(
    work: (query: SideQuery) => Promise<T>,
    failed: (error: unknown) => VgateError,
  ): Promise<T> {
    let client: pg.PoolClient | undefined
    try {
      client = await this.#pool.connect()
      const answer = await work(queryOn(client))
      client.release()
      return answer
    } catch (error) {
      // A connection whose query failed or timed out may still be busy: it is not used again.
      client?.release(true)
      throw failed(error)
    }
  }
}

async function counted(
  client: pg.PoolClient,
  text: string,
  values: readonly (string | null)[],
): Promise<number> {
  const result = await client.query<[string]>({ text, values: [...values], rowMode: 'array' })
  const rows = Number(result.rows[0]?.[0])
  if (!Number.isSafeInteger(rows)) throw new Error('a count that is no number')
  return rows
}

function queryOn(client: pg.PoolClient): SideQuery {
  return async (statement) => {
    const result = await client.query<(string | null)[]>({
      text: statement,
      rowMode: 'array',
      types: { getTypeParser: () => (value: string) => value },
    })
    if (result.rows.length > SIDE_ROWS_MAX)
      throw new Error('the catalogue is larger than the gateway reads')
    return result.rows
  }
}
