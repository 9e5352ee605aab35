// Owns what is known of issuers that everybody may use: whoever has an account there gets a token of theirs for any
// audience. A rule for one must name whose workload it means, or it would let in the whole world.

import type { JsonValue } from '../core/json.js'

interface SharedIssuer {
  /** Claims that name the owner, each with the place of the owner among the segments of its value. */
  readonly owners: Readonly<Record<string, number>>
  /** One of these says from which branch or environment the job comes. */
  readonly places: readonly string[]
}

const GITHUB: SharedIssuer = {
  // https://docs.github.com/actions/reference/openid-connect-reference: a `sub` begins with repo:OWNER/NAME.
  owners: {
    repository: 0,
    repository_id: 0,
    repository_owner: 0,
    repository_owner_id: 0,
    enterprise: 0,
    enterprise_id: 0,
    sub: 1,
  },
  places: ['ref', 'environment', 'sub', 'workflow_ref', 'job_workflow_ref'],
}
const GITLAB: SharedIssuer = {
  // https://docs.gitlab.com/ci/secrets/id_token_authentication: a `sub` begins with project_path:GROUP/PROJECT.
  owners: { project_path: 0, project_id: 0, namespace_path: 0, namespace_id: 0, sub: 1 },
  places: ['ref', 'ref_path', 'environment', 'sub'],
}
const SHARED: ReadonlyMap<string, SharedIssuer> = new Map([
  ['https://token.actions.githubusercontent.com', GITHUB],
  ['https://gitlab.com', GITLAB],
])

type Claims = Readonly<Record<string, JsonValue>>

/** What would let anybody in, or undefined. */
export function opennessProblem(issuer: string, claims: Claims): string | undefined {
  const shared = SHARED.get(issuer)
  if (shared === undefined) return undefined
  const named = Object.entries(shared.owners).some(([claim, place]) => {
    const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined
    if (typeof value !== 'string') return false
    const segment = value.split(/[/:]/)[place]
    return segment !== undefined && segment !== '' && segment !== '*'
  })
  if (named) return undefined
  return `everybody can get a token of ${issuer} with these claims: name whose workload it is`
}

/** The claims of which one should be named, when none is; for a hint. */
export function ownerClaims(issuer: string): readonly string[] {
  return Object.keys(SHARED.get(issuer)?.owners ?? {})
}

/** A warning when any branch and any pull request of the named repository would do. */
export function placeWarning(issuer: string, claims: Claims): string | undefined {
  const shared = SHARED.get(issuer)
  if (shared === undefined || shared.places.some((claim) => Object.hasOwn(claims, claim))) {
    return undefined
  }
  return `names no ${shared.places.slice(0, 2).join(' or ')}: every branch and pull request of it may use the role`
}
