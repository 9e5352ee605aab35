// Owns the part of the control API's contract that speaks of approval requests and of taking access away.

import { z } from 'zod'

export const REQUEST_STATES = [
  'open',
  'approved',
  'denied',
  'expired',
  'voided',
  'consumed',
] as const

const previewCount = z.union([
  z.object({ collection: z.string(), rows: z.number(), of: z.number().optional() }),
  z.object({ collection: z.string(), unknown: z.string() }),
])

const person = z.object({ id: z.string(), name: z.string(), provider: z.string() })

/** One request as it is shown to the requester, to those who may answer, and to administrators and auditors. */
export const requestRow = z.object({
  id: z.string(),
  kind: z.enum(['operation', 'access']),
  state: z.enum(REQUEST_STATES),
  requester: person,
  target: z.string(),
  roles: z.array(z.string()),
  reason: z.string().optional(),
  ticket: z.string().optional(),
  session: z.string().optional(),
  /** Rules that hold it, each with the groups and the number of people it asks for. */
  terms: z.array(z.object({ rule: z.string(), by: z.array(z.string()), count: z.number().int() })),
  approvers: z.array(z.string()),
  created_at: z.string(),
  expires_at: z.string(),
  url: z.string(),
  answers: z.array(
    person.extend({
      verdict: z.enum(['approve', 'deny']),
      reason: z.string().optional(),
      at: z.string(),
    }),
  ),
  /** Of an operation. */
  operation: z
    .object({
      name: z.string(),
      text: z.string(),
      parameters: z.array(z.string().nullable()).optional(),
      collections: z.array(
        z.object({
          collection: z.string(),
          access: z.string(),
          action: z.string(),
          effect: z.looseObject({ kind: z.string() }),
        }),
      ),
      risks: z.array(z.string()),
      reason: z.string(),
      preview: z.array(previewCount),
    })
    .optional(),
  /** Of access: how long it was asked for. */
  ttl_seconds: z.number().int().optional(),
  /** Of a consumed operation: `done`, `failed` or `unknown`. */
  outcome: z.string().optional(),
})
export type RequestRow = z.infer<typeof requestRow>

/** `GET /v1/requests[?state=…]`: own requests and those that the caller may answer. Newest first. */
export const requestsBody = z.object({ requests: z.array(requestRow) })
/** `GET /v1/requests/{id}`, and the answer to `approve` and `deny`. */
export const requestBody = z.object({ request: requestRow })

/** `POST /v1/requests/{id}/approve`. */
export const approveRequest = z.strictObject({
  ttl_seconds: z
    .number()
    .int()
    .positive()
    .max(366 * 86400)
    .optional(),
  collections: z.array(z.string().min(1).max(500)).min(1).max(100).optional(),
})
export type ApproveRequest = z.infer<typeof approveRequest>

/** `POST /v1/requests/{id}/deny`. */
export const denyRequest = z.strictObject({ reason: z.string().min(1).max(2000) })

/** `POST /v1/revoke`: exactly one of the two. `principal` is an id, or a display name that one principal has. */
export const revokeRequest = z.strictObject({
  grant: z.string().max(100).optional(),
  principal: z.string().max(500).optional(),
  reason: z.string().max(2000).optional(),
})
export type RevokeRequest = z.infer<typeof revokeRequest>
export const revokedBody = z.object({
  grants: z.array(z.string()),
  sessions: z.array(z.string()),
  principal: z.string().optional(),
})
export type RevokedBody = z.infer<typeof revokedBody>

/** `POST /v1/sessions/{id}/kill`. */
export const killRequest = z.strictObject({ reason: z.string().max(2000).optional() })
export const killedBody = z.object({ session: z.string() })

/** `POST /v1/grants`, status 202: a second person has to say yes first. The same request again takes it up. */
export const grantPendingBody = z.object({
  pending: z.object({
    request: z.string(),
    approvers: z.array(z.string()),
    url: z.string(),
    expires_at: z.string(),
  }),
})
export type GrantPending = z.infer<typeof grantPendingBody>['pending']
