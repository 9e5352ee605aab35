// Owns looking for sessions and keys. A caller who may see their own sessions alone is bound by `principal`, which goes
// into every statement: what is not theirs is neither shown nor counted.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { type Dialect, ensureFullText, markOf, matchDocuments, wordsOf } from './full-text.js'
import type { RequestRecord, SessionRecord, Tables } from './schema.js'
import { keyHash, once, useMark } from './session-facts.js'
import type { Run, SessionFilter } from './store.js'

/** The most that one answer holds. */
export const MAX_FOUND = 1000
/** People of one name whose sessions are looked for. */
const MAX_NAMESAKES = 100

export interface SessionSearch extends Omit<SessionFilter, 'target'> {
  readonly target?: string | undefined
  /** Id, or name in any case, of whose sessions. */
  readonly person?: string | undefined
  /** Started before. Milliseconds since the epoch. */
  readonly until?: number
  /** Started before this session. */
  readonly before?: Pick<SessionRecord, 'id' | 'started_at'>
  readonly collection?: string | undefined
  readonly operation?: string | undefined
  readonly decision?: string | undefined
  /** Written or deleted. */
  readonly key?: string | undefined
  /** Words, all of which occur in its statements or parameters. */
  readonly text?: string | undefined
}

export interface KeySearch {
  readonly principal?: string
  readonly target?: string
  readonly collection: string
  readonly key: string
  readonly since?: number
  readonly until?: number
  readonly limit: number
}

/** A write or delete that was found, with its session. */
export interface FoundTouch {
  readonly session: string
  readonly principal: string
  readonly principalName: string
  readonly provider: string
  readonly target: string
  readonly collection: string
  readonly action: string
  readonly record: number
  readonly at: number
  readonly outcome: string
  readonly rows: number | null
  readonly request: string | null
  readonly predicate: string | null
}

export interface FoundTouches {
  /** Newest first. */
  readonly found: readonly FoundTouch[]
  /** There are more than the limit. */
  readonly more: boolean
}

/** Sessions that a search cannot answer for. */
export interface IndexGaps {
  readonly count: number
  /** Some of them. */
  readonly some: readonly { readonly session: string; readonly state: string }[]
}

export interface SessionSearchStore {
  /** Newest first, at most `limit`. */
  searchSessions(search: SessionSearch): Promise<SessionRecord[]>
  /** Who wrote or deleted a key. */
  searchKey(search: KeySearch): Promise<FoundTouches>
  /** Writes of the collection that had an effect, or may have, and name not all their keys. */
  searchUnnamed(search: Omit<KeySearch, 'key'>): Promise<FoundTouches>
  /** What was done in a session, by collection. */
  sessionUses(session: string): Promise<Omit<Tables['session_uses'], 'no'>[]>
  indexGaps(principal: string | undefined): Promise<IndexGaps>
  /** Sessions that started or ended, and operations that were held, after a time. */
  sessionChanges(
    after: number,
    principal: string | undefined,
  ): Promise<{
    readonly started: readonly SessionRecord[]
    readonly ended: readonly SessionRecord[]
    readonly held: readonly RequestRecord[]
  }>
  /** Who approved these requests. */
  approversOfRequests(
    requests: readonly string[],
  ): Promise<{ readonly request: string; readonly principal: string; readonly name: string }[]>
}

