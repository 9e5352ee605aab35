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
import { isAdministrator, isAuditor } from '../callers.js'
import { type ControlDeps, isoTime, recordedPrincipal } from '../deps.js'
import { type ControlEnv, readJson } from '../http.js'
import { createRateLimit } from '../rate.js'

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

async function login(deps: ControlDeps, provider: string, idToken: string): Promise<TokenBody> {
  let principal: Principal
  try {
    principal = await verifyIdentity(deps, provider, idToken)
  } catch (error) {
    if (error instanceof VgateError && deps.providers.has(provider)) {
      const { code, message } = error
      await deps.audit.append({ type: 'login.failed', provider, code, message })
    }
    throw error
  }
  const { token, jti, expiresAt } = await deps.tokens.issue(principal)
  const expires = isoTime(expiresAt)
  await deps.audit.append({
    type: 'login.succeeded',
    principal: recordedPrincipal(principal),
    issuer: principal.issuer,
    expiresAt: expires,
  })
  await deps.store.recordLogin({ jti, principal: principal.id, provider, expiresAt })
  return {
    access_token: token,
    token_type: 'Bearer',
    expires_at: expires,
    principal: principalBody(principal),
  }
}

/** Adds `POST /v1/token`, which needs no token. */
export function addTokenRoute(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const perAddress = createRateLimit({ burst: 60, perSecond: 2, clock: deps.clock })
  app.post(PATHS.token, async (context) => {
    perAddress.take(context.env.address)
    const { provider, id_token } = await readJson(context, tokenRequest)
    return context.json(await login(deps, provider, id_token))
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
