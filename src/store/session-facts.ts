// Owns writing the index over recordings. All of it is derived: what is written twice is there once, and what is
// dropped can be read again from the recordings. It must never be called on the path of an operation.

import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Touch, Use } from '../audit/session-facts.js'
import {
  type Dialect,
  dropDocument,
  ensureFullText,
  markOf,
  putDocument,
  wordsOf,
} from './full-text.js'
import type { SessionRecord, Tables } from './schema.js'
import type { Run } from './store.js'

/** `live`: up to its last signed record so far. `missing`: its recording is not on this gateway. */
export type IndexState = 'live' | 'done' | 'incomplete' | 'tampered' | 'unread' | 'missing'

/** Rows of an older version are made anew. */
export const INDEX_VERSION = 1

const ROWS_AT_ONCE = 200
const SHOWN_KEY = 256

export interface IndexedSession {
  readonly no: number
  readonly session: SessionRecord
  readonly state: IndexState
  /** Records that were read before. */
  readonly records: number
}

export interface SessionIndexStore {
  /** A session's place in the index, made where it has none. Undefined for an unknown session. */
  indexSession(id: string): Promise<IndexedSession | undefined>
  /** Adds touches that are certain, or takes over what became of them. */
  addTouches(indexed: IndexedSession, touches: readonly Touch[]): Promise<void>
  /** Replaces what is not certain, the uses and the text, and says how far the index goes. */
  finishIndex(indexed: IndexedSession, facts: IndexFacts): Promise<void>
  /** Takes out everything of a session but its standing, which says why. For `missing` only where nothing was read. */
  dropIndexed(indexed: IndexedSession, state: IndexState, message: string): Promise<void>
  /** Ended sessions that are not indexed to their end, newest first; `before` is the last of the page before. */
  unindexedSessions(
    limit: number,
    before?: { readonly startedAt: number; readonly id: string },
  ): Promise<{ readonly id: string; readonly startedAt: number }[]>
  /** Empties the index; it is then made anew. */
  clearIndex(): Promise<void>
}

export interface IndexFacts {
  readonly state: IndexState
  readonly records: number
  readonly open: readonly Touch[]
  readonly uses: readonly Use[]
  readonly texts: readonly string[]
  readonly textCut: boolean
}

/** What a key is found by: keys may be longer than an index takes. */
export function keyHash(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32)
}

/** Marks of a session's document. */
function marksOf(session: SessionRecord, uses: readonly Use[]): string[] {
  const marks = new Set([markOf('person', session.principal), markOf('target', session.target)])
  for (const { collection, operation, decision } of uses) {
    for (const one of [collection, null])
      for (const two of [operation, null])
        for (const three of [decision, null]) marks.add(useMark(one, two, three))
  }
  return [...marks]
}

/** The mark of sessions with such a use; null stands for any. */
export function useMark(
  collection: string | null,
  operation: string | null,
  decision: string | null,
): string {
  return markOf('use', collection, operation, decision)
}

/** The store's methods for writing the index. */
export function createSessionIndex(run: Run, dialect: Dialect): SessionIndexStore {
  const ready = once(() => run((db) => ensureFullText(db, dialect)))
  const together = async (change: (db: Kysely<Tables>) => Promise<void>): Promise<void> => {
    await ready()
    await run((db) => db.transaction().execute(change))
  }
  return {
    async indexSession(id) {
      await ready()
      const session = await run((db) =>
        db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      if (session === undefined) return undefined
      const found = await run((db) =>
        db.selectFrom('session_index').selectAll().where('session', '=', id).executeTakeFirst(),
      )
      if (found === undefined) {
        const no = await run((db) => newPlace(db, session))
        return { no, session, state: 'live', records: 0 }
      }
      const indexed = { no: Number(found.no), session, state: found.state as IndexState }
      if (found.version === INDEX_VERSION) return { ...indexed, records: found.records }
      await together((db) => emptied(db, indexed.no))
      return { ...indexed, records: 0 }
    },

    async addTouches(indexed, touches) {
      for (let at = 0; at < touches.length; at += ROWS_AT_ONCE) {
        const some = touches.slice(at, at + ROWS_AT_ONCE)
        await together((db) => insertTouches(db, indexed, some))
      }
    },

    finishIndex(indexed, { state, records, open, uses, texts, textCut }) {
      const { no, session } = indexed
      return together(async (db) => {
        await db
          .deleteFrom('session_touches')
          .where('no', '=', no)
          .where('outcome', 'in', ['running', 'uncommitted'])
          .execute()
        for (let at = 0; at < open.length; at += ROWS_AT_ONCE)
          await insertTouches(db, indexed, open.slice(at, at + ROWS_AT_ONCE))
        for (let at = 0; at < uses.length; at += ROWS_AT_ONCE)
          await putUses(db, no, uses.slice(at, at + ROWS_AT_ONCE))
        const words = texts.map(wordsOf).join(' ')
        await putDocument(db, dialect, no, { words, marks: marksOf(session, uses) })
        await stand(db, no, state, records, null, textCut)
      })
    },

    async dropIndexed({ no }, state, message) {
      if (state === 'missing') return await run((db) => missing(db, no, message))
      await together(async (db) => {
        await emptied(db, no)
        await stand(db, no, state, 0, message, false)
      })
    },

    async unindexedSessions(limit, before) {
      const rows = await run((db) => {
        let query = db
          .selectFrom('sessions')
          .leftJoin('session_index', 'session_index.session', 'sessions.id')
          .select(['sessions.id', 'sessions.started_at'])
          .where('sessions.state', '<>', 'open')
          .where(({ or, eb }) =>
            or([
              eb('session_index.session', 'is', null),
              eb('session_index.state', 'in', ['live', 'unread', 'missing']),
              eb('session_index.version', '<>', INDEX_VERSION),
            ]),
          )
          .orderBy('sessions.started_at', 'desc')
          .orderBy('sessions.id', 'desc')
          .limit(limit)
        if (before !== undefined)
          query = query.where(({ or, and, eb }) =>
            or([
              eb('sessions.started_at', '<', before.startedAt),
              and([
                eb('sessions.started_at', '=', before.startedAt),
                eb('sessions.id', '<', before.id),
              ]),
            ]),
          )
        return query.execute()
      })
      return rows.map((row) => ({ id: row.id, startedAt: row.started_at }))
    },

    async clearIndex() {
      await together(async (db) => {
        for (const table of ['session_touches', 'session_uses', 'session_index'] as const)
          await db.deleteFrom(table).execute()
        await sql`DELETE FROM session_text`.execute(db)
      })
    },
  }
}

/** Runs once; a failure is tried again by the next caller. */
export function once(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= run().catch((error: unknown) => {
      running = undefined
      throw error
    })
    return running
  }
}