/** The store's methods for searching. */
export function createSessionSearch(run: Run, dialect: Dialect): SessionSearchStore {
  const ready = once(() => run((db) => ensureFullText(db, dialect)))
  return {
    async searchSessions(search) {
      const people = search.person === undefined ? undefined : await peopleOf(run, search.person)
      const whose = allowed(search.principal, people)
      if (whose?.length === 0) return []
      const { collection, operation, decision, key, text } = search
      const limit = bounded(search.limit)
      const indexed = [collection, operation, decision, key, text].some((one) => one !== undefined)
      if (!indexed) return await run((db) => plain(db, search, whose, limit))
      await ready()
      const found = await run((db) => numbers(db, dialect, search, whose, limit))
      return await run((db) => sessionsOf(db, found, search.principal))
    },

    searchKey(search) {
      return run((db) => touches(db, search, keyHash(search.key)))
    },

    searchUnnamed(search) {
      return run((db) => touches(db, search, ''))
    },

    sessionUses(session) {
      return run((db) =>
        db
          .selectFrom('session_uses as u')
          .innerJoin('session_index as i', 'i.no', 'u.no')
          .select(['u.collection', 'u.operation', 'u.decision', 'u.count'])
          .where('i.session', '=', session)
          .orderBy('u.collection')
          .orderBy('u.operation')
          .orderBy('u.decision')
          .limit(MAX_FOUND)
          .execute(),
      )
    },

    async indexGaps(principal) {
      const gaps = (db: Kysely<Tables>) => {
        const query = db
          .selectFrom('session_index')
          .where('state', 'in', ['tampered', 'unread', 'missing'])
        return principal === undefined ? query : query.where('principal', '=', principal)
      }
      const some = await run((db) =>
        gaps(db).select(['session', 'state']).orderBy('no', 'desc').limit(20).execute(),
      )
      const counted = await run((db) =>
        gaps(db)
          .select(({ fn }) => fn.countAll<number>().as('count'))
          .executeTakeFirst(),
      )
      return { count: Number(counted?.count ?? 0), some }
    },

    async sessionChanges(after, principal) {
      const since = (column: 'started_at' | 'ended_at') =>
        run((db) => {
          const query = db
            .selectFrom('sessions')
            .selectAll()
            .where(column, '>', after)
            .orderBy(column)
            .limit(MAX_FOUND)
          return (
            principal === undefined ? query : query.where('principal', '=', principal)
          ).execute()
        })
      const held = run((db) => {
        const query = db
          .selectFrom('requests')
          .selectAll()
          .where('kind', '=', 'operation')
          .where('created_at', '>', after)
          .orderBy('created_at')
          .limit(MAX_FOUND)
        return (
          principal === undefined ? query : query.where('principal', '=', principal)
        ).execute()
      })
      return {
        started: await since('started_at'),
        ended: await since('ended_at'),
        held: await held,
      }
    },

    approversOfRequests(requests) {
      if (requests.length === 0) return Promise.resolve([])
      return run((db) =>
        db
          .selectFrom('answers')
          .select(['request', 'principal', 'principal_name as name'])
          .where('request', 'in', requests.slice(0, 2 * MAX_FOUND))
          .where('verdict', '=', 'approve')
          .orderBy('at')
          .execute(),
      )
    },
  }
}

function bounded(limit: number): number {
  return Math.min(MAX_FOUND + 1, Math.max(1, Math.trunc(limit)))
}

/** `public.docs` is `docs`, as in policies. */
function spellings(collection: string): string[] {
  return collection.startsWith('public.') ? [collection, collection.slice(7)] : [collection]
}

/** Ids of everybody who is or was called so. */
async function peopleOf(run: Run, person: string): Promise<string[]> {
  const named = await run((db) =>
    db
      .selectFrom('principals')
      .select('id')
      .where(({ or, eb, fn }) =>
        or([eb('id', '=', person), eb(fn('lower', ['name']), '=', person.toLowerCase())]),
      )
      .limit(MAX_NAMESAKES)
      .execute(),
  )
  const once = await run((db) =>
    db
      .selectFrom('sessions')
      .select('principal as id')
      .distinct()
      .where('principal_name', '=', person)
      .limit(MAX_NAMESAKES)
      .execute(),
  )
  return [...new Set([...named, ...once].map((row) => row.id))]
}

/** Undefined: everybody. */
function allowed(
  principal: string | undefined,
  people: readonly string[] | undefined,
): readonly string[] | undefined {
  if (principal === undefined) return people
  return people === undefined || people.includes(principal) ? [principal] : []
}

