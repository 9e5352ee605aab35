// Owns a provider made of two documents, for the identity and control tests.

import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { HttpFetch } from '../../../src/identity/fetch.js'

export const ISSUER = 'https://id.example.com'
export const NOW = 1_800_000_000_000

export interface Signer {
  readonly kid: string
  readonly jwk: JWK
  sign(claims: Record<string, unknown>, header?: Readonly<Record<string, unknown>>): Promise<string>
}

export async function signer(kid: string, alg = 'ES256'): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid, use: 'sig', alg }
  return {
    kid,
    jwk,
    sign: (claims, header) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey),
  }
}

export interface Documents {
  keys: JWK[]
  metadata: Record<string, unknown>
  /** Every address that was asked for. */
  readonly asked: string[]
  /** Answers in place of the documents. */
  respond: ((url: string) => Response | Promise<Response> | undefined) | undefined
  readonly fetch: HttpFetch
}

export function documents(keys: JWK[], date = new Date(NOW)): Documents {
  const documents: Documents = {
    keys,
    metadata: { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` },
    asked: [],
    respond: undefined,
    fetch: async (url) => {
      documents.asked.push(url)
      const other = await documents.respond?.(url)
      if (other !== undefined) return other
      const isKeys = url === documents.metadata['jwks_uri']
      return Response.json(isKeys ? { keys: documents.keys } : documents.metadata, {
        headers: { date: date.toUTCString() },
      })
    },
  }
  return documents
}

export function claims(over: Record<string, unknown> = {}): Record<string, unknown> {
  const at = NOW / 1000
  return { iss: ISSUER, aud: 'vgate', sub: 'ana', iat: at - 10, exp: at + 600, ...over }
}
