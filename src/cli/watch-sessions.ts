// Owns following sessions: what changed since the last look, each change once. A gateway that is gone for a while is
// asked again until it answers.

import type { GatewayApi } from '../client/gateway-api.js'
import type { SessionRow } from '../core/api.js'
import type { SessionChanges } from '../core/api-sessions.js'
import { VgateError } from '../core/errors.js'

const POLL_MS = 1_000
/** What was written a moment before the last look may not have been seen by it. */
const OVERLAP_MS = 2_000

export type SessionChange =
  | { readonly kind: 'started'; readonly session: SessionRow }
  | { readonly kind: 'ended'; readonly session: SessionRow }
  | { readonly kind: 'held'; readonly held: SessionChanges['held'][number] }
  | { readonly kind: 'lost' }
  | { readonly kind: 'regained' }

/** Changes as they come, until `stopped` resolves. Rejects when the gateway refuses. */
export async function* sessionChanges(
  api: Pick<GatewayApi, 'sessionChanges'>,
  stopped: Promise<unknown>,
): AsyncGenerator<SessionChange> {
  let seen = new Map<string, number>()
  let after: number | undefined
  let lost = false
  let over = false
  void stopped.then(() => {
    over = true
  })
  while (!over) {
    const changes = await api.sessionChanges(after).catch((error: unknown) => {
      if (error instanceof VgateError && error.code === 'VGATE_GATEWAY_UNREACHABLE')
        return undefined
      throw error
    })
    if (lost !== (changes === undefined)) {
      lost = changes === undefined
      yield { kind: lost ? 'lost' : 'regained' }
    }
    if (changes !== undefined) {
      for (const [name, change] of named(changes)) {
        if (!seen.has(name)) yield change
        seen.set(name, changes.now)
      }
      after = (after ?? changes.now) > changes.now ? after : changes.now - OVERLAP_MS
      const old = changes.now - 10 * OVERLAP_MS
      seen = new Map([...seen].filter(([, at]) => at > old))
    }
    await Promise.race([stopped, new Promise((next) => setTimeout(next, POLL_MS))])
  }
}

function* named({ started, ended, held }: SessionChanges): Generator<[string, SessionChange]> {
  for (const session of started) yield [`started ${session.id}`, { kind: 'started', session }]
  for (const one of held) yield [`held ${one.request}`, { kind: 'held', held: one }]
  for (const session of ended) yield [`ended ${session.id}`, { kind: 'ended', session }]
}
