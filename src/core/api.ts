// Owns the control API's contract: what client and control say to each other over HTTP. Times are ISO 8601 in UTC.
// A failure is `{"error":{code,message,hint?,details?}}` with the HTTP status of the error table.

import { z } from 'zod'

export const API_VERSION = 1
export const TUNNEL_VERSION = 1
export const TUNNEL_SUBPROTOCOL = 'vgate.tunnel.v1'

export const PATHS = {
  discovery: '/.well-known/vgate',
  token: '/v1/token',
  logout: '/v1/logout',
  whoami: '/v1/whoami',
  targets: '/v1/targets',
  grants: '/v1/grants',
  tunnel: '/v1/tunnel',
  sessions: '/v1/sessions',
  requests: '/v1/requests',
  revoke: '/v1/revoke',
  /** The page of a request, for browsers. */
  requestPage: '/r',
  keys: '/v1/keys',
} as const

export const errorBody = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  }),
})

/** A public key that signs recordings and the audit log. `public` is the raw 32 bytes in base64. */
export const signingKey = z.object({
  id: z.string(),
  algorithm: z.literal('Ed25519'),
  public: z.string(),
  since: z.string(),
  /** By this key, over itself and all before it. Absent for a gateway's first. */
  signature: z.string().exactOptional(),
})
export type SigningKey = z.infer<typeof signingKey>

/** `GET /.well-known/vgate`, unauthenticated. */
export const discovery = z.object({
  v: z.literal(1),
  name: z.literal('vgate'),
  version: z.string(),
  api: z.object({ versions: z.array(z.number().int()) }),
  tunnel: z.object({ path: z.string(), versions: z.array(z.number().int()) }),
  providers: z.array(
    z.object({
      name: z.string(),
      type: z.enum(['oidc']),
      issuer: z.string(),
      client_id: z.string(),
      scopes: z.array(z.string()),
    }),
  ),
  /** Issuers of workloads' tokens (CI platforms, clusters), and the audience that such a token must name. */
  workloads: z
    .array(z.object({ name: z.string(), issuer: z.string(), audience: z.string() }))
    .default([]),
  keys: z.array(signingKey),
  time: z.string(),
})
export type Discovery = z.infer<typeof discovery>

export const principalBody = z.object({
  id: z.string(),
  kind: z.enum(['person', 'workload']),
  provider: z.string(),
  issuer: z.string(),
  subject: z.string(),
  name: z.string(),
  groups: z.array(z.string()),
})
export type PrincipalBody = z.infer<typeof principalBody>

/**
 * `POST /v1/token`: an identity token for vgate's own access token (≤ 15 minutes). People: `{provider, id_token}`.
 * Workloads: `{provider?, token}`; without a provider it is found by the token's issuer.
 */
export const tokenRequest = z
  .strictObject({
    provider: z.string().max(200).optional(),
    id_token: z
      .string()
      .max(64 * 1024)
      .optional(),
    token: z
      .string()
      .max(64 * 1024)
      .optional(),
  })
  .refine(({ id_token, token }) => (id_token === undefined) !== (token === undefined), {
    path: ['id_token'],
  })
  .refine(({ provider, id_token }) => id_token === undefined || provider !== undefined, {
    path: ['provider'],
  })
export const tokenBody = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_at: z.string(),
  principal: principalBody,
})
export type TokenBody = z.infer<typeof tokenBody>

/** `GET /v1/whoami`. */
export const whoamiBody = z.object({
  principal: principalBody,
  expires_at: z.string(),
  administrator: z.boolean(),
  auditor: z.boolean(),
})
export type WhoamiBody = z.infer<typeof whoamiBody>

/** `GET /v1/targets`: those that at least one access rule opens to the caller, and nothing of the others. */
export const targetsBody = z.object({
  targets: z.array(
    z.object({
      name: z.string(),
      database: z.string(),
      roles: z.array(z.object({ name: z.string(), approval: z.boolean() })),
      contact: z.string().optional(),
    }),
  ),
})
export type TargetsBody = z.infer<typeof targetsBody>

