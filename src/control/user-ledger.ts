// Owns what is kept of short-lived database users: in the store while one may be there, in the audit log for good.

import type { LeftUser, UserLedger } from '../core/authority.js'
import { VgateError } from '../core/errors.js'
import type { Grant } from '../core/grant.js'
import type { Principal } from '../core/principal.js'
import type { Store } from '../store/store.js'
import { type ControlDeps, isoTime, recordedPrincipal } from './deps.js'
import type { TargetSettings } from './settings.js'
import type { TargetCredentials } from './target-credentials.js'

interface Deps {
  readonly config: Pick<ControlDeps['config'], 'targets'>
  readonly store: Pick<Store, 'recordUser' | 'forgetUser' | 'listUsers'>
  readonly audit: ControlDeps['audit']
}

/** What stands of a session that goes on. */
interface Standing {
  readonly principal: Principal
  readonly grant: Grant
  readonly target: TargetSettings
}

/** The ledger of one gateway. `standing` rejects for a session that is over. */
export function createUserLedger(
  { config, store, audit }: Deps,
  credentials: TargetCredentials,
  standing: (session: string) => Promise<Standing>,
): UserLedger {
  const find = async (user: string) => (await store.listUsers()).find(({ name }) => name === user)

  /** What became of one, with where it belongs. */
  const tell = async (
    type: 'user.dropped' | 'user.not_minted' | 'user.not_dropped',
    user: string,
    message?: string,
  ): Promise<void> => {
    const known = await find(user)
    const { target, grant } = known ?? {}
    await audit.append({
      type,
      user,
      ...(target === undefined ? {} : { target }),
      ...(grant === undefined ? {} : { grant }),
      ...(message === undefined ? {} : { message }),
    })
  }

  return {
    async begun({ session, user }) {
      const { principal, grant, target } = await standing(session)
      const memberOf = target.spec.mint?.role.memberOf ?? []
      const [heir] = memberOf
      if (heir === undefined)
        throw new VgateError('VGATE_UNEXPECTED', 'the target makes no users of its own')
      // The store first: what the log alone knows, nobody would drop.
      await store.recordUser({ name: user, grant: grant.id, target: grant.target, heir })
      await audit.append(
        {
          type: 'user.minted',
          user,
          target: grant.target,
          grant: grant.id,
          session,
          principal: recordedPrincipal(principal),
          memberOf,
          validUntil: isoTime(grant.endsAt),
        },
        { sync: true },
      )
    },

    failed: ({ user, message }) => tell('user.not_minted', user, message),

    kept: ({ user, message }) => tell('user.not_dropped', user, message),

    async dropped(user) {
      await tell('user.dropped', user)
      await store.forgetUser(user)
    },

    async left() {
      const users = await store.listUsers()
      return users.flatMap(({ name, grant, heir, target }): LeftUser[] => {
        const settings = config.targets.get(target)
        return settings === undefined ? [] : [{ user: name, grant, heir, target: settings.spec }]
      })
    },

    async leaseCredential(user) {
      const known = await find(user)
      const target = config.targets.get(known?.target ?? '')
      if (target === undefined)
        throw new VgateError('VGATE_NOT_FOUND', 'there is no such database user')
      return credentials.of(target)
    },
  }
}
