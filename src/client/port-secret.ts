// Owns the secret that guards a local port: made here, kept in the keychain, known to the gateway only as a
// verifier. Must never leave this machine but in the environment of the user's own client.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { ScramVerifier } from '../core/adapter.js'
import { Secret } from '../core/secret.js'
import type { TokenStore } from './keychain.js'

/** The secret has 192 random bits, so that more iterations would buy nothing. */
const ITERATIONS = 4096
const SECRET_BYTES = 24
const secrets = z.record(z.string(), z.string())

const account = (gateway: string): string => `ports ${gateway}`

/** A fresh secret: 24 random bytes in base64url. */
export function newPortSecret(): Secret {
  return new Secret(randomBytes(SECRET_BYTES).toString('base64url'))
}

/** The secret of this gateway, user and target: the stored one, or a new one when there is none or `fresh` is asked. */
export async function portSecret(
  store: TokenStore,
  owner: { readonly gateway: string; readonly user: string; readonly target: string },
  fresh: boolean,
): Promise<Secret> {
  const text = await store.get(account(owner.gateway))
  const known = text === undefined ? {} : secrets.parse(JSON.parse(text))
  const key = `${owner.user} ${owner.target}`
  const found = Object.hasOwn(known, key) ? known[key] : undefined
  if (found !== undefined && !fresh) return new Secret(found)
  const made = newPortSecret()
  const rest = Object.entries(known).filter(([name]) => name !== key)
  await store.set(
    account(owner.gateway),
    JSON.stringify(Object.fromEntries([...rest, [key, made.reveal()]])),
  )
  return made
}

/** Forgets every port secret of a gateway. */
export async function forgetPortSecrets(store: TokenStore, gateway: string): Promise<void> {
  await store.set(account(gateway), undefined)
}

/** What the gateway needs to check the secret without knowing it: SCRAM-SHA-256, RFC 5802 §3 and RFC 7677. */
export function scramVerifierOf(secret: Secret, salt: Buffer = randomBytes(16)): ScramVerifier {
  const salted = pbkdf2Sync(secret.reveal(), salt, ITERATIONS, 32, 'sha256')
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64')
  return {
    iterations: ITERATIONS,
    salt: salt.toString('base64'),
    storedKey,
    serverKey: hmac('Server Key').toString('base64'),
  }
}
