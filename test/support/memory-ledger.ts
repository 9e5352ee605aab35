// Owns a ledger of short-lived database users in memory. Handed to a second gateway it stands for the store of one that
// died.

import type { LeftUser, TargetSpec, UserLedger } from '../../src/core/authority.js'
import { VgateError } from '../../src/core/errors.js'

export interface MemoryLedger extends UserLedger {
  /** Users that are not gone. */
  readonly users: Map<string, LeftUser>
  /** What was told of which user, in order. */
  readonly told: [what: string, user: string, message?: string][]
}

/** A ledger for one target; `grantOf` answers a session's grant, and rejects when it is over. */
export function memoryLedger(
  target: TargetSpec,
  credential: { readonly username: string; readonly password: string },
  grantOf: (session: string) => string,
): MemoryLedger {
  const users: MemoryLedger['users'] = new Map()
  const told: MemoryLedger['told'] = []
  return {
    users,
    told,
    begun: async ({ session, user }) => {
      const [heir = ''] = target.mint?.role.memberOf ?? []
      users.set(user, { user, grant: grantOf(session), heir, target })
      told.push(['minted', user])
    },
    failed: async ({ user, message }) => void told.push(['not_minted', user, message]),
    kept: async ({ user, message }) => void told.push(['not_dropped', user, message]),
    dropped: async (user) => {
      users.delete(user)
      told.push(['dropped', user])
    },
    left: async () => [...users.values()],
    leaseCredential: async (user) => {
      if (!users.has(user)) throw new VgateError('VGATE_NOT_FOUND', 'no such user')
      return credential
    },
  }
}
