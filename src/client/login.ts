// Owns login and logout: the gateway's discovery, the provider's device flow, the exchange, and pinning the keys
// that will prove recordings. Must never print, and never replace pinned keys without being told to.

import { isSame } from '../audit/key-history.js'
import type { Discovery, PrincipalBody, SigningKey } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { GatewayApi } from './gateway-api.js'
import { faultInOffer } from './pinned-keys.js'
import { forgetPortSecrets } from './port-secret.js'
import type { DeviceCode, ProviderAddress } from './provider.js'
import {
  accessToken,
  type LoginContext,
  readLogin,
  replaceLogin,
  withToken,
} from './session-token.js'

export interface LoginOptions {
  readonly provider?: string
  /** Accept signing keys that are not those pinned before. */
  readonly trustNewKey: boolean
  readonly caFile?: string
  readonly signal?: AbortSignal
  readonly onDeviceCode: (code: DeviceCode) => void
}

/** Logs in and stores what came of it. Rejects with VGATE_LOGIN_REQUIRED when the person or the provider says no. */
export async function login(context: LoginContext, options: LoginOptions): Promise<PrincipalBody> {
  const api = new GatewayApi(context.gateway)
  const found = await api.discovery()
  const provider = chooseProvider(found, options.provider)
  const keys = await pinKeys(context, found.keys, options.trustNewKey)
  const { deviceLogin, openProvider } = await import('./provider.js')
  const config = await openProvider(provider, context.gateway.ca)
  const tokens = await deviceLogin(provider, config, options.onDeviceCode, options.signal)
  const token = await api.exchange(provider.name, tokens.idToken)
  const stored = { provider: { ...provider, scopes: [...provider.scopes] } }
  const refreshToken = tokens.refreshToken
  await replaceLogin(
    context,
    withToken({ ...stored, ...(refreshToken === undefined ? {} : { refreshToken }) }, token),
  )
  await context.state.saveProfile({
    url: context.gateway.url,
    ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
    keys,
    ...stored,
    principal: { id: token.principal.id, name: token.principal.name },
  })
  return token.principal
}

/**
 * Ends the login here and, if it answers, at the gateway; port secrets go too.
 * Answers false when nobody was logged in. `told` is false when the gateway could not be told.
 */
export async function logout(
  context: LoginContext,
): Promise<{ readonly was: boolean; readonly told: boolean }> {
  const was = (await readLogin(context)) !== undefined
  let told = false
  if (was) {
    try {
      await new GatewayApi(context.gateway, () => accessToken(context)).logout()
      told = true
    } catch (error) {
      if (!(error instanceof VgateError)) throw error
    }
  }
  await replaceLogin(context, undefined)
  await forgetPortSecrets(context.store, context.gateway.url)
  return { was, told }
}

function chooseProvider(found: Discovery, wanted: string | undefined): ProviderAddress {
  const names = found.providers.map((provider) => provider.name).join(', ')
  const only = found.providers.length === 1 ? found.providers[0] : undefined
  const chosen =
    wanted === undefined ? only : found.providers.find((provider) => provider.name === wanted)
  if (chosen !== undefined) {
    return {
      name: chosen.name,
      issuer: chosen.issuer,
      clientId: chosen.client_id,
      scopes: chosen.scopes,
    }
  }
  if (found.providers.length === 0) {
    throw new VgateError('VGATE_CONFIG_INVALID', 'the gateway has no provider to log in with', {
      hint: 'tell its administrator',
    })
  }
  const message =
    wanted === undefined
      ? 'the gateway has more than one provider'
      : `the gateway has no provider ${JSON.stringify(wanted)}`
  throw new VgateError('VGATE_USAGE', message, { hint: `choose with --provider: ${names}` })
}

/**
 * The keys to pin: those known, and new ones that a known one vouches for; all where nothing was known. Others are
 * refused without `trustNewKey`.
 */
async function pinKeys(
  context: LoginContext,
  offered: readonly SigningKey[],
  trustNewKey: boolean,
): Promise<SigningKey[]> {
  const known = (await context.state.profile(context.gateway.url))?.keys ?? []
  const fault = faultInOffer(offered, known)
  if (fault !== undefined && !trustNewKey) {
    throw new VgateError(
      'VGATE_RECORDING_BROKEN',
      `the signing keys of ${context.gateway.url} are not to be trusted: ${fault}`,
      {
        hint: 'ask its administrator for the ids of its keys; if they are these, log in with --trust-new-key',
      },
    )
  }
  const added = offered.filter((key) => !known.some((old) => isSame(old, key)))
  const kept = known.filter((old) => !added.some((key) => key.id === old.id))
  return [...kept, ...added]
}
