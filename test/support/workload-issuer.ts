// Owns a CI platform for tests: the demo's issuer, with the endpoint at which a GitHub job asks for its token.

import {
  type WorkloadIssuer as Issuer,
  startWorkloadIssuer as startIssuer,
} from '../../src/demo/workload-issuer.js'

export interface WorkloadIssuer extends Issuer {
  /** What a job of GitHub has in its environment. */
  readonly githubEnv: Readonly<Record<string, string>>
  /** Claims of the tokens that the endpoint makes; `seconds` is how long they live. */
  job: { claims: Readonly<Record<string, unknown>>; seconds: number }
  /** Audiences that the endpoint was asked for. */
  readonly asked: string[]
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
  const requestToken = 'request-token-of-the-job'
  const state: Pick<WorkloadIssuer, 'job' | 'asked'> = {
    job: { claims: githubClaims(), seconds: 300 },
    asked: [],
  }
  const issuer = await startIssuer(async (url, sign, request) => {
    if (url.pathname !== '/token') return undefined
    if (request.headers.authorization !== `Bearer ${requestToken}`) return { status: 401, json: {} }
    const audience = url.searchParams.get('audience') ?? url.origin
    state.asked.push(audience)
    const exp = Math.floor(Date.now() / 1000) + state.job.seconds
    const value = await sign({ ...state.job.claims, aud: audience, exp })
    return { status: 200, json: { value } }
  })
  return Object.assign(state, issuer, {
    githubEnv: {
      CI: 'true',
      ACTIONS_ID_TOKEN_REQUEST_URL: `${issuer.issuer}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: requestToken,
    },
  })
}