/** Sessions that start in the same millisecond are told apart by one of 1,024 numbers. */
async function newPlace(db: Kysely<Tables>, session: SessionRecord): Promise<number> {
  const { id, principal, started_at } = session
  for (let among = 0; among < 1024; among += 1) {
    const no = started_at * 1024 + among
    await db
      .insertInto('session_index')
      .values({
        no,
        session: id,
        principal,
        state: 'live',
        message: null,
        records: 0,
        text_cut: 0,
        version: INDEX_VERSION,
      })
      .onConflict((it) => it.doNothing())
      .execute()
    const mine = await db
      .selectFrom('session_index')
      .select('no')
      .where('session', '=', id)
      .executeTakeFirst()
    if (mine !== undefined) return Number(mine.no)
  }
  throw new Error('more than 1,024 sessions began in one millisecond')
}

async function insertTouches(
  db: Kysely<Tables>,
  { no, session }: IndexedSession,
  touches: readonly Touch[],
): Promise<void> {
  // One statement may not change one row twice.
  const rows = new Map(
    touches.map((touch) => {
      const hash = touch.key === undefined ? '' : keyHash(touch.key)
      const row = {
        no,
        record: touch.record,
        principal: session.principal,
        target: session.target,
        collection: stored(touch.collection),
        key_hash: hash,
        key: touch.key === undefined ? null : stored(touch.key.slice(0, SHOWN_KEY)),
        action: stored(touch.action),
        at: touch.at,
        outcome: touch.outcome,
        rows: touch.rows ?? null,
        request: touch.request === undefined ? null : stored(touch.request),
        predicate: touch.predicate === undefined ? null : stored(touch.predicate),
      }
      return [JSON.stringify([row.record, row.collection, hash, row.action]), row]
    }),
  )
  if (rows.size === 0) return
  await db
    .insertInto('session_touches')
    .values([...rows.values()])
    .onConflict((it) =>
      it.columns(['no', 'record', 'collection', 'key_hash', 'action']).doUpdateSet(({ ref }) => ({
        outcome: ref('excluded.outcome'),
        rows: ref('excluded.rows'),
      })),
    )
    .execute()
}

async function putUses(db: Kysely<Tables>, no: number, uses: readonly Use[]): Promise<void> {
  if (uses.length === 0) return
  const rows = uses.map((use) => ({
    no,
    collection: stored(use.collection),
    operation: stored(use.operation),
    decision: stored(use.decision),
    count: use.count,
  }))
  await db
    .insertInto('session_uses')
    .values(rows)
    .onConflict((it) =>
      it
        .columns(['no', 'collection', 'operation', 'decision'])
        .doUpdateSet(({ ref }) => ({ count: ref('excluded.count') })),
    )
    .execute()
}

/** PostgreSQL takes no NUL in a text. */
function stored(text: string): string {
  return text.replaceAll('\0', '\u2400')
}

async function emptied(db: Kysely<Tables>, no: number): Promise<void> {
  await db.deleteFrom('session_touches').where('no', '=', no).execute()
  await db.deleteFrom('session_uses').where('no', '=', no).execute()
  await dropDocument(db, no)
}

/** Another gateway may hold the recording, and have read it: then it stands. */
async function missing(db: Kysely<Tables>, no: number, message: string): Promise<void> {
  await db
    .updateTable('session_index')
    .set({ state: 'missing', message })
    .where('no', '=', no)
    .where('state', '=', 'live')
    .where('records', '=', 0)
    .execute()
}

async function stand(
  db: Kysely<Tables>,
  no: number,
  state: IndexState,
  records: number,
  message: string | null,
  textCut: boolean,
): Promise<void> {
  await db
    .updateTable('session_index')
    .set({ state, records, message, text_cut: textCut ? 1 : 0, version: INDEX_VERSION })
    .where('no', '=', no)
    .execute()
}
