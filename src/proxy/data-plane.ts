// Owns the sessions of one process: what they share (families, side queries, compiled policies, maskers) and how they
// are opened and stopped. A gateway runs one, and so will an agent.

import type { SigningKeyPair } from '../audit/keys.js'
import type { RecordingFs } from '../audit/recording-fs.js'
import { openRecording } from '../audit/writer.js'
import type { AdapterLimits, ProtocolFamily, ScramVerifier } from '../core/adapter.js'
import type { Authority, OpenSessionRequest, SessionLease, TargetSpec } from '../core/authority.js'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { MaskerFactory } from '../core/masker.js'
import { Secret } from '../core/secret.js'
import { findDatabase } from '../databases/list.js'
import type { Database } from '../databases/types.js'
import { createMasker } from '../masking/masker.js'
import type { CompiledPolicy } from '../policy/compile.js'
import { postgresFamily } from '../protocol/postgres/family.js'
import { createAnalyzer } from '../protocol/postgres/sql/analyzer.js'
import { Budgets } from './budgets.js'
import { Pace } from './pace.js'
import { Session, type SessionEvents } from './session.js'
import { ShortLivedUsers } from './short-lived-users.js'
import { type LeaseCredential, SideQueries } from './side-queries.js'
import { dial } from './upstream.js'

const COMPILED_POLICIES_MAX = 8

export interface DataPlaneOptions {
  readonly authority: Authority
  readonly clock: Clock
  readonly limits: AdapterLimits
  readonly connectionsPerSession: number
  readonly handshakeMs: number
  readonly recordings: {
    readonly directory: string
    readonly key: SigningKeyPair
    readonly durability: 'standard' | 'strict'
    /** The machine's by default. */
    readonly fs?: RecordingFs
  }
  /** The key that `with: hash` masks use for a target. */
  readonly maskKey: (target: string) => Buffer
  readonly compilePolicy: (source: string) => CompiledPolicy
  readonly report: (event: string, error: unknown) => void
}

/** Opens sessions and ends them. */
export class DataPlane {
  readonly #options: DataPlaneOptions
  readonly #families = new Map<string, ProtocolFamily>()
  readonly #maskers = new Map<string, MaskerFactory>()
  readonly #side = new Map<string, Promise<SideQueries>>()
  readonly #policies = new Map<string, CompiledPolicy>()
  readonly #sessions = new Map<string, Session>()
  /** By a clock that nobody can set. */
  readonly #pace = new Pace(() => performance.now())
  readonly #budgets: Budgets
  readonly #users: ShortLivedUsers

