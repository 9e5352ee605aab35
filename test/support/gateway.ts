// Owns a data plane on loopback for tests: real adapter, policy, masking, recording and upstream, with an authority
// that answers from memory and plain TCP in place of the tunnel. The tunnel, the control API and the command line are
// the matter of the end-to-end tests.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generatePair } from '../../src/audit/keys.js'
import type { RecordingFs } from '../../src/audit/recording-fs.js'
import { createRequests, type Requests } from '../../src/control/requests.js'
import { processSchedule } from '../../src/control/schedule.js'
import { type AdapterLimits, DEFAULT_LIMITS, type ScramVerifier } from '../../src/core/adapter.js'
import type { HeldEvent } from '../../src/core/approval.js'
import type {
  Authority,
  SessionLease,
  SessionNotice,
  SessionSummary,
  TargetSpec,
} from '../../src/core/authority.js'
import { type Clock, systemClock } from '../../src/core/clock.js'
import { VgateError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { type Principal, principalId } from '../../src/core/principal.js'
import { KNOWN_ACTIONS } from '../../src/databases/list.js'
import { rolesFor } from '../../src/policy/access.js'
import { compilePolicy } from '../../src/policy/compile.js'
import { loadPolicy } from '../../src/policy/schema.js'
import { DataPlane } from '../../src/proxy/data-plane.js'

import type { Session } from '../../src/proxy/session.js'
import { openStore } from '../../src/store/open.js'
import type { Store } from '../../src/store/store.js'
import { type MemoryLedger, memoryLedger } from './memory-ledger.js'

export interface TestGatewayOptions {
  readonly postgres: {
    readonly host: string
    readonly port: number
    readonly superuser: string
    readonly password: string
  }
  readonly database: string
  /** Source of a policy.yaml. */
  readonly policy: string
  /** Name → groups (`provider:name`). */
  readonly users: Readonly<Record<string, readonly string[]>>
  readonly target?: string
  readonly tls?: TargetSpec['tls']
  readonly host?: string
  readonly contact?: string
  /** What the gateway logs in as; the superuser by default. */
  readonly credential?: { readonly username: string; readonly password: string }
  readonly mint?: TargetSpec['mint']
  /** Short-lived users that a gateway before this one left over. */
  readonly leftUsers?: MemoryLedger['users']
  readonly limits?: Partial<AdapterLimits>
  readonly durability?: 'standard' | 'strict'
  /** For recordings, in place of the machine's. */
  readonly recordingFs?: RecordingFs
  readonly grantMs?: number
  readonly clock?: Clock
  readonly connectionsPerSession?: number
  /** Wraps the authority, for instance with the serialising one. */
  readonly wrapAuthority?: (authority: Authority) => Authority
}

export interface TestConnection {
  readonly host: string
  readonly port: number
  readonly password: string
  readonly database: string
  readonly user: string
  readonly session: Session
  readonly recording: string
  readonly denied: { operation: string; rule: string; message: string }[]
  readonly held: HeldEvent[]
  /** Ends the session and waits until its recording is closed. */
  close(): Promise<void>
}

export interface TestGateway {
  readonly recordings: string
  connectAs(user: string): Promise<TestConnection>
  notify(session: string, notice: SessionNotice): void
  /** Takes the connection's grant away, as `vgate revoke GRANT` does: its requests stay open. */
  revoke(connection: TestConnection): Promise<void>
  /** Answers requests as the control plane would; `person` makes somebody who may. */
  readonly requests: Requests
  person(name: string, groups: readonly string[]): Promise<Principal>
  readonly summaries: Map<string, SessionSummary>
  readonly ledger: MemoryLedger
  /** As a gateway does at its start. */
  dropLeftUsers(): Promise<void>
  readonly reports: { event: string; error: unknown }[]
  stop(): Promise<void>
}

const COMPILE = { actions: [...KNOWN_ACTIONS], peopleProviders: ['corp'] }

/** Starts a data plane in a temporary folder. Fresh sessions are cheap: one per `connectAs`. */
export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-test-'))
  const recordings = join(directory, 'recordings')
  const listeners = new Map<string, (notice: SessionNotice) => void>()
  const summaries = new Map<string, SessionSummary>()
  const reports: { event: string; error: unknown }[] = []
  const grants = new Map<string, Principal>()
  const policy = compilePolicy(loadPolicy(options.policy, 'policy.yaml'), COMPILE)
  const clock = options.clock ?? systemClock
  const store = openStore({ directory, clock })
  const requests = createRequests({
    config: { publicUrl: 'https://vgate.test' } as Parameters<typeof createRequests>[0]['config'],
    store,
    audit: { append: async () => undefined },
    clock,
    schedule: processSchedule,
  })
  const owners = new Map<string, Principal>()
  requests.onChange((record, request) => {
    for (const [session, owner] of owners)
      if (owner.id === record.principal) listeners.get(session)?.({ kind: 'request', request })
  })
  /** By session. */
  const sessions = new Map<string, string>()
  const ledger = memoryLedger(targetOf(options), credentialOf(options), (session) => {
    const grant = sessions.get(session)
    if (grant === undefined || summaries.has(session))
      throw new VgateError('VGATE_NOT_FOUND', 'the session is over')
    return grant
  })
  for (const [name, left] of options.leftUsers ?? []) ledger.users.set(name, left)
  const inner = memoryAuthority({
    options,
    grants,
    policy,
    listeners,
    summaries,
    requests,
    owners,
    store,
    sessions,
    ledger,
  })
  const dataPlane = new DataPlane({
    authority: options.wrapAuthority?.(inner) ?? inner,
    clock,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    connectionsPerSession: options.connectionsPerSession ?? 100,
    handshakeMs: 10_000,
    recordings: {
      directory: recordings,
      key: generatePair(new Date().toISOString()),
      durability: options.durability ?? 'standard',
      ...(options.recordingFs === undefined ? {} : { fs: options.recordingFs }),
    },
    maskKey: (target) => createHash('sha256').update(`mask ${target}`).digest(),
    compilePolicy: (source) => compilePolicy(loadPolicy(source, 'policy.yaml'), COMPILE),
    report: (event, error) => reports.push({ event, error }),
  })
  await dataPlane.prepare(['pgvector'])
  const servers = new Set<Server>()
  return {
    recordings,
    summaries,
    reports,
    ledger,
    dropLeftUsers: () => dataPlane.dropLeftUsers(),
    notify: (session, notice) => listeners.get(session)?.(notice),
    revoke: async ({ session }) => {
      grants.delete(session.lease.grant.id)
      const message = 'access was revoked by the test'
      listeners.get(session.id)?.({ kind: 'ended', reason: 'revoked', message })
    },
    requests,
    person: async (name, groups) => {
      const principal = principalOf(name, groups)
      await store.upsertPrincipal(principal)
      return principal
    },
    connectAs: (user) => connectAs({ user, options, grants, dataPlane, servers, recordings }),
    stop: async () => {
      await dataPlane.stop()
      for (const server of servers) server.close()
      await store.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function connectAs(given: {
  user: string
  options: TestGatewayOptions
  grants: Map<string, Principal>
  dataPlane: DataPlane
  servers: Set<Server>
  recordings: string
}): Promise<TestConnection> {
  const { user, options, grants, dataPlane, servers, recordings } = given
  const grant = newId('grt')
  const principal = principalOf(user, options.users[user] ?? [])
  grants.set(grant, principal)
  const password = randomBytes(18).toString('base64url')
  const denied: TestConnection['denied'] = []
  const held: HeldEvent[] = []
  let over: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    over = resolve
  })
  const session = await dataPlane.open(
    {
      grant,
      principal: principal.id,
      client: { version: 'test', platform: 'test', command: 'connect' },
    },
    scramVerifierOf(password),
    {
      denied: (operation, { rule, message }) => denied.push({ operation, rule, message }),
      expiring: () => undefined,
      held: (event) => held.push(event),
      released: () => undefined,
      ending: () => undefined,
      ended: () => over(),
    },
  )
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    try {
      session.connect(socket)
    } catch {
      socket.destroy()
    }
  })
  servers.add(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    host: '127.0.0.1',
    port: address.port,
    password,
    database: options.database,
    user,
    session,
    recording: join(recordings, `${session.id}.vgr`),
    denied,
    held,
    close: async () => {
      await session.end('stopped', new VgateError('VGATE_GRANT_ENDED', 'closed by the test'))
      await ended
      server.close()
      servers.delete(server)
    },
  }
}

