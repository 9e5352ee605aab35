// Owns login, logout and whoami: a provider's ID token for one of vgate's own. Every outcome is in the audit log.

import type { Hono } from 'hono'
import {
  PATHS,
  type PrincipalBody,
  type TokenBody,
  tokenRequest,
  type WhoamiBody,
} from '../../core/api.js'
import { VgateError } from '../../core/errors.js'
import type { Principal } from '../../core/principal.js'
import { claimedParty } from '../../identity/workload.js'
import { isAdministrator, isAuditor } from '../callers.js'
import { type ControlDeps, isoTime, recordedPrincipal } from '../deps.js'
import { type ControlEnv, readJson } from '../http.js'
import { createRateLimit } from '../rate.js'
import { verifyWorkload } from '../workload-login.js'

function principalBody(principal: Principal): PrincipalBody {
  const { id, kind, provider, issuer, subject, name, groups } = principal
  return { id, kind, provider, issuer, subject, name, groups: [...groups] }
}

async function verifyIdentity(
  deps: ControlDeps,
  provider: string,
  token: string,
): Promise<Principal> {
  const verifier = deps.providers.get(provider)
  if (verifier === undefined) {
    throw new VgateError('VGATE_USAGE', 'there is no identity provider of that name', {
      hint: `providers: ${[...deps.providers.keys()].join(', ')}`,
    })
  }
  const principal = await verifier.verify(token)
  if (await deps.store.upsertPrincipal(principal)) return principal
  throw new VgateError('VGATE_DENIED', 'this identity is disabled', {
    hint: 'ask an administrator',
  })
}

async function verifyPerson(
  deps: ControlDeps,
  provider: string,
  idToken: string,
): Promise<Principal> {
  try {
    return await verifyIdentity(deps, provider, idToken)
  } catch (error) {
    if (error instanceof VgateError && deps.providers.has(provider)) {
      const { code, message } = error
      await deps.audit.append({ type: 'login.failed', provider, code, message })
    }
    throw error
  }
}

/** `until` is the end of a workload's identity token, in milliseconds since the epoch. */
async function giveToken(
  deps: ControlDeps,
  principal: Principal,
  until?: number,
): Promise<TokenBody> {
  const { token, jti, expiresAt } = await deps.tokens.issue(principal, until)
  const expires = isoTime(expiresAt)
  await deps.audit.append({
    type: 'login.succeeded',
    principal: recordedPrincipal(principal),
    issuer: principal.issuer,
    expiresAt: expires,
  })
  const { id, provider } = principal
  await deps.store.recordLogin({ jti, principal: id, provider, expiresAt })
  return {
    access_token: token,
    token_type: 'Bearer',
    expires_at: expires,
    principal: principalBody(principal),
  }
}

async function exchange(
  deps: ControlDeps,
  request: {
    provider?: string | undefined
    id_token?: string | undefined
    token?: string | undefined
  },
): Promise<TokenBody> {
  const { provider, id_token, token } = request
  const given = token ?? id_token ?? ''
  const person =
    provider === undefined
      ? issuerOfPeople(deps, given)
      : deps.workloads.has(provider)
        ? undefined
        : provider
  if (person !== undefined) return giveToken(deps, await verifyPerson(deps, person, given))
  const { principal, until } = await verifyWorkload(deps, provider, given)
  return giveToken(deps, principal, until)
}

/** A person's own ID token may stand in VGATE_TOKEN too: its issuer tells whose it is, unless it is a platform's. */
function issuerOfPeople(deps: ControlDeps, token: string): string | undefined {
  const { issuer, audiences } = claimedParty(token)
  const meant = [...deps.workloads.values()].filter((one) => one.issuer === issuer)
  if (meant.some((one) => audiences.includes(one.audience))) return undefined
  const people = deps.config.providers.filter((one) => one.issuer === issuer)
  const found = people.find((one) => audiences.includes(one.clientId))
  return (found ?? (meant.length === 0 ? people[0] : undefined))?.name
}

/** Adds `POST /v1/token`, which needs no token. */
export function addTokenRoute(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const perAddress = createRateLimit({ burst: 60, perSecond: 2, clock: deps.clock })
  app.post(PATHS.token, async (context) => {
    perAddress.take(context.env.address)
    return context.json(await exchange(deps, await readJson(context, tokenRequest)))
  })
}

/** Adds `POST /v1/logout` and `GET /v1/whoami`. */
export function addIdentityRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  app.post(PATHS.logout, async (context) => {
    const { principal, jti } = context.get('caller')
    if (await deps.store.revokeLogin(jti)) {
      await deps.audit.append({ type: 'logout', principal: recordedPrincipal(principal) })
    }
    return context.body(null, 204)
  })
  app.get(PATHS.whoami, (context) => {
    const { principal, expiresAt } = context.get('caller')
    const body: WhoamiBody = {
      principal: principalBody(principal),
      expires_at: isoTime(expiresAt),
      administrator: isAdministrator(deps, principal),
      auditor: isAuditor(deps, principal),
    }
    return context.json(body)
  })
}