  constructor(options: DataPlaneOptions) {
    this.#options = options
    this.#budgets = new Budgets(options.authority, options.report)
    this.#users = new ShortLivedUsers({
      ledger: options.authority.users,
      now: options.clock.now,
      connectionsPerSession: options.connectionsPerSession,
      makerOf: (target) => this.#familyOf(target).users,
      sideQueries: (target, key, credential) => this.#sideQueriesOf(target, key, credential),
      report: options.report,
    })
  }

  /** Drops the database users that processes that died have left. Never rejects; tries again until it is done. */
  async dropLeftUsers(): Promise<void> {
    await this.#users.dropLeft()
  }

  /** Warms up the parsers of the databases that are configured. */
  async prepare(databases: Iterable<string>): Promise<void> {
    for (const name of new Set(databases)) {
      const family = createFamily(databaseOf(name))
      await family.prepare()
      this.#families.set(name, family)
    }
  }

  /** Opens a session under a grant. Rejects with a VgateError; then nothing stays open. */
  async open(
    request: OpenSessionRequest,
    secret: ScramVerifier,
    events: SessionEvents,
  ): Promise<Session> {
    const { authority } = this.#options
    const lease = await authority.openSession(request)
    try {
      const session = new Session(
        lease,
        { secret, client: request.client },
        {
          denied: (operation, refusal) => events.denied(operation, refusal),
          expiring: (endsAt) => events.expiring(endsAt),
          held: (event) => events.held(event),
          released: (request) => events.released(request),
          ending: (reason, error) => events.ending(reason, error),
          ended: (reason, error) => {
            this.#sessions.delete(lease.session)
            this.#users.end(lease)
            events.ended(reason, error)
          },
        },
        this.#dependencies(lease),
      )
      this.#sessions.set(lease.session, session)
      this.#users.begin(lease, () => this.#leased(lease.session))
      return session
    } catch (error) {
      await authority
        .closeSession({
          session: lease.session,
          reason: 'error',
          operations: 0,
          denied: 0,
          rows: 0,
          bytesOut: 0,
          recording: { records: 0, head: '' },
        })
        .catch((cause: unknown) => this.#options.report('session.close_failed', cause))
      throw error
    }
  }

  /** Ends every session because the gateway stops, and closes the side connections. */
  async stop(): Promise<void> {
    const error = new VgateError('VGATE_GATEWAY_UNREACHABLE', 'the gateway is stopping', {
      hint: 'connect again when it is back',
    })
    await Promise.all([...this.#sessions.values()].map((session) => session.end('stopped', error)))
    this.#budgets.close()
    await this.#users.stop()
    const side = await Promise.allSettled(this.#side.values())
    await Promise.all(
      side.map((one) => (one.status === 'fulfilled' ? one.value.close() : undefined)),
    )
  }

  #dependencies(lease: SessionLease): ConstructorParameters<typeof Session>[3] {
    const { authority, clock, limits, connectionsPerSession, handshakeMs, recordings, report } =
      this.#options
    const family = this.#familyOf(lease.target)
    return {
      authority,
      clock,
      family,
      limits,
      connectionsPerSession,
      handshakeMs,
      durability: recordings.durability,
      masker: this.#maskerOf(lease.target.name),
      pace: this.#pace,
      budgets: this.#budgets,
      compilePolicy: (policy) => this.#compiled(policy),
      openRecording: (id) =>
        openRecording({
          directory: recordings.directory,
          id,
          kind: 'session',
          key: recordings.key,
          clock,
          ...(recordings.fs === undefined ? {} : { fs: recordings.fs }),
        }),
      sideQueries: (of, credential) => this.#sideQueriesOf(of.target, of.session, credential),
      dial: async (of, parameters, credential) => {
        const { target } = of
        const own = this.#users.login(of, credential)
        // Both a user of its own and a path that it named itself may mean other schemas than the catalogue's user has.
        const askPath = own !== undefined || parameters['search_path'] !== undefined
        return dial({
          ...{ family, target, parameters, askPath },
          credential: await (own ?? credential()),
        })
      },
      report,
    }
  }

  #maskerOf(target: string): MaskerFactory {
    let masker = this.#maskers.get(target)
    if (masker === undefined) {
      masker = createMasker({ hashKey: this.#options.maskKey(target) })
      this.#maskers.set(target, masker)
    }
    return masker
  }

  #compiled(policy: { readonly source: string; readonly hash: string }): CompiledPolicy {
    let compiled = this.#policies.get(policy.hash)
    if (compiled === undefined) {
      compiled = this.#options.compilePolicy(policy.source)
      if (this.#policies.size >= COMPILED_POLICIES_MAX) this.#policies.clear()
      this.#policies.set(policy.hash, compiled)
    }
    return compiled
  }

  #familyOf(target: TargetSpec): ProtocolFamily {
    const family = this.#families.get(target.database)
    if (family !== undefined) return family
    throw new VgateError('VGATE_UNEXPECTED', `the database ${target.database} is not prepared`)
  }

  async #leased(session: string): ReturnType<LeaseCredential> {
    const { username, password } = await this.#options.authority.leaseCredential(session)
    return { username, password: new Secret(password) }
  }

  /** What the sessions of a target share. It outlives them, so that each lends its own credential under its `key`. */
  async #sideQueriesOf(
    target: TargetSpec,
    key: string,
    credential: LeaseCredential,
  ): Promise<SideQueries> {
    let side = this.#side.get(target.name)
    if (side === undefined) {
      side = credential().then(
        ({ username }) => new SideQueries(target, username, this.#options.clock.now),
      )
      side.catch(() => this.#side.delete(target.name))
      this.#side.set(target.name, side)
    }
    const shared = await side
    shared.lend(key, credential)
    return shared
  }
}

function databaseOf(name: string): Database {
  const database = findDatabase(name)
  if (database === undefined)
    throw new VgateError('VGATE_CONFIG_INVALID', `the database ${name} is not supported`)
  return database
}

function createFamily(database: Database): ProtocolFamily {
  switch (database.family) {
    case 'postgres':
      return postgresFamily(database.product, createAnalyzer(database.product))
  }
}
