// Owns the part of the control API's contract that looks for sessions, follows them, and asks who wrote or deleted a
// key. Searches are POSTed: what is looked for may be somebody's name, and addresses end up in logs of proxies.

import { z } from 'zod'
import { sessionRow } from './api.js'

export const SESSION_PATHS = {
  search: '/v1/sessions/search',
  watch: '/v1/sessions/watch',
  keys: '/v1/audit/search',
} as const

export const DECISIONS = ['permit', 'hold', 'deny'] as const

const name = z.string().min(1).max(500)
const time = z.iso.datetime()
const limit = z.int().min(1).max(1000)

/** `POST /v1/sessions/search`: all that is given must hold; `collection`, `operation` and `decision` of one use. */
export const sessionSearch = z.strictObject({
  /** Id or name of a person or workload. */
  person: name.optional(),
  target: name.optional(),
  collection: name.optional(),
  operation: name.optional(),
  decision: z.enum(DECISIONS).optional(),
  key: z.string().max(8192).optional(),
  /** Words, all of which occur in statements or parameters. */
  text: name.optional(),
  since: time.optional(),
  until: time.optional(),
  /** The last session of the page before. */
  before: z.string().max(100).optional(),
  limit: limit.optional(),
})
export type SessionSearchBody = z.infer<typeof sessionSearch>

/** What a search cannot answer for. */
export const indexStanding = z.object({
  /** Recordings that wait to be read. */
  behind: z.int(),
  /** Of recordings that were tampered with, are missing here, or cannot be read: how many, and some of them. */
  unread: z.int(),
  some: z.array(z.object({ session: z.string(), state: z.string() })),
})
export type IndexStanding = z.infer<typeof indexStanding>

/** Newest first. `next` is there when there are more: the `before` of the next page. */
export const foundSessionsBody = z.object({
  sessions: z.array(sessionRow),
  next: z.string().optional(),
  index: indexStanding,
})
export type FoundSessions = z.infer<typeof foundSessionsBody>

/** `POST /v1/audit/search`. */
export const keySearch = z.strictObject({
  collection: name,
  key: z.string().max(8192),
  target: name.optional(),
  since: time.optional(),
  until: time.optional(),
  limit: limit.optional(),
})
export type KeySearchBody = z.infer<typeof keySearch>

const person = z.object({ id: z.string(), name: z.string(), provider: z.string() })

/** One write or delete: who, when, where it stands in which recording, and how it ended. */
export const touchRow = z.object({
  at: z.string(),
  session: z.string(),
  record: z.int(),
  principal: person,
  target: z.string(),
  collection: z.string(),
  operation: z.string(),
  /** See docs/sessions.md. */
  outcome: z.string(),
  /** Rows that the whole operation touched. */
  rows: z.int().optional(),
  approval: z
    .object({
      request: z.string(),
      by: z.array(z.object({ id: z.string(), name: z.string() })),
    })
    .optional(),
  /** Where keys are not named: the statement, unless the policy keeps it out of the record. */
  predicate: z.string().optional(),
})
export type TouchRow = z.infer<typeof touchRow>

const touches = z.object({ found: z.array(touchRow), more: z.boolean() })

/** `named`: operations that name the key. `unnamed`: that may have touched it, because they name no keys. Newest first. */
export const foundKeyBody = z.object({ named: touches, unnamed: touches, index: indexStanding })
export type FoundKey = z.infer<typeof foundKeyBody>

/** `GET /v1/sessions/watch?after=`: what changed after a time of the gateway; without it, nothing but its time. */
export const sessionChangesBody = z.object({
  now: z.int(),
  started: z.array(sessionRow),
  ended: z.array(sessionRow),
  held: z.array(
    z.object({
      request: z.string(),
      session: z.string(),
      principal: person,
      target: z.string(),
      operation: z.string(),
      collections: z.array(z.string()),
      at: z.string(),
    }),
  ),
})
export type SessionChanges = z.infer<typeof sessionChangesBody>
