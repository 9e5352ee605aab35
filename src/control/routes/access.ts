// Owns the list of targets that are open to the caller, and asking for a grant.

import type { Hono } from 'hono'
import { z } from 'zod'
import {
  type GrantBody,
  grantRequest,
  PATHS,
  type renewBody,
  type TargetsBody,
} from '../../core/api.js'
import type { GrantPending } from '../../core/api-requests.js'
import { rolesFor } from '../../policy/access.js'
import { type ControlDeps, isoTime } from '../deps.js'
import { issueGrant } from '../grants.js'
import { type ControlEnv, readJson } from '../http.js'
import { createRateLimit } from '../rate.js'
import { renewGrant } from '../workload-grants.js'

/** Adds `GET /v1/targets`, `POST /v1/grants` and `POST /v1/grants/{id}/renew`. */
export function addAccessRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const perPrincipal = createRateLimit({ burst: 60, perSecond: 1, clock: deps.clock })
  app.get(PATHS.targets, (context) => {
    const { principal } = context.get('caller')
    const policy = deps.policy().compiled
    const targets: TargetsBody['targets'] = []
    for (const [name, { spec }] of deps.config.targets) {
      const offers = rolesFor(policy, principal, name, deps.clock.now())
      const roles = offers.map(({ role, approval }) => ({
        name: role,
        approval: approval !== undefined,
      }))
      if (roles.length === 0) continue
      const contact = spec.contact === undefined ? {} : { contact: spec.contact }
      targets.push({ name, database: spec.database, roles, ...contact })
    }
    return context.json({ targets } satisfies TargetsBody)
  })

  app.post(PATHS.grants, async (context) => {
    const caller = context.get('caller')
    perPrincipal.take(caller.principal.id)
    const request = await readJson(context, grantRequest)
    const issued = await issueGrant(deps, caller, request)
    if ('pending' in issued) {
      const { request: id, approvers, url, expiresAt } = issued.pending
      const pending: GrantPending = {
        request: id,
        approvers: [...approvers],
        url,
        expires_at: isoTime(expiresAt),
      }
      return context.json({ pending }, 202)
    }
    const { grant, target, notes, proofUntil } = issued
    const body: GrantBody = {
      grant: {
        id: grant.id,
        target: grant.target,
        database: target.spec.database,
        database_name: target.spec.databaseName,
        roles: [...grant.roles],
        starts_at: isoTime(grant.startsAt),
        ends_at: isoTime(grant.endsAt),
        notes: [...notes],
        ...(proofUntil === undefined ? {} : { proof_until: isoTime(proofUntil) }),
      },
    }
    return context.json(body)
  })

  app.post(`${PATHS.grants}/:id/renew`, async (context) => {
    const caller = context.get('caller')
    perPrincipal.take(caller.principal.id)
    await readJson(context, z.strictObject({}))
    const until = await renewGrant(deps, caller, context.req.param('id'))
    return context.json({ proof_until: isoTime(until) } satisfies z.infer<typeof renewBody>)
  })
}
