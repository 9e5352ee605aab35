// Owns the database users that live as long as the sessions of one grant: one for each grant that is in use here, made
// by the target's own user, dropped behind the last session, and what a process that died left over. A password is in
// this memory alone.

import { randomBytes } from 'node:crypto'
import type { UserMaker } from '../core/adapter.js'
import type { LeftUser, SessionLease, TargetSpec, UserLedger } from '../core/authority.js'
import { asVgateError, VgateError } from '../core/errors.js'
import { Secret } from '../core/secret.js'
import type { LeaseCredential, SideQueries } from './side-queries.js'

/** Between two tries to drop what could not be dropped. */
export const DROP_RETRY_MS = 2_000
/** How long a stop waits for users to be dropped; the next start drops the rest. */
export const DROP_DEADLINE_MS = 3_000
/** Connections that its user may have for each that a session may: those that are closed take a moment to be gone. */
const CONNECTIONS_EACH = 2

type Credential = Awaited<ReturnType<LeaseCredential>>

/** The user of one grant, from the first session that takes it to the last. */
interface GrantUser {
  readonly sessions: Set<string>
  /** Settles when there is one; forgotten where that failed, so that the next connection tries again. */
  made: Promise<Credential> | undefined
}

export interface ShortLivedUsersOptions {
  readonly ledger: UserLedger
  readonly now: () => number
  readonly connectionsPerSession: number
  readonly makerOf: (target: TargetSpec) => UserMaker
  /** The gateway's own connections to a target; `key` lends them its credential. */
  readonly sideQueries: (
    target: TargetSpec,
    key: string,
    credential: LeaseCredential,
  ) => Promise<SideQueries>
  readonly report: (event: string, error: unknown) => void
}

