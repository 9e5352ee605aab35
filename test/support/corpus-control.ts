// Owns what second people and the control plane do to an item of the corpus while it waits: approve, deny, take access
// away. It notes what had reached the database by then.

import type { Principal } from '../../src/core/principal.js'
import type { TestConnection, TestGateway } from './gateway.js'

/** What may be done to an item that is held. */
export interface Control {
  /** The item waits for this request: notes what the database has been given of it so far. */
  held(request: string): Promise<void>
  deny(request: string): Promise<void>
  /** So many people answer with yes at once; answers that come too late are no fault of the item. */
  approve(request: string, people: number): Promise<void>
  revokeGrant(user: string): Promise<void>
  readonly seen: Seen
}

/** What was seen of an item's holds. */
export interface Seen {
  readonly requests: readonly string[]
  /** The database's statement log up to the last of them; what stands there ran without an answer. */
  readonly logBefore: string
  readonly approved: boolean
  readonly revoked: boolean
}

/** For items of `connection`; `log` reads the database's statement log since the item began. */
export function controlOf(
  gateway: TestGateway,
  connection: TestConnection,
  log: () => string,
): Control {
  const seen = { requests: [] as string[], logBefore: '', approved: false, revoked: false }
  const approver = (at: number): Promise<Principal> =>
    gateway.person(`approver-${at}`, ['corp:vector-approvers'])
  return {
    seen,
    held: async (request) => {
      seen.requests.push(request)
      seen.logBefore = log()
    },
    deny: async (request) =>
      gateway.requests
        .deny(await approver(0), request, 'not in this test')
        // A read that went past its limit is refused and its request stays open; it may be answered by now.
        .catch(() => undefined),
    approve: async (request, people) => {
      seen.approved = true
      const all = await Promise.all(Array.from({ length: people }, (_, at) => approver(at)))
      await Promise.allSettled(all.map((by) => gateway.requests.approve(by, request, {})))
    },
    revokeGrant: async (user) => {
      if (user !== connection.user) throw new Error(`the item does not run as ${user}`)
      seen.revoked = true
      await gateway.revoke(connection)
    },
  }
}
