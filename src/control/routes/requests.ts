// Owns the routes of approval requests, and the page behind a request's address. Whoever may not see a request is
// answered as for one that does not exist. The page shows nothing of the request's content: it needs no login.

import type { Hono } from 'hono'
import { z } from 'zod'
import { PATHS } from '../../core/api.js'
import {
  approveRequest,
  denyRequest,
  REQUEST_STATES,
  type RequestRow,
} from '../../core/api-requests.js'
import { isId } from '../../core/ids.js'
import type { Principal } from '../../core/principal.js'
import type { RequestRecord } from '../../store/schema.js'
import { isAdministrator, isAuditor } from '../callers.js'
import { type ControlDeps, isoTime } from '../deps.js'
import { type ControlEnv, readJson, readQuery } from '../http.js'
import { createRateLimit } from '../rate.js'
import {
  approversOf,
  bodyOf,
  mayAnswer,
  requestUrl,
  termsOf,
  unknownRequest,
} from '../request-rules.js'

const listQuery = z.strictObject({ state: z.enum(REQUEST_STATES).optional() })

function maySee(deps: ControlDeps, principal: Principal, record: RequestRecord): boolean {
  return (
    record.principal === principal.id ||
    mayAnswer(principal, record) ||
    isAdministrator(deps, principal) ||
    isAuditor(deps, principal)
  )
}

async function visibleRequest(
  deps: ControlDeps,
  principal: Principal,
  id: string,
): Promise<RequestRecord> {
  const record = isId('req', id) ? await deps.requests.find(id) : undefined
  if (record !== undefined && maySee(deps, principal, record)) return record
  throw unknownRequest()
}

async function rowOf(deps: ControlDeps, record: RequestRecord): Promise<RequestRow> {
  const terms = termsOf(record)
  const body = bodyOf(record)
  const answers = await deps.requests.answers(record.id)
  return {
    id: record.id,
    kind: body.kind,
    state: record.state as RequestRow['state'],
    requester: { id: record.principal, name: record.principal_name, provider: record.provider },
    target: record.target,
    roles: JSON.parse(record.roles) as string[],
    ...(record.reason === null ? {} : { reason: record.reason }),
    ...(record.ticket === null ? {} : { ticket: record.ticket }),
    ...(record.session === null ? {} : { session: record.session }),
    terms: terms.map(({ rule, by, count }) => ({ rule, by: [...by], count })),
    approvers: approversOf(terms),
    created_at: isoTime(record.created_at),
    expires_at: isoTime(record.expires_at),
    url: requestUrl(deps.config.publicUrl, record.id),
    answers: answers.map((one) => ({
      id: one.principal,
      name: one.principal_name,
      provider: one.provider,
      verdict: one.verdict === 'approve' ? 'approve' : 'deny',
      ...(one.reason === null ? {} : { reason: one.reason }),
      at: isoTime(one.at),
    })),
    ...(body.kind === 'operation'
      ? { operation: body.operation as unknown as NonNullable<RequestRow['operation']> }
      : { ttl_seconds: Math.round(body.ttlMs / 1000) }),
    ...(record.outcome === null ? {} : { outcome: record.outcome }),
  }
}

/** Adds `GET /v1/requests`, `GET /v1/requests/{id}` and the two answers. */
export function addRequestRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const perPrincipal = createRateLimit({ burst: 120, perSecond: 4, clock: deps.clock })
  app.get(PATHS.requests, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    const { state } = readQuery(context, listQuery)
    const records = await deps.requests.list(state === undefined ? undefined : [state])
    const seen = records.filter((record) => maySee(deps, principal, record))
    return context.json({ requests: await Promise.all(seen.map((record) => rowOf(deps, record))) })
  })
  app.get(`${PATHS.requests}/:id`, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    const record = await visibleRequest(deps, principal, context.req.param('id'))
    return context.json({ request: await rowOf(deps, record) })
  })
  app.post(`${PATHS.requests}/:id/approve`, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    const { ttl_seconds, collections } = await readJson(context, approveRequest)
    const { id } = await visibleRequest(deps, principal, context.req.param('id'))
    await deps.requests.approve(principal, id, {
      ...(ttl_seconds === undefined ? {} : { ttlMs: ttl_seconds * 1000 }),
      ...(collections === undefined ? {} : { collections }),
    })
    return context.json({ request: await rowOf(deps, await visibleRequest(deps, principal, id)) })
  })
  app.post(`${PATHS.requests}/:id/deny`, async (context) => {
    const { principal } = context.get('caller')
    perPrincipal.take(principal.id)
    const { reason } = await readJson(context, denyRequest)
    const { id } = await visibleRequest(deps, principal, context.req.param('id'))
    await deps.requests.deny(principal, id, reason)
    return context.json({ request: await rowOf(deps, await visibleRequest(deps, principal, id)) })
  })
}

/** Adds the page of a request. It is the same for every id of the right form, known or not. */
export function addRequestPage(app: Hono<ControlEnv>): void {
  app.get(`${PATHS.requestPage}/:id`, (context) => {
    const id = context.req.param('id')
    if (!isId('req', id)) throw unknownRequest()
    return context.html(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>vgate: ${id}</title>
<h1>${id}</h1>
<p>A request waits for a second person. What it asks is shown to those who may answer, after they have logged in:</p>
<p><code>vgate approve ${id}</code></p>
<p><code>vgate deny ${id} --reason "…"</code></p>
</html>
`)
  })
}