/** `POST /v1/grants`. */
export const grantRequest = z.strictObject({
  target: z.string().max(200),
  role: z.string().max(200).optional(),
  reason: z.string().max(2000).optional(),
  ticket: z.string().max(200).optional(),
  ttl_seconds: z
    .number()
    .int()
    .positive()
    .max(366 * 86400)
    .optional(),
  /** A workload whose platform makes fresh tokens: the grant may outlive this one, if it is renewed. */
  fresh_tokens: z.boolean().optional(),
})
export type GrantRequest = z.infer<typeof grantRequest>
export const grantBody = z.object({
  grant: z.object({
    id: z.string(),
    target: z.string(),
    database: z.string(),
    database_name: z.string(),
    roles: z.array(z.string()),
    starts_at: z.string(),
    ends_at: z.string(),
    /** For people: other roles that need approval, masks of several roles that met, a TTL that was cut. */
    notes: z.array(z.string()),
    /** Of a workload: without a renewal from a fresh token the sessions end here. */
    proof_until: z.string().optional(),
  }),
})
export type GrantBody = z.infer<typeof grantBody>
/** `POST /v1/grants/{id}/renew` with `{}`: the caller's token, made from a fresh identity token, proves it anew. */
export const renewBody = z.object({ proof_until: z.string() })

export const sessionRow = z.object({
  id: z.string(),
  principal: z.object({ id: z.string(), name: z.string(), provider: z.string() }),
  target: z.string(),
  database: z.string(),
  roles: z.array(z.string()),
  reason: z.string().optional(),
  started_at: z.string(),
  ended_at: z.string().optional(),
  /** `open`, or why it ended; `crashed` for one found open at the gateway's start. */
  state: z.string(),
  operations: z.number().int(),
  denied: z.number().int(),
  rows: z.number().int(),
})
export type SessionRow = z.infer<typeof sessionRow>
/** `GET /v1/sessions`: own sessions; everybody's for auditors. Newest first. */
export const sessionsBody = z.object({ sessions: z.array(sessionRow) })
/** `GET /v1/sessions/{id}`; the recording's bytes are at `/v1/sessions/{id}/recording`. */
export const sessionBody = z.object({
  session: sessionRow,
  /** What was done in it, as far as its recording is indexed. */
  uses: z
    .array(
      z.object({
        collection: z.string(),
        operation: z.string(),
        decision: z.string(),
        count: z.int(),
      }),
    )
    .default([]),
})
export type SessionBody = z.infer<typeof sessionBody>
/** `GET /v1/keys`: key history. */
export const keysBody = z.object({ keys: z.array(signingKey) })

/** Messages on stream 0 of the tunnel. The client speaks first. */
export const scramVerifier = z.strictObject({
  iterations: z.number().int().min(4096).max(1_000_000),
  salt: z.string().max(200),
  storedKey: z.string().max(100),
  serverKey: z.string().max(100),
})

export const clientMessage = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('open_session'),
    grant: z.string().max(100),
    client: z.strictObject({
      version: z.string().max(100),
      platform: z.string().max(100),
      command: z.enum(['connect', 'exec']),
    }),
    secret: scramVerifier,
  }),
  z.strictObject({ type: z.literal('close_session') }),
])
export type ClientMessage = z.infer<typeof clientMessage>

export const gatewayMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('session'),
    session: z.string(),
    target: z.string(),
    database: z.string(),
    database_name: z.string(),
    /** Names a stream may be opened to, e.g. `postgres`. */
    endpoints: z.array(z.string()),
    expires_at: z.string(),
  }),
  z.object({
    type: z.literal('denied'),
    operation: z.string(),
    rule: z.string(),
    message: z.string(),
  }),
  z.object({
    type: z.literal('held'),
    request: z.string(),
    operation: z.string(),
    collections: z.array(z.string()),
    preview: z.string(),
    approvers: z.array(z.string()),
    url: z.string(),
  }),
  z.object({ type: z.literal('released'), request: z.string() }),
  z.object({ type: z.literal('expiring'), expires_at: z.string() }),
  z.object({
    type: z.literal('end'),
    reason: z.enum(['expired', 'revoked', 'stopped', 'gateway_lost', 'upstream_lost', 'error']),
    code: z.string().optional(),
    message: z.string(),
    hint: z.string().optional(),
  }),
])
export type GatewayMessage = z.infer<typeof gatewayMessage>
