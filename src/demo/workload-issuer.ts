// Owns a CI platform in miniature: an issuer of tokens with discovery and keys over real HTTP. For the demo on loopback
// and for tests alone.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export const PIPELINE_AUDIENCE = 'vgate-demo'

type Sign = (claims: Readonly<Record<string, unknown>>) => Promise<string>

/** What an endpoint of the platform answers: text, or JSON with a status. */
export type PlatformAnswer =
  | { readonly text: string }
  | { readonly status: number; readonly json: unknown }

export interface WorkloadIssuer {
  readonly issuer: string
  /** A token of this issuer, for five minutes. Members that are undefined are left out. */
  readonly sign: Sign
  close(): Promise<void>
}

/** Starts it on a free loopback port. `more` serves what is neither discovery nor keys. */
export async function startWorkloadIssuer(
  more: (
    url: URL,
    sign: Sign,
    request: IncomingMessage,
  ) => Promise<PlatformAnswer | undefined> = async () => undefined,
): Promise<WorkloadIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
  const key = { ...(await exportJWK(publicKey)), kid: 'ci-1', alg: 'RS256', use: 'sig' }
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const issuer = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  const sign: Sign = (claims) => {
    const now = Math.floor(Date.now() / 1000)
    const all = {
      iss: issuer,
      aud: 'vgate',
      iat: now,
      nbf: now,
      exp: now + 300,
      jti: 'j1',
      ...claims,
    }
    return new SignJWT(all)
      .setProtectedHeader({ alg: 'RS256', kid: 'ci-1', typ: 'JWT' })
      .sign(privateKey)
  }
  const answer = async (request: IncomingMessage): Promise<PlatformAnswer> => {
    const url = new URL(request.url ?? '/', issuer)
    if (url.pathname === '/.well-known/openid-configuration')
      return { status: 200, json: { issuer, jwks_uri: `${issuer}/jwks` } }
    if (url.pathname === '/jwks') return { status: 200, json: { keys: [key] } }
    return (await more(url, sign, request)) ?? { status: 404, json: {} }
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    answer(request).then(
      (given) => {
        if ('text' in given) response.setHeader('content-type', 'text/plain').end(given.text)
        else
          response
            .writeHead(given.status, { 'content-type': 'application/json' })
            .end(JSON.stringify(given.json))
      },
      () => response.writeHead(500).end(),
    )
  })
  return {
    issuer,
    sign,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