function memoryAuthority(state: {
  options: TestGatewayOptions
  grants: Map<string, Principal>
  policy: ReturnType<typeof compilePolicy>
  listeners: Map<string, (notice: SessionNotice) => void>
  summaries: Map<string, SessionSummary>
  requests: Requests
  owners: Map<string, Principal>
  store: Store
  sessions: Map<string, string>
  ledger: MemoryLedger
}): Authority {
  const {
    options,
    grants,
    policy,
    listeners,
    summaries,
    requests,
    owners,
    store,
    sessions,
    ledger,
  } = state
  const target = options.target ?? 'prod-vectors'
  return {
    openSession: async ({ grant, principal: id }): Promise<SessionLease> => {
      const principal = grants.get(grant)
      if (principal === undefined || principal.id !== id)
        throw new VgateError('VGATE_REVOKED', 'no such grant')
      const now = (options.clock ?? systemClock).now()
      await store.upsertPrincipal(principal)
      const session = newId('ses')
      owners.set(session, principal)
      sessions.set(session, grant)
      return {
        session,
        requests: await requests.live(id, target),
        principal,
        grant: {
          id: grant,
          principal: id,
          target,
          roles: rolesFor(policy, principal, target).map((offer) => offer.role),
          startsAt: now,
          endsAt: now + (options.grantMs ?? 3_600_000),
        },
        target: targetOf(options),
        policy: {
          source: options.policy,
          hash: createHash('sha256').update(options.policy).digest('hex'),
        },
        leaseUntil: now + 5_000,
      }
    },
    leaseCredential: async (session) => {
      if (summaries.has(session)) throw new VgateError('VGATE_REVOKED', 'the session is over')
      return credentialOf(options)
    },
    renewLease: async () => ({
      leaseUntil: (options.clock ?? systemClock).now() + 5_000,
      policyHash: '',
    }),
    watch: (session, listener) => {
      listeners.set(session, listener)
      return () => listeners.delete(session)
    },
    closeSession: async (summary) => {
      summaries.set(summary.session, summary)
    },
    leaseBudget: async ({ session, settle, ...lease }) => {
      const principal = owners.get(session)?.id ?? ''
      if (settle === undefined && summaries.has(session))
        throw new VgateError('VGATE_NOT_FOUND', 'the session is over')
      return store.leaseBudget({ ...lease, principal, target }, { grow: settle === undefined })
    },
    requestApproval: async ({ session, operation, digest, terms }) => {
      const principal = owners.get(session)
      if (principal === undefined) throw new VgateError('VGATE_NOT_FOUND', 'no such session')
      const roles = rolesFor(policy, principal, target).map((offer) => offer.role)
      const body = { kind: 'operation', operation } as const
      return requests.open({ body, principal, target, roles, digest, terms })
    },
    consumeApproval: async ({ session, request, digest }) => {
      const principal = owners.get(session)?.id ?? ''
      return { consumed: await requests.consume({ id: request, principal, target, digest }) }
    },
    voidApproval: ({ request, reason }) => requests.void(request, reason),
    recordOutcome: ({ request, outcome, message }) => requests.outcome(request, outcome, message),
    users: ledger,
  }
}

