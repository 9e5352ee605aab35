// Owns a CI platform in miniature: an issuer with discovery and keys over real HTTP, the endpoint at which a GitHub job
// asks for its token, and tokens signed with jose.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export interface WorkloadIssuer {
  readonly issuer: string
  /** A token of this issuer. Members that are undefined are left out. */
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>
  /** What a job of GitHub has in its environment. */
  readonly githubEnv: Readonly<Record<string, string>>
  /** Claims of the tokens that the endpoint makes; `seconds` is how long they live. */
  job: { claims: Readonly<Record<string, unknown>>; seconds: number }
  /** Audiences that the endpoint was asked for. */
  readonly asked: string[]
  close(): Promise<void>
}

/** Claims of a push to main in acme/ingest, as GitHub writes them. */
export function githubClaims(
  over: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    sub: 'repo:acme/ingest:ref:refs/heads/main',
    repository: 'acme/ingest',
    repository_owner: 'acme',
    repository_id: '1001',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    event_name: 'push',
    workflow: 'nightly',
    job_workflow_ref: 'acme/ingest/.github/workflows/nightly.yml@refs/heads/main',
    runner_environment: 'github-hosted',
    ...over,
  }
}

/** Starts the platform on a free loopback port. */
export async function startWorkloadIssuer(): Promise<WorkloadIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'ci-1', alg: 'RS256', use: 'sig' }
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const issuer = `http://127.0.0.1:${address.port}`
  const requestToken = 'request-token-of-the-job'
  const sign: WorkloadIssuer['sign'] = (claims) => {
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
  const platform: WorkloadIssuer = {
    issuer,
    sign,
    githubEnv: {
      CI: 'true',
      ACTIONS_ID_TOKEN_REQUEST_URL: `${issuer}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: requestToken,
    },
    job: { claims: githubClaims(), seconds: 300 },
    asked: [],
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const answer = async (request: IncomingMessage): Promise<[number, object]> => {
    const url = new URL(request.url ?? '/', issuer)
    if (url.pathname === '/.well-known/openid-configuration') {
      return [200, { issuer, jwks_uri: `${issuer}/jwks` }]
    }
    if (url.pathname === '/jwks') return [200, { keys: [jwk] }]
    if (url.pathname !== '/token') return [404, {}]
    if (request.headers.authorization !== `Bearer ${requestToken}`) return [401, {}]
    const audience = url.searchParams.get('audience') ?? issuer
    platform.asked.push(audience)
    const exp = Math.floor(Date.now() / 1000) + platform.job.seconds
    return [200, { value: await sign({ ...platform.job.claims, aud: audience, exp }) }]
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void answer(request).then(([status, body]) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    })
  })
  return platform
}