function plain(
  db: Kysely<Tables>,
  search: SessionSearch,
  whose: readonly string[] | undefined,
  limit: number,
): Promise<SessionRecord[]> {
  const { target, since, until, before } = search
  let query = db
    .selectFrom('sessions')
    .selectAll()
    .orderBy('started_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
  const [only] = whose ?? []
  if (whose !== undefined && only !== undefined)
    query =
      whose.length === 1
        ? query.where('principal', '=', only)
        : query.where('principal', 'in', whose)
  if (target !== undefined) query = query.where('target', '=', target)
  if (since !== undefined) query = query.where('started_at', '>=', since)
  if (until !== undefined) query = query.where('started_at', '<', until)
  if (before !== undefined)
    query = query
      .where('started_at', '<=', before.started_at)
      .where(({ or, eb }) =>
        or([eb('started_at', '<', before.started_at), eb('id', '<', before.id)]),
      )
  return query.execute()
}

/** Numbers of the sessions that the index finds. */
async function numbers(
  db: Kysely<Tables>,
  dialect: Dialect,
  search: SessionSearch,
  whose: readonly string[] | undefined,
  limit: number,
): Promise<number[]> {
  const { target, collection, operation, decision, key, text } = search
  const phrases = (text ?? '')
    .split(/\s+/u)
    .map(wordsOf)
    .filter((word) => word !== '')
  // A text without a letter or digit is in no statement that could be told.
  if (text !== undefined && phrases.length === 0) return []
  const bounds = await boundsOf(db, search, limit)
  const uses = [collection, operation, decision].some((one) => one !== undefined)
  const collections = collection === undefined ? [null] : spellings(collection)
  const marks = [
    ...(uses
      ? [collections.map((name) => useMark(name, operation ?? null, decision ?? null))]
      : []),
    ...(whose === undefined ? [] : [whose.map((id) => markOf('person', id))]),
    ...(target === undefined ? [] : [[markOf('target', target)]]),
  ]
  const named = key === undefined ? undefined : keyHash(key)
  const inCollections = collection === undefined ? undefined : spellings(collection)
  if (marks.length > 0 || phrases.length > 0) {
    const within = named === undefined ? undefined : withKey(named, inCollections)
    return await matchDocuments(db, dialect, { marks, phrases }, bounds, within)
  }
  const rows = await db
    .selectFrom('session_touches')
    .select('no')
    .distinct()
    .where('key_hash', '=', named ?? '')
    .where('no', '>=', bounds.from)
    .where('no', '<', bounds.below)
    .orderBy('no', 'desc')
    .limit(limit)
    .execute()
  return rows.map((row) => Number(row.no))
}

/** Numbers of the sessions that wrote or deleted a key. */
function withKey(hash: string, collections: readonly string[] | undefined): RawBuilder<unknown> {
  const where =
    collections === undefined ? sql`` : sql`AND collection IN (${sql.join(collections)})`
  return sql`SELECT no FROM session_touches WHERE key_hash = ${hash} ${where}`
}

async function boundsOf(
  db: Kysely<Tables>,
  { since, until, before }: SessionSearch,
  limit: number,
): Promise<{ from: number; below: number; limit: number }> {
  let below = until === undefined ? Number.MAX_SAFE_INTEGER : until * 1024
  if (before !== undefined) {
    const place = await db
      .selectFrom('session_index')
      .select('no')
      .where('session', '=', before.id)
      .executeTakeFirst()
    below = Math.min(below, Number(place?.no ?? before.started_at * 1024))
  }
  return { from: since === undefined ? 0 : Math.max(0, since) * 1024, below, limit }
}

async function sessionsOf(
  db: Kysely<Tables>,
  found: readonly number[],
  principal: string | undefined,
): Promise<SessionRecord[]> {
  if (found.length === 0) return []
  let query = db
    .selectFrom('session_index as i')
    .innerJoin('sessions', 'sessions.id', 'i.session')
    .selectAll('sessions')
    .where('i.no', 'in', found)
    .orderBy('i.no', 'desc')
  if (principal !== undefined) query = query.where('sessions.principal', '=', principal)
  return await query.execute()
}

async function touches(
  db: Kysely<Tables>,
  search: Omit<KeySearch, 'key'>,
  hash: string,
): Promise<FoundTouches> {
  const { principal, target, collection, since, until } = search
  const limit = bounded(search.limit)
  let query = db
    .selectFrom('session_touches as t')
    .innerJoin('session_index as i', 'i.no', 't.no')
    .innerJoin('sessions as s', 's.id', 'i.session')
    .select([
      's.id as session',
      's.principal',
      's.principal_name as principalName',
      's.provider',
      't.target',
      't.collection',
      't.action',
      't.record',
      't.at',
      't.outcome',
      't.rows',
      't.request',
      't.predicate',
    ])
    .where('t.key_hash', '=', hash)
    .where('t.collection', 'in', spellings(collection))
    .orderBy('t.no', 'desc')
    .orderBy('t.record', 'desc')
    .limit(limit + 1)
  if (hash === '') query = query.where('t.outcome', 'not in', ['nothing', 'failed', 'rolled_back'])
  if (principal !== undefined) query = query.where('t.principal', '=', principal)
  if (target !== undefined) query = query.where('t.target', '=', target)
  if (since !== undefined) query = query.where('t.at', '>=', since)
  if (until !== undefined) query = query.where('t.at', '<', until)
  const rows = await query.execute()
  return { found: rows.slice(0, limit), more: rows.length > limit }
}