function credentialOf({ credential, postgres }: TestGatewayOptions): {
  readonly username: string
  readonly password: string
} {
  return credential ?? { username: postgres.superuser, password: postgres.password }
}

function targetOf(options: TestGatewayOptions): TargetSpec {
  return {
    name: options.target ?? 'prod-vectors',
    database: 'pgvector',
    host: options.host ?? options.postgres.host,
    port: options.postgres.port,
    databaseName: options.database,
    tls: options.tls ?? { verify: 'off' },
    ...(options.contact === undefined ? {} : { contact: options.contact }),
    ...(options.mint === undefined ? {} : { mint: options.mint }),
  }
}

function principalOf(name: string, groups: readonly string[]): Principal {
  const issuer = 'https://id.example.test'
  return {
    id: principalId(issuer, name),
    kind: 'person',
    provider: 'corp',
    issuer,
    subject: name,
    name,
    groups,
    claims: {},
  }
}

/** RFC 5802 §3: what the client sends in place of the secret. */
export function scramVerifierOf(password: string): ScramVerifier {
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(password, salt, 4096, 32, 'sha256')
  const key = (label: string): Buffer => createHmac('sha256', salted).update(label).digest()
  return {
    iterations: 4096,
    salt: salt.toString('base64'),
    storedKey: createHash('sha256').update(key('Client Key')).digest('base64'),
    serverKey: key('Server Key').toString('base64'),
  }
}
