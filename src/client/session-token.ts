// Owns the stored login of one gateway and the access token it gives: cached, else renewed by the provider's refresh
// token under a lock, because a refresh token used twice ends the whole login.

import { z } from 'zod'
import { type PrincipalBody, principalBody, type TokenBody } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { type GatewayAddress, GatewayApi } from './gateway-api.js'
import type { TokenStore } from './keychain.js'
import { withLock } from './lock.js'
import { fileName, type StateDir } from './state-dir.js'
import type { WorkloadLogin } from './workload-login.js'

/** A token this close to its end is renewed. */
const MARGIN_MS = 60_000

const storedLogin = z.object({
  provider: z.object({
    name: z.string(),
    issuer: z.string(),
    clientId: z.string(),
    scopes: z.array(z.string()),
  }),
  refreshToken: z.string().optional(),
  accessToken: z.string(),
  /** ISO 8601. */
  expiresAt: z.string(),
  principal: principalBody,
})
export type StoredLogin = z.infer<typeof storedLogin>

export interface LoginContext {
  readonly gateway: GatewayAddress
  readonly state: StateDir
  readonly store: TokenStore
  /** A job's own identity, which stands in for a stored login. */
  readonly workload?: WorkloadLogin
  /** What to do when nobody is logged in; default: log in. */
  readonly loginHint?: string
}

const account = (gateway: string): string => `login ${gateway}`

/** The stored login, or undefined. */
export async function readLogin(context: LoginContext): Promise<StoredLogin | undefined> {
  const text = await context.store.get(account(context.gateway.url))
  return text === undefined ? undefined : storedLogin.parse(JSON.parse(text))
}

/** Replaces the stored login from outside; a renewal under way in another process must not bring the old one back. */
export async function replaceLogin(
  context: LoginContext,
  login: StoredLogin | undefined,
): Promise<void> {
  await withLock(await refreshLock(context), () => saveLogin(context, login))
}

function refreshLock(context: LoginContext): Promise<string> {
  return context.state.place(`refresh-${fileName(context.gateway.url)}.lock`)
}

/** Writes the stored login as it is given; the caller holds the lock of renewals, or nobody else is there. */
export async function saveLogin(
  context: LoginContext,
  login: StoredLogin | undefined,
): Promise<void> {
  await context.store.set(
    account(context.gateway.url),
    login === undefined ? undefined : JSON.stringify(login),
  )
}

/** The login with what the gateway answered to its ID token. */
export function withToken(
  login: Omit<StoredLogin, 'accessToken' | 'expiresAt' | 'principal'>,
  token: TokenBody,
): StoredLogin {
  return {
    ...login,
    accessToken: token.access_token,
    expiresAt: token.expires_at,
    principal: token.principal,
  }
}

/** Who is logged in. Rejects with VGATE_LOGIN_REQUIRED when nobody is. */
export async function whoIsLoggedIn(context: LoginContext): Promise<PrincipalBody> {
  if (context.workload !== undefined) return context.workload.principal()
  return (await demandLogin(context)).principal
}

/** A valid access token. Rejects with VGATE_LOGIN_REQUIRED when the login is missing or has ended. */
export async function accessToken(context: LoginContext): Promise<string> {
  if (context.workload !== undefined) return context.workload.accessToken()
  const login = await demandLogin(context)
  if (isFresh(login)) return login.accessToken
  return withLock(await refreshLock(context), async () => {
    // Another process may have renewed it while this one waited.
    const current = await demandLogin(context)
    return isFresh(current) ? current.accessToken : renew(context, current)
  })
}

/** Renews the login now, although it may still be fresh, to see that it can be. Rejects as `accessToken`. */
export async function renewLogin(context: LoginContext): Promise<void> {
  await withLock(
    await refreshLock(context),
    async () => await renew(context, await demandLogin(context)),
  )
}

async function renew(context: LoginContext, login: StoredLogin): Promise<string> {
  if (login.refreshToken === undefined)
    throw required('the login has ended, and the provider gave nothing to renew it with')
  const { openProvider, refresh } = await import('./provider.js')
  const config = await openProvider(login.provider, context.gateway.ca)
  const tokens = await refresh(login.provider, config, login.refreshToken)
  // Kept before it is used: the old one is worth nothing from here on.
  const kept = {
    ...login,
    ...(tokens.refreshToken === undefined ? {} : { refreshToken: tokens.refreshToken }),
  }
  await saveLogin(context, kept)
  const token = await new GatewayApi(context.gateway).exchange(login.provider.name, tokens.idToken)
  await saveLogin(context, withToken(kept, token))
  return token.access_token
}

async function demandLogin(context: LoginContext): Promise<StoredLogin> {
  const login = await readLogin(context)
  if (login === undefined) {
    throw required(`not logged in to ${context.gateway.url}`, context.loginHint)
  }
  return login
}

function isFresh(login: StoredLogin): boolean {
  return Date.parse(login.expiresAt) - MARGIN_MS > Date.now()
}

function required(message: string, hint = 'run `vgate login`'): VgateError {
  return new VgateError('VGATE_LOGIN_REQUIRED', message, { hint })
}
