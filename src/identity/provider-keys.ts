// Owns a provider's signing keys: discovery, the key set, its cache and its rotation. It must never be made to
// fetch at the rate of an attacker's tokens, and never use keys older than its cache allows.

import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { z } from 'zod'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import { fetchJson, type HttpFetch, isProtected } from './fetch.js'

/** Keys are read again after this long even when nothing unknown came: a withdrawn key must stop to count. */
export const KEYS_MAX_AGE_MS = 10 * 60_000
/** An unknown key id, or a failure, may cause a new read at most this often. */
export const COOL_DOWN_MS = 30_000

const METADATA_BYTES = 256 * 1024
const KEYS_BYTES = 256 * 1024

const metadataBody = z.object({ issuer: z.string(), jwks_uri: z.url().max(2000) })
const keysBody = z.object({
  keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().max(256).optional() })).max(100),
})

export interface ProviderKeys {
  /** The key set that answers for this key id, read anew if the id is unknown and the cool-down allows. */
  forKid(kid: string | undefined): Promise<ReturnType<typeof createLocalJWKSet>>
  /** How far the provider's clock was ahead of ours at the last read, in milliseconds, if it told. */
  skewMs(): number | undefined
}

interface Loaded {
  readonly at: number
  readonly kids: ReadonlySet<string>
  readonly resolve: ReturnType<typeof createLocalJWKSet>
  readonly skew: number | undefined
}

async function load(name: string, issuer: string, fetch: HttpFetch, clock: Clock): Promise<Loaded> {
  // OpenID Connect Discovery 1.0 §4: appended to the path, not to the origin.
  const place = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const what = `the metadata of identity provider ${name}`
  const metadata = metadataBody.safeParse(
    (await fetchJson(fetch, place, what, METADATA_BYTES)).body,
  )
  // §4.3: the issuer must be exactly the one that was asked, or one provider could speak for another.
  if (!metadata.success || metadata.data.issuer !== issuer) {
    throw new VgateError('VGATE_UPSTREAM_FAILED', `${what} is not that of ${issuer}`, {
      hint: 'the configured issuer must be the exact text of the provider\'s own "issuer"',
    })
  }
  const keysAt = new URL(metadata.data.jwks_uri)
  const issuedOverHttps = issuer.startsWith('https:')
  if (!isProtected(keysAt) || (issuedOverHttps && keysAt.protocol !== 'https:')) {
    throw new VgateError('VGATE_UPSTREAM_FAILED', `${what} names keys at an unprotected address`)
  }
  const keysName = `the keys of identity provider ${name}`
  const { body, date } = await fetchJson(fetch, keysAt.href, keysName, KEYS_BYTES)
  const keys = keysBody.safeParse(body)
  if (!keys.success) throw new VgateError('VGATE_UPSTREAM_FAILED', `${keysName} are not a key set`)
  // Symmetric keys in a public set would let anybody sign.
  const asymmetric = keys.data.keys.filter((key) => key.kty !== 'oct')
  const at = clock.now()
  return {
    at,
    kids: new Set(asymmetric.flatMap((key) => (key.kid === undefined ? [] : [key.kid]))),
    resolve: createLocalJWKSet({ keys: asymmetric } as JSONWebKeySet),
    skew: date === undefined ? undefined : date - at,
  }
}

/** Keys of one provider. Concurrent needs share one read. `forKid` throws VGATE_UPSTREAM_FAILED. */
export function createProviderKeys(options: {
  readonly name: string
  readonly issuer: string
  readonly fetch: HttpFetch
  readonly clock: Clock
}): ProviderKeys {
  const { name, issuer, fetch, clock } = options
  let loaded: Loaded | undefined
  let loading: Promise<Loaded> | undefined
  let failed: { readonly at: number; readonly error: unknown } | undefined

  async function refresh(): Promise<Loaded> {
    if (failed !== undefined && clock.now() - failed.at < COOL_DOWN_MS) throw failed.error
    loading ??= load(name, issuer, fetch, clock).finally(() => {
      loading = undefined
    })
    try {
      loaded = await loading
      failed = undefined
      return loaded
    } catch (error) {
      failed = { at: clock.now(), error }
      throw error
    }
  }

  return {
    async forKid(kid) {
      const age = loaded === undefined ? Number.POSITIVE_INFINITY : clock.now() - loaded.at
      // A clock set back makes the age negative: read again.
      if (loaded === undefined || age > KEYS_MAX_AGE_MS || age < 0) return (await refresh()).resolve
      const unknown = kid !== undefined && !loaded.kids.has(kid)
      if (unknown && age >= COOL_DOWN_MS) return (await refresh()).resolve
      return loaded.resolve
    },
    skewMs: () => loaded?.skew,
  }
}
