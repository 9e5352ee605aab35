// Owns the rows of sessions.

import { sql } from 'kysely'
import type { Clock } from '../core/clock.js'
import { changedOne, insertFrom, rowLimit } from './rows.js'
import type { OpenResult, OpenSession, Run, Store, StoreDatabase } from './store.js'

type Part = Pick<
  Store,
  | 'openSession'
  | 'closeSession'
  | 'findSession'
  | 'sessionStanding'
  | 'listSessions'
  | 'markCrashed'
>

async function whyNotOpened(run: Run, session: OpenSession, now: number): Promise<OpenResult> {
  const grant = await run((db) =>
    db
      .selectFrom('grants')
      .select(['ends_at', 'revoked_at'])
      .where('id', '=', session.grant.id)
      .where('principal', '=', session.principal.id)
      .executeTakeFirst(),
  )
  if (grant === undefined) return 'unknown'
  if (grant.revoked_at !== null) return 'revoked'
  return grant.ends_at <= now ? 'ended' : 'too_many'
}

/** One statement, so that two connects at once cannot both take the last place, nor slip past a revocation. */
async function insertOpen(
  { alone }: StoreDatabase,
  session: OpenSession,
  now: number,
): Promise<boolean> {
  const { grant, principal } = session
  const insert = insertFrom(
    'sessions',
    {
      id: session.id,
      grant_id: sql`g.id`,
      principal: sql`g.principal`,
      principal_name: principal.name,
      provider: principal.provider,
      target: sql`g.target`,
      database: session.database,
      roles: sql`g.roles`,
      reason: sql`g.reason`,
      client: JSON.stringify(session.client),
      started_at: now,
      ended_at: null,
      state: 'open',
      operations: 0,
      denied: 0,
      rows: 0,
      bytes_out: 0,
      records: 0,
      head: '',
    },
    sql`FROM grants g JOIN principals p ON p.id = g.principal
        WHERE g.id = ${grant.id} AND g.principal = ${principal.id} AND g.target = ${grant.target}
          AND g.revoked_at IS NULL AND g.starts_at <= ${now} AND g.ends_at > ${now}
          AND p.disabled_at IS NULL
          AND (SELECT count(*) FROM sessions s WHERE s.principal = g.principal AND s.state = 'open')
            < ${session.maxOpen}`,
  )
  return changedOne(await alone(principal.id, (db) => insert.execute(db)))
}

/** The store's methods for sessions. */
export function createSessions(database: StoreDatabase, clock: Clock): Part {
  const { run } = database
  return {
    async openSession(session) {
      const now = clock.now()
      if (await insertOpen(database, session, now)) return 'opened'
      return whyNotOpened(run, session, now)
    },

    async closeSession(summary) {
      const result = await run((db) =>
        db
          .updateTable('sessions')
          .set({
            state: summary.reason,
            ended_at: clock.now(),
            operations: summary.operations,
            denied: summary.denied,
            rows: summary.rows,
            bytes_out: summary.bytesOut,
            records: summary.recording.records,
            head: summary.recording.head,
          })
          .where('id', '=', summary.session)
          .where('state', '=', 'open')
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    findSession(id) {
      return run((db) =>
        db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst(),
      )
    },

    async sessionStanding(id) {
      const row = await run((db) =>
        db
          .selectFrom('sessions')
          .innerJoin('grants', 'grants.id', 'sessions.grant_id')
          .select(['sessions.state', 'grants.ends_at', 'grants.revoked_at'])
          .where('sessions.id', '=', id)
          .executeTakeFirst(),
      )
      if (row === undefined) return undefined
      return { state: row.state, grantEndsAt: row.ends_at, grantRevoked: row.revoked_at !== null }
    },

    listSessions({ principal, target, since, limit }) {
      return run((db) => {
        let query = db
          .selectFrom('sessions')
          .selectAll()
          .orderBy('started_at', 'desc')
          .orderBy('id', 'desc')
          .limit(rowLimit(limit))
        if (principal !== undefined) query = query.where('principal', '=', principal)
        if (target !== undefined) query = query.where('target', '=', target)
        if (since !== undefined) query = query.where('started_at', '>=', since)
        return query.execute()
      })
    },

    async markCrashed() {
      const rows = await run((db) =>
        db
          .updateTable('sessions')
          .set({ state: 'crashed', ended_at: clock.now() })
          .where('state', '=', 'open')
          .returning('id')
          .execute(),
      )
      return rows.map((row) => row.id)
    },
  }
}
