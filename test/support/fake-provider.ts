// Owns an OIDC provider in miniature for the client's tests: real HTTP, the device flow, rotating refresh tokens that
// end the whole login when one is used twice. It signs nothing: nobody here checks signatures.

import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FakeProvider {
  readonly issuer: string
  /** What the token endpoint answers for the device code. */
  answer: 'pending' | 'approved' | 'access_denied' | 'expired_token'
  readonly polls: () => number
  readonly refreshes: () => number
  /** Refresh tokens that were used twice. */
  readonly reused: () => number
  close(): Promise<void>
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export async function startFakeProvider(): Promise<FakeProvider> {
  let polls = 0
  let refreshes = 0
  let reused = 0
  let current = ''
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider: FakeProvider = {
    issuer,
    answer: 'approved',
    polls: () => polls,
    refreshes: () => refreshes,
    reused: () => reused,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const tokens = (): object => {
    current = randomBytes(12).toString('hex')
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: issuer, aud: 'vgate-cli', sub: 'ana', iat: now, exp: now + 600 }
    return {
      access_token: 'at',
      token_type: 'bearer',
      expires_in: 600,
      refresh_token: current,
      id_token: `${part({ alg: 'RS256' })}.${part(claims)}.${part({})}`,
    }
  }
  const token = (form: URLSearchParams): [number, object] => {
    if (form.get('grant_type') === 'refresh_token') {
      refreshes += 1
      if (form.get('refresh_token') === current) return [200, tokens()]
      reused += 1
      current = ''
      return [400, { error: 'invalid_grant' }]
    }
    polls += 1
    if (provider.answer === 'approved') return [200, tokens()]
    return [
      400,
      { error: provider.answer === 'pending' ? 'authorization_pending' : provider.answer },
    ]
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void (async () => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      const send = (status: number, value: object): void => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(value))
      }
      if (request.url === '/.well-known/openid-configuration') {
        return send(200, {
          issuer,
          device_authorization_endpoint: `${issuer}/device`,
          token_endpoint: `${issuer}/token`,
          authorization_endpoint: `${issuer}/auth`,
          jwks_uri: `${issuer}/jwks`,
        })
      }
      if (request.url === '/device') {
        return send(200, {
          device_code: 'dc',
          user_code: 'ABCD-EFGH',
          verification_uri: `${issuer}/activate`,
          verification_uri_complete: `${issuer}/activate?code=ABCD-EFGH`,
          expires_in: 120,
          interval: 0.05,
        })
      }
      if (request.url === '/token') return send(...token(new URLSearchParams(body)))
      return send(404, { error: 'not_found' })
    })()
  })
  return provider
}
