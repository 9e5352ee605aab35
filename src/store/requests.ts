// Owns the rows of approval requests and of their answers. Every change of state is one conditional statement, so
// that of any number of callers at once at most one succeeds.

import { sql } from 'kysely'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import { changedOne, insertFrom, rowLimit } from './rows.js'
import type { Run, Store } from './store.js'

type Part = Pick<
  Store,
  | 'openRequest'
  | 'findRequest'
  | 'listRequests'
  | 'answersOf'
  | 'addAnswer'
  | 'moveRequest'
  | 'consumeRequest'
  | 'setRequestOutcome'
  | 'expireRequests'
  | 'markUnknownOutcomes'
>

const LIVE = ['open', 'approved'] as const
/** Another's request may be there when ours comes and be over when it is looked at. */
const OPENING_TRIES = 5

/** The store's methods for requests. */
export function createRequests(run: Run, clock: Clock): Part {
  return { ...opening(run, clock), ...answering(run, clock), ...settling(run, clock) }
}

function opening(
  run: Run,
  clock: Clock,
): Pick<Part, 'openRequest' | 'findRequest' | 'listRequests'> {
  return {
    async openRequest(request) {
      const now = clock.now()
      for (let attempt = 1; attempt <= OPENING_TRIES; attempt += 1) {
        const found = await run((db) =>
          db
            .selectFrom('requests')
            .selectAll()
            .where('principal', '=', request.principal)
            .where('target', '=', request.target)
            .where('digest', '=', request.digest)
            .where('state', 'in', LIVE)
            .executeTakeFirst(),
        )
        if (found !== undefined) return { record: found, isNew: false }
        const unanswered = { closed_at: null, outcome: null, outcome_message: null }
        const inserted = await run((db) =>
          db
            .insertInto('requests')
            .values({ ...request, state: 'open', created_at: now, ...unanswered })
            // Somebody asked the same at the same time: the partial unique index lets one in.
            .onConflict((it) => it.doNothing())
            .returningAll()
            .executeTakeFirst(),
        )
        if (inserted !== undefined) return { record: inserted, isNew: true }
      }
      throw new VgateError(
        'VGATE_STORE_UNAVAILABLE',
        'the same request is opened and ended over and over',
      )
    },

    findRequest(id) {
      return run((db) =>
        db.selectFrom('requests').selectAll().where('id', '=', id).executeTakeFirst(),
      )
    },

    listRequests({ principal, target, states, limit }) {
      return run((db) => {
        let query = db
          .selectFrom('requests')
          .selectAll()
          .orderBy('created_at', 'desc')
          .orderBy('id', 'desc')
          .limit(rowLimit(limit))
        if (principal !== undefined) query = query.where('principal', '=', principal)
        if (target !== undefined) query = query.where('target', '=', target)
        if (states !== undefined) query = query.where('state', 'in', states)
        return query.execute()
      })
    },
  }
}

function answering(
  run: Run,
  clock: Clock,
): Pick<Part, 'answersOf' | 'addAnswer' | 'moveRequest' | 'consumeRequest'> {
  return {
    answersOf(request) {
      return run((db) =>
        db
          .selectFrom('answers')
          .selectAll()
          .where('request', '=', request)
          .orderBy('at')
          .orderBy('principal')
          .execute(),
      )
    },

    async addAnswer(answer) {
      const now = clock.now()
      const { request, principal } = answer
      // The requester is refused here as well: no path of the code may lead around it.
      const insert = insertFrom(
        'answers',
        { ...answer, at: now },
        sql`FROM requests r
            WHERE r.id = ${request} AND r.state = 'open' AND r.expires_at > ${now}
              AND r.principal <> ${principal}
            ON CONFLICT DO NOTHING`,
      )
      return changedOne(await run((db) => insert.execute(db)))
    },

    async moveRequest(id, from, to, expiresAt) {
      const now = clock.now()
      const result = await run((db) =>
        db
          .updateTable('requests')
          .set({
            state: to,
            closed_at: to === 'approved' ? null : now,
            ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
          })
          .where('id', '=', id)
          .where('state', '=', from)
          .where('expires_at', '>', now)
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    async consumeRequest({ id, principal, target, digest }) {
      const now = clock.now()
      const result = await run((db) =>
        db
          .updateTable('requests')
          .set({ state: 'consumed', closed_at: now })
          .where('id', '=', id)
          .where('state', '=', 'approved')
          .where('expires_at', '>', now)
          .where('principal', '=', principal)
          .where('target', '=', target)
          .where('digest', '=', digest)
          .executeTakeFirst(),
      )
      return changedOne(result)
    },
  }
}

function settling(
  run: Run,
  clock: Clock,
): Pick<Part, 'setRequestOutcome' | 'expireRequests' | 'markUnknownOutcomes'> {
  return {
    async setRequestOutcome(id, outcome, message) {
      const result = await run((db) =>
        db
          .updateTable('requests')
          .set({ outcome, outcome_message: message ?? null })
          .where('id', '=', id)
          .where('state', '=', 'consumed')
          .where('outcome', 'is', null)
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    expireRequests() {
      const now = clock.now()
      return run((db) =>
        db
          .updateTable('requests')
          .set({ state: 'expired', closed_at: now })
          .where('state', 'in', LIVE)
          .where('expires_at', '<=', now)
          .returningAll()
          .execute(),
      )
    },

    async markUnknownOutcomes() {
      const rows = await run((db) =>
        db
          .updateTable('requests')
          .set({
            outcome: 'unknown',
            outcome_message: 'the gateway ended before the database had answered',
          })
          .where('state', '=', 'consumed')
          .where('kind', '=', 'operation')
          .where('outcome', 'is', null)
          .returning('id')
          .execute(),
      )
      return rows.map((row) => row.id)
    },
  }
}
