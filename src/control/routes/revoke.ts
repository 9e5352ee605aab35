// Owns taking access away: a grant, everything of a principal, one session. Administrators may, and everybody may end
// what is their own. The audit log has it first; live streams are cut at once.

import type { Hono } from 'hono'
import { PATHS } from '../../core/api.js'
import {
  killRequest,
  type RevokedBody,
  type RevokeRequest,
  revokeRequest,
} from '../../core/api-requests.js'
import { VgateError } from '../../core/errors.js'
import { isId } from '../../core/ids.js'
import type { Principal } from '../../core/principal.js'
import { isAdministrator } from '../callers.js'
import { type ControlDeps, recordedPrincipal } from '../deps.js'
import { type ControlEnv, readJson } from '../http.js'

function refuseOthers(deps: ControlDeps, caller: Principal, owner: string): void {
  if (caller.id === owner || isAdministrator(deps, caller)) return
  throw new VgateError('VGATE_DENIED', 'only administrators take access away from others', {
    hint: 'gateway.administrators in vgate.yaml names them',
  })
}

/** Control characters would speak to terminals and logs. */
function cleanReason(reason: string | undefined): string | undefined {
  const clean = reason?.trim()
  if (clean !== undefined && /\p{Cc}/u.test(clean))
    throw new VgateError('VGATE_USAGE', 'the reason holds control characters')
  return clean === '' ? undefined : clean
}

function told(caller: Principal, what: string, reason: string | undefined): string {
  return `${what} by ${caller.name}${reason === undefined ? '' : `: ${reason}`}`
}

async function revokeGrant(
  deps: ControlDeps,
  caller: Principal,
  id: string,
  reason: string | undefined,
): Promise<RevokedBody> {
  const grant = isId('grt', id) ? await deps.store.findGrant(id) : undefined
  const unknown = new VgateError('VGATE_NOT_FOUND', 'there is no grant of that id', {
    hint: 'the audit log and `vgate sessions show` name grants',
  })
  if (grant === undefined) throw unknown
  if (grant.principal !== caller.id && !isAdministrator(deps, caller)) throw unknown
  const by = recordedPrincipal(caller)
  await deps.audit.append(
    { type: 'grant.revoked', grant: id, by, ...(reason === undefined ? {} : { reason }) },
    { sync: true },
  )
  const revoked = await deps.store.revokeGrant(id, caller.id, reason ?? '')
  const sessions = deps.revokeSessions({ grant: id }, told(caller, 'access was revoked', reason))
  return { grants: revoked ? [id] : [], sessions }
}

async function findPrincipal(deps: ControlDeps, given: string): Promise<Principal> {
  const byId = await deps.store.findPrincipal(given)
  if (byId !== undefined) return byId
  const named = await deps.store.principalsNamed(given)
  const [one] = named
  if (one !== undefined && named.length === 1) return one
  if (one === undefined)
    throw new VgateError('VGATE_NOT_FOUND', 'nobody of that id or name is known')
  throw new VgateError('VGATE_USAGE', 'several principals have that name', {
    hint: `give an id: ${named.map(({ id, provider }) => `${id} (${provider})`).join(', ')}`,
  })
}

/** Every grant, every login and every live request of the principal. It may log in again where its provider lets it. */
async function revokePrincipal(
  deps: ControlDeps,
  caller: Principal,
  given: string,
  reason: string | undefined,
): Promise<RevokedBody> {
  if (!isAdministrator(deps, caller)) refuseOthers(deps, caller, given)
  const principal = await findPrincipal(deps, given)
  const grants = (await deps.store.liveGrants(principal.id)).map((grant) => grant.id)
  await deps.audit.append(
    {
      type: 'principal.revoked',
      principal: recordedPrincipal(principal),
      by: recordedPrincipal(caller),
      grants,
      ...(reason === undefined ? {} : { reason }),
    },
    { sync: true },
  )
  await deps.store.revokeLogins(principal.id)
  const revoked: string[] = []
  // Read again: one may have been given meanwhile.
  for (const { id } of await deps.store.liveGrants(principal.id))
    if (await deps.store.revokeGrant(id, caller.id, reason ?? '')) revoked.push(id)
  const message = told(caller, 'access was revoked', reason)
  const sessions = deps.revokeSessions({ principal: principal.id }, message)
  for (const record of await deps.requests.list(['open', 'approved']))
    if (record.principal === principal.id) await deps.requests.void(record.id, message)
  return { grants: revoked, sessions, principal: principal.id }
}

/** Adds `POST /v1/revoke` and `POST /v1/sessions/{id}/kill`. */
export function addRevokeRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  app.post(PATHS.revoke, async (context) => {
    const { principal: caller } = context.get('caller')
    const { grant, principal, reason }: RevokeRequest = await readJson(context, revokeRequest)
    const why = cleanReason(reason)
    if ((grant === undefined) === (principal === undefined))
      throw new VgateError('VGATE_USAGE', 'name either a grant or a principal')
    if (grant !== undefined) return context.json(await revokeGrant(deps, caller, grant, why))
    return context.json(await revokePrincipal(deps, caller, principal ?? '', why))
  })
  app.post(`${PATHS.sessions}/:id/kill`, async (context) => {
    const { principal: caller } = context.get('caller')
    const id = context.req.param('id')
    const why = cleanReason((await readJson(context, killRequest)).reason)
    const record = isId('ses', id) ? await deps.store.findSession(id) : undefined
    const unknown = new VgateError('VGATE_NOT_FOUND', 'there is no open session of that id', {
      hint: 'see `vgate sessions list`',
    })
    if (record === undefined) throw unknown
    if (record.principal !== caller.id && !isAdministrator(deps, caller)) throw unknown
    if (record.state !== 'open') throw unknown
    await deps.audit.append(
      {
        type: 'session.killed',
        session: id,
        by: recordedPrincipal(caller),
        ...(why === undefined ? {} : { reason: why }),
      },
      { sync: true },
    )
    deps.revokeSessions({ session: id }, told(caller, 'the session was ended', why))
    return context.json({ session: id })
  })
}