export class ShortLivedUsers {
  readonly #options: ShortLivedUsersOptions
  readonly #byGrant = new Map<string, GrantUser>()
  /** Names that this process made or is making: not left over. */
  readonly #own = new Set<string>()
  /** To be dropped, by name. */
  readonly #left = new Map<string, LeftUser>()
  readonly #told = new Set<string>()
  readonly #dropping = new Map<string, Promise<void>>()
  /** The newest of them on each target. */
  readonly #last = new Map<string, Promise<void>>()
  #unread = false
  #retry: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: ShortLivedUsersOptions) {
    this.#options = options
  }

  /** A session begins. Its user is made meanwhile; a failure is told to the first connection. */
  begin(lease: SessionLease, credential: LeaseCredential): void {
    if (lease.target.mint === undefined) return
    const { id } = lease.grant
    const user = this.#byGrant.get(id) ?? { sessions: new Set(), made: undefined }
    user.sessions.add(lease.session)
    this.#byGrant.set(id, user)
    this.login(lease, credential)?.catch((error: unknown) =>
      this.#options.report('user.not_minted', error),
    )
  }

  /** What a connection of the session logs in with; undefined where the target's own user serves everybody. */
  login(lease: SessionLease, credential: LeaseCredential): Promise<Credential> | undefined {
    const user = this.#byGrant.get(lease.grant.id)
    if (user === undefined) return undefined
    const made = user.made ?? this.#make(lease, credential)
    user.made = made
    made.catch(() => {
      if (user.made === made) user.made = undefined
    })
    return made
  }

  /** A session is over: behind the last of its grant the user is dropped. */
  end(lease: SessionLease): void {
    const user = this.#byGrant.get(lease.grant.id)
    if (user?.sessions.delete(lease.session) !== true || user.sessions.size > 0) return
    this.#byGrant.delete(lease.grant.id)
    user.made?.then(
      ({ username }) => this.#drop(leftOf(lease, username)),
      () => undefined, // what may be left of it is being dropped already
    )
  }

  /** Drops what processes that died have left. Tries again until it is done; never rejects. */
  async dropLeft(): Promise<void> {
    try {
      for (const left of await this.#options.ledger.left())
        if (!this.#own.has(left.user)) this.#left.set(left.user, left)
      this.#unread = false
    } catch (error) {
      this.#unread = true
      this.#options.report('user.not_dropped', error)
    }
    await this.#again()
  }

  /** Waits a moment for what is being dropped. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retry)
    let deadline: NodeJS.Timeout | undefined
    const over = new Promise<void>((resolve) => {
      deadline = setTimeout(resolve, DROP_DEADLINE_MS)
    })
    await Promise.race([this.#settled(), over])
    clearTimeout(deadline)
  }

  async #settled(): Promise<void> {
    while (this.#dropping.size > 0) await Promise.all(this.#dropping.values())
  }

  async #make(lease: SessionLease, credential: LeaseCredential): Promise<Credential> {
    const { target, grant, session } = lease
    const { ledger, now, connectionsPerSession, makerOf, sideQueries } = this.#options
    const { memberOf = [], prefix = '' } = target.mint?.role ?? {}
    const maker = makerOf(target)
    const made = maker.invent(prefix, randomBytes)
    const user = made.username
    this.#own.add(user)
    await ledger.begun({ session, user })
    try {
      const side = await sideQueries(target, session, credential)
      const wanted = {
        memberOf,
        grant: grant.id,
        lifeMs: Math.max(0, grant.endsAt - now()),
        connections: connectionsPerSession * CONNECTIONS_EACH,
      }
      await side.administer((query) => maker.create(query, made, wanted, randomBytes))
      return { username: user, password: new Secret(made.password) }
    } catch (error) {
      const { message } = asVgateError(error, 'the user could not be made')
      await ledger.failed({ user, message }).catch(() => undefined)
      // Its answer may have been lost on the way, so that it is there all the same.
      this.#drop(leftOf(lease, user))
      throw error
    }
  }

  /** One at a time on a target: the other connection there is for the catalogue. */
  #drop(left: LeftUser): void {
    const { user, target } = left
    if (this.#dropping.has(user)) return
    this.#left.set(user, left)
    const before = this.#last.get(target.name) ?? Promise.resolve()
    const dropped = before
      .then(() => this.#dropNow(left))
      .finally(() => this.#dropping.delete(user))
    this.#last.set(target.name, dropped)
    this.#dropping.set(user, dropped)
  }

  async #dropNow(left: LeftUser): Promise<void> {
    const { user, target, grant, heir } = left
    const { ledger, makerOf, sideQueries, report } = this.#options
    try {
      const lease: LeaseCredential = async () => {
        const { username, password } = await ledger.leaseCredential(user)
        return { username, password: new Secret(password) }
      }
      const side = await sideQueries(target, user, lease)
      await side.administer((query) => makerOf(target).drop(query, { name: user, grant, heir }))
      await ledger.dropped(user)
      this.#forget(user)
    } catch (error) {
      if (error instanceof VgateError && error.code === 'VGATE_NOT_FOUND') return this.#forget(user)
      if (!this.#told.has(user)) {
        this.#told.add(user)
        report('user.not_dropped', error)
        const { message } = asVgateError(error, 'the user could not be dropped')
        await ledger.kept({ user, message }).catch(() => undefined)
      }
      this.#arm()
    }
  }

  #forget(user: string): void {
    this.#left.delete(user)
    this.#own.delete(user)
    this.#told.delete(user)
  }

  #arm(): void {
    if (this.#stopped || this.#retry !== undefined) return
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      void (this.#unread ? this.dropLeft() : this.#again())
    }, DROP_RETRY_MS).unref()
  }

  async #again(): Promise<void> {
    for (const left of this.#left.values()) this.#drop(left)
    if (this.#unread) this.#arm()
    await this.#settled()
  }
}

function leftOf(lease: SessionLease, user: string): LeftUser {
  const { grant, target } = lease
  return { user, grant: grant.id, heir: target.mint?.role.memberOf[0] ?? '', target }
}
