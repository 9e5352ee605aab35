// Owns the client's talk with an OIDC provider: discovery, the device flow (RFC 8628) and refreshing. The only door
// to openid-client. Must never accept plain http but from this machine.

import * as oidc from 'openid-client'
import { VgateError } from '../core/errors.js'
import { fetchBy } from './fetch-by.js'
import { isLoopbackHost } from './loopback.js'

export interface ProviderAddress {
  readonly name: string
  readonly issuer: string
  readonly clientId: string
  readonly scopes: readonly string[]
}

export interface ProviderTokens {
  readonly idToken: string
  readonly refreshToken?: string
}

/** What a person needs to confirm the login in a browser. `expiresAt` in milliseconds since the epoch. */
export interface DeviceCode {
  readonly verificationUri: string
  readonly verificationUriComplete: string
  readonly userCode: string
  readonly expiresAt: number
}

/** Reads the issuer's metadata. Rejects with VGATE_GATEWAY_UNREACHABLE when it does not answer as one. */
export async function openProvider(
  provider: ProviderAddress,
  ca: string | undefined,
): Promise<oidc.Configuration> {
  const issuer = new URL(provider.issuer)
  const insecure = issuer.protocol === 'http:' && isLoopbackHost(issuer.hostname)
  try {
    return await oidc.discovery(issuer, provider.clientId, undefined, oidc.None(), {
      timeout: 15,
      execute: insecure ? [oidc.allowInsecureRequests] : [],
      [oidc.customFetch]: (url, options) => fetchBy(url, options, ca),
    })
  } catch (error) {
    throw providerError(provider, error)
  }
}

/** Starts the device flow, tells the code, and polls as the provider asks until it is answered. Abortable. */
export async function deviceLogin(
  provider: ProviderAddress,
  config: oidc.Configuration,
  tell: (code: DeviceCode) => void,
  signal?: AbortSignal,
): Promise<ProviderTokens> {
  try {
    const scope = [...new Set(['openid', ...provider.scopes, 'offline_access'])].join(' ')
    // `prompt=consent` is what OpenID Connect Core §11 asks for with offline_access.
    const code = await oidc.initiateDeviceAuthorization(config, { scope, prompt: 'consent' })
    tell({
      verificationUri: code.verification_uri,
      verificationUriComplete: code.verification_uri_complete ?? code.verification_uri,
      userCode: code.user_code,
      expiresAt: Date.now() + code.expires_in * 1000,
    })
    return tokensOf(
      await oidc.pollDeviceAuthorizationGrant(
        config,
        code,
        undefined,
        signal === undefined ? {} : { signal },
      ),
    )
  } catch (error) {
    if (signal?.aborted === true) throw new VgateError('VGATE_ANSWERED_NO', 'login was stopped')
    throw providerError(provider, error)
  }
}

/** New tokens for a refresh token, which must not be used again. */
export async function refresh(
  provider: ProviderAddress,
  config: oidc.Configuration,
  refreshToken: string,
): Promise<ProviderTokens> {
  try {
    const tokens = tokensOf(await oidc.refreshTokenGrant(config, refreshToken))
    return { ...tokens, refreshToken: tokens.refreshToken ?? refreshToken }
  } catch (error) {
    throw providerError(provider, error)
  }
}

function tokensOf(tokens: oidc.TokenEndpointResponse): ProviderTokens {
  if (tokens.id_token === undefined) {
    throw new VgateError('VGATE_LOGIN_REQUIRED', 'the provider sent no ID token', {
      hint: 'the gateway must ask for the scope `openid`; tell its administrator',
    })
  }
  const refreshToken = tokens.refresh_token
  return { idToken: tokens.id_token, ...(refreshToken === undefined ? {} : { refreshToken }) }
}

/** The one place where the provider's failures become ours. */
function providerError(provider: ProviderAddress, error: unknown): VgateError {
  if (error instanceof VgateError) return error
  if (error instanceof Error && error.cause instanceof VgateError) return error.cause
  const word = error instanceof oidc.ResponseBodyError ? error.error : ''
  const name = `provider ${provider.name}`
  if (word === 'access_denied') {
    return new VgateError('VGATE_LOGIN_REQUIRED', `${name}: the login was refused`, {
      cause: error,
      hint: 'run `vgate login` again, and confirm it in the browser',
    })
  }
  if (word === 'expired_token') {
    return new VgateError('VGATE_LOGIN_REQUIRED', `${name}: the code was not confirmed in time`, {
      cause: error,
      hint: 'run `vgate login` again',
    })
  }
  if (word === 'invalid_grant') {
    return new VgateError('VGATE_LOGIN_REQUIRED', `${name}: the stored login has ended`, {
      cause: error,
      hint: 'run `vgate login`',
    })
  }
  if (word !== '') {
    return new VgateError('VGATE_LOGIN_REQUIRED', `${name}: ${word}`, {
      cause: error,
      hint: 'tell the administrator of the gateway',
    })
  }
  const text = error instanceof Error ? error.message : String(error)
  return new VgateError(
    'VGATE_GATEWAY_UNREACHABLE',
    `${name} at ${provider.issuer} does not answer as it should: ${text}`,
    { cause: error, hint: 'check the network, and --ca if it has a private authority' },
  )
}
