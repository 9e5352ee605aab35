// Owns looking for sessions and keys, and following sessions. Auditors see everybody's; everybody else sees their own,
// and nothing of the others is shown or counted. Every search is in the audit log before its answer is given.

import type { Hono } from 'hono'
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import {
  type FoundKey,
  type IndexStanding,
  keySearch,
  SESSION_PATHS,
  type SessionSearchBody,
  sessionSearch,
  type TouchRow,
} from '../../core/api-sessions.js'
import type { Principal } from '../../core/principal.js'
import type { RequestRecord } from '../../store/schema.js'
import type { FoundTouch, FoundTouches } from '../../store/session-search.js'
import { isAuditor } from '../callers.js'
import { type ControlDeps, isoTime, recordedPrincipal } from '../deps.js'
import { type ControlContext, type ControlEnv, readJson, readQuery } from '../http.js'
import { createRateLimit } from '../rate.js'
import { bodyOf } from '../request-rules.js'
import { sessionRowOf, visibleSession } from './sessions.js'

const DEFAULT_LIMIT = 100
/** Watching is written down once in so long. */
const WATCH_MS = 15 * 60_000
/** A change that is older is not told by `watch` any more: it is what `search` is for. */
const CHANGES_MS = 60_000

const watchQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .optional(),
})

/** Adds the search for sessions and keys, and the watch. */
export function addSearchRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const perPrincipal = createRateLimit({ burst: 120, perSecond: 10, clock: deps.clock })
  const watching = new LRUCache<string, true>({ max: 10_000, ttl: WATCH_MS })
  app.post(SESSION_PATHS.search, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    return context.json(await findSessions(context, deps, principal))
  })
  app.post(SESSION_PATHS.keys, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    return context.json(await findKey(context, deps, principal))
  })
  app.get(SESSION_PATHS.watch, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    const { after } = readQuery(context, watchQuery)
    if (watching.get(principal.id) === undefined) {
      await audited(deps, principal, 'watch', {})
      watching.set(principal.id, true)
    }
    const now = deps.clock.now()
    const changes =
      after === undefined
        ? { started: [], ended: [], held: [] }
        : await deps.store.sessionChanges(Math.max(after, now - CHANGES_MS), whose(deps, principal))
    return context.json({
      now,
      started: changes.started.map(sessionRowOf),
      ended: changes.ended.map(sessionRowOf),
      held: changes.held.map(heldOf),
    })
  })
}

/** Undefined: everybody's. */
function whose(deps: ControlDeps, principal: Principal): string | undefined {
  return isAuditor(deps, principal) ? undefined : principal.id
}

async function findSessions(context: ControlContext, deps: ControlDeps, principal: Principal) {
  const body = await readJson(context, sessionSearch)
  const { since, until, before, limit = DEFAULT_LIMIT, ...filters } = body
  const own = whose(deps, principal)
  const last = before === undefined ? undefined : await visibleSession(deps, principal, before)
  const found = await deps.store.searchSessions({
    ...filters,
    ...(own === undefined ? {} : { principal: own }),
    ...times({ since, until }),
    ...(last === undefined ? {} : { before: last }),
    limit: limit + 1,
  })
  const sessions = found.slice(0, limit)
  const next = found.length > limit ? sessions.at(-1)?.id : undefined
  await audited(deps, principal, 'sessions', body, sessions.length)
  return {
    sessions: sessions.map(sessionRowOf),
    ...(next === undefined ? {} : { next }),
    index: await standing(deps, own),
  }
}

async function findKey(
  context: ControlContext,
  deps: ControlDeps,
  principal: Principal,
): Promise<FoundKey> {
  const body = await readJson(context, keySearch)
  const { collection, key, target, since, until, limit = DEFAULT_LIMIT } = body
  const own = whose(deps, principal)
  const search = {
    collection,
    limit,
    ...(own === undefined ? {} : { principal: own }),
    ...(target === undefined ? {} : { target }),
    ...times({ since, until }),
  }
  const named = await deps.store.searchKey({ ...search, key })
  const unnamed = await deps.store.searchUnnamed(search)
  await audited(deps, principal, 'key', body, named.found.length)
  const approvers = await approversOf(deps, [...named.found, ...unnamed.found])
  const rows = ({ found, more }: FoundTouches) => ({
    found: found.map((touch) => touchRowOf(touch, approvers)),
    more,
  })
  return { named: rows(named), unnamed: rows(unnamed), index: await standing(deps, own) }
}

function times(given: {
  readonly since?: string | undefined
  readonly until?: string | undefined
}) {
  return {
    ...(given.since === undefined ? {} : { since: Date.parse(given.since) }),
    ...(given.until === undefined ? {} : { until: Date.parse(given.until) }),
  }
}

/** Written before the answer is given; what cannot be written is not answered. */
async function audited(
  deps: ControlDeps,
  principal: Principal,
  what: 'sessions' | 'key' | 'watch',
  filters: SessionSearchBody,
  found?: number,
): Promise<void> {
  await deps.audit.append(
    {
      type: 'search.made',
      principal: recordedPrincipal(principal),
      what,
      scope: isAuditor(deps, principal) ? 'everybody' : 'own',
      filters: given(filters),
      ...(found === undefined ? {} : { found }),
    },
    { sync: true },
  )
}

/** Without the members that are undefined. */
function given<T extends object>(filters: T): Record<string, Exclude<T[keyof T], undefined>> {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined))
}

async function standing(deps: ControlDeps, own: string | undefined): Promise<IndexStanding> {
  const { count, some } = await deps.store.indexGaps(own)
  // How much others have waiting is nobody's business.
  const behind = own === undefined ? deps.index.behind : Math.min(1, deps.index.behind)
  return { behind, unread: count, some: [...some] }
}

type Approvers = ReadonlyMap<string, { readonly id: string; readonly name: string }[]>

async function approversOf(deps: ControlDeps, found: readonly FoundTouch[]): Promise<Approvers> {
  const requests = new Set(found.flatMap((touch) => touch.request ?? []))
  const byRequest = new Map<string, { id: string; name: string }[]>()
  for (const { request, principal, name } of await deps.store.approversOfRequests([...requests]))
    byRequest.set(request, [...(byRequest.get(request) ?? []), { id: principal, name }])
  return byRequest
}

function touchRowOf(touch: FoundTouch, approvers: Approvers): TouchRow {
  const { at, session, record, target, collection, action, outcome, rows, request } = touch
  return {
    at: isoTime(at),
    session,
    record,
    principal: { id: touch.principal, name: touch.principalName, provider: touch.provider },
    target,
    collection,
    operation: action,
    outcome,
    ...(rows === null ? {} : { rows }),
    ...(request === null ? {} : { approval: { request, by: approvers.get(request) ?? [] } }),
    ...(touch.predicate === null ? {} : { predicate: touch.predicate }),
  }
}

function heldOf(record: RequestRecord) {
  const body = bodyOf(record)
  const held = body.kind === 'operation' ? body.operation : undefined
  return {
    request: record.id,
    session: record.session ?? '',
    principal: { id: record.principal, name: record.principal_name, provider: record.provider },
    target: record.target,
    operation: held?.name ?? '',
    collections: held?.collections.map((use) => use.collection) ?? [],
    at: isoTime(record.created_at),
  }
}
