// Owns the start and the stop of a gateway: it wires the rooms together, in the order in which each may be relied on,
// and takes them apart in the opposite one. It contains no rule.

import { hkdfSync } from 'node:crypto'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import type { Logger } from 'pino'
import { type AuditLog, openAuditLog } from '../audit/audit-log.js'
import { loadOrCreateKey, type SigningKeyPair } from '../audit/keys.js'
import { recoverRecordings } from '../audit/recover.js'
import { CHECKPOINT_MS } from '../audit/writer.js'
import { outboundFetch } from '../client/fetch-by.js'
import { type Control, createControl } from '../control/app.js'
import { type ControlAuthority, createAuthority } from '../control/authority.js'
import { IndexThread } from '../control/index-thread.js'
import { createRequests } from '../control/requests.js'
import { processSchedule } from '../control/schedule.js'
import { SessionIndex } from '../control/session-indexer.js'
import type { LoadedPolicy } from '../control/settings.js'
import { DEFAULT_LIMITS } from '../core/adapter.js'
import type { SigningKey } from '../core/api.js'
import { systemClock } from '../core/clock.js'
import type { Secret } from '../core/secret.js'
import { VERSION } from '../core/version.js'
import { KNOWN_ACTIONS } from '../databases/list.js'
import { createOidcVerifier } from '../identity/oidc.js'
import { createTokens } from '../identity/tokens.js'
import { createWorkloadVerifier } from '../identity/workload.js'
import { compilePolicy } from '../policy/compile.js'
import { loadPolicy } from '../policy/schema.js'
import { DataPlane } from '../proxy/data-plane.js'
import type { Store } from '../store/store.js'
import { checkConfig, dataPaths, type GatewayConfig, prepareDataDirectory } from './config.js'
import { reloadPolicy } from './config-policy.js'
import { loggedFailure } from './faults.js'
import { bind, createServer, refusalOf } from './http-server.js'
import { loadMasterKey, loadTokenKey } from './keys.js'
import { openConfiguredStore } from './open-store.js'
import { PolicyWatch } from './policy-watch.js'
import { watchRuleEnds } from './rule-ends.js'
import { TunnelEndpoint } from './tunnel-endpoint.js'

/** How long a stop waits for answers under way. */
export const STOP_DEADLINE_MS = 3_000

/** Tunnels of one principal above its sessions: those that are opening or closing. */
const SPARE_TUNNELS = 10

export interface Gateway {
  readonly url: string
  /** Reads the policy anew, now. Never rejects: a policy that is not taken is logged, and changes nothing. */
  reloadPolicy(): Promise<void>
  /** Ends every session, closes audit log and store. Safe to call twice. */
  stop(): Promise<void>
}

export interface StartOptions {
  readonly configFile: string
  readonly logger: Logger
}

/**
 * Starts a gateway from its configuration. Rejects with a VgateError, and then nothing is left running:
 * VGATE_CONFIG_INVALID (exit 11), VGATE_PORT_IN_USE, VGATE_STORE_UNAVAILABLE, VGATE_RECORDING_BROKEN.
 */
export async function startGateway(options: StartOptions): Promise<Gateway> {
  const { configFile, logger } = options
  const { config, policy, warnings } = checkConfig(configFile, { env: process.env })
  for (const warning of warnings) logger.warn({ event: 'config.warning', warning })
  prepareDataDirectory(config.data)
  const undo: (() => Promise<void>)[] = []
  const stop = once(async () => {
    for (const step of undo.reverse()) await step()
  })
  try {
    const gateway = await assemble(config, policy, logger, undo)
    return { ...gateway, stop }
  } catch (error) {
    await stop().catch((cause: unknown) =>
      logger.error({ event: 'gateway.stop_failed', failure: loggedFailure(cause) }),
    )
    throw error
  }
}

async function assemble(
  config: GatewayConfig,
  policy: LoadedPolicy,
  logger: Logger,
  undo: (() => Promise<void>)[],
): Promise<Omit<Gateway, 'stop'>> {
  const paths = dataPaths(config.data)
  const report = (event: string, error: unknown): void =>
    logger.error({ event, failure: loggedFailure(error) })
  // First, because it holds the lock of the directory: two starts at once must not both make keys.
  const store = await openConfiguredStore(config, systemClock, logger)
  undo.push(() => store.close())
  const master = loadMasterKey({
    data: config.data,
    secretDeps: config.secretDeps,
    ...(config.keys === undefined ? {} : { reference: config.keys }),
  })
  for (const warning of master.warnings) logger.warn({ event: 'config.warning', warning })
  const { pair, history } = loadOrCreateKey({
    keyFile: join(paths.keys, 'recording.pem'),
    historyFile: join(paths.keys, 'keys.json'),
    clock: systemClock,
  })
  const audit = await openLog(paths.audit, pair, policy, undo)
  await recover(store, audit, paths.recordings, pair)
  const requests = createRequests({
    config,
    store,
    audit,
    clock: systemClock,
    schedule: processSchedule,
  })
  await requests.resume()
  const watch = new PolicyWatch({
    file: config.policyFile,
    initial: policy,
    load: () => reloadPolicy(config),
    audit,
    logger,
    changed: () => authority.policyChanged(),
  })
  const index = openIndex({ store, audit, history, directory: paths.recordings, report }, undo)
  const authority: ControlAuthority = createAuthority({
    requests,
    index,
    config,
    policy: watch.current,
    store,
    audit,
    secretDeps: config.secretDeps,
    clock: systemClock,
    schedule: processSchedule,
  })
  const dataPlane = await startDataPlane(config, { authority, pair, master: master.key, report })
  const control = createControl({
    config,
    policy: watch.current,
    store,
    tokens: createTokens({
      issuer: config.publicUrl,
      key: loadTokenKey(paths.keys, master.key),
      clock: systemClock,
    }),
    providers: new Map(
      config.providers.map((provider) => [
        provider.name,
        createOidcVerifier({ provider, fetch: outboundFetch, clock: systemClock }),
      ]),
    ),
    workloads: new Map(
      config.workloads.map((provider) => [
        provider.name,
        createWorkloadVerifier({ provider, fetch, clock: systemClock }),
      ]),
    ),
    audit,
    signingKeys: (): readonly SigningKey[] => history,
    recordings: { directory: paths.recordings },
    requests,
    index,
    revokeSessions: (which, message) => authority.revokeSessions(which, message),
    clock: systemClock,
    logger,
    version: VERSION,
  })
  undo.push(watchRuleEnds(watch.current, logger))
  const url = await listen(config, { control, dataPlane, authority, report }, undo)
  undo.push(() => watch.stop())
  watch.start()
  index.start()
  return { url, reloadPolicy: () => watch.reload() }
}

async function openLog(
  directory: string,
  pair: SigningKeyPair,
  policy: LoadedPolicy,
  undo: (() => Promise<void>)[],
): Promise<AuditLog> {
  const audit = await openAuditLog({ directory, key: pair, clock: systemClock })
  // A failure to sign shows at the next append, which then refuses what it stands for.
  const timer = setInterval(() => void audit.checkpoint().catch(() => undefined), CHECKPOINT_MS)
  undo.push(async () => {
    clearInterval(timer)
    await audit.append({ type: 'gateway.stopped', reason: 'stopped' }).catch(() => undefined)
    await audit.close('stopped')
  })
  await audit.append(
    { type: 'gateway.started', version: VERSION, node: process.version, policyHash: policy.hash },
    { sync: true },
  )
  return audit
}

/** Sessions that a dead gateway left open are closed, in the store and on the disk, and the log says so. */
async function recover(
  store: Store,
  audit: AuditLog,
  directory: string,
  pair: SigningKeyPair,
): Promise<void> {
  await store.markCrashed()
  await store.foldBudgets()
  for (const found of await recoverRecordings(directory, pair, { clock: systemClock })) {
    await audit.append({
      type: 'session.recovered',
      session: found.name,
      state: found.state,
      recording: found.recording,
      ...(found.reason === undefined ? {} : { message: found.reason }),
    })
  }
}

/** The index over recordings; begins with what was not indexed when it is started. */
function openIndex(
  given: {
    readonly store: Store
    readonly audit: AuditLog
    readonly history: readonly SigningKey[]
    readonly directory: string
    readonly report: (event: string, error: unknown) => void
  },
  undo: (() => Promise<void>)[],
): SessionIndex {
  const { directory, history, ...deps } = given
  const thread = new IndexThread()
  const index = new SessionIndex({
    ...deps,
    recordings: { directory },
    signingKeys: () => history,
    clock: systemClock,
    schedule: processSchedule,
    read: (job) => thread.read(job),
  })
  undo.push(async () => {
    await index.stop()
    await thread.close()
  })
  return index
}

async function startDataPlane(
  config: GatewayConfig,
  deps: {
    readonly authority: ControlAuthority
    readonly pair: SigningKeyPair
    readonly master: Secret<Buffer>
    readonly report: (event: string, error: unknown) => void
  },
): Promise<DataPlane> {
  const peopleProviders = config.providers.map((provider) => provider.name)
  const targets = [...config.targets.keys()]
  const dataPlane = new DataPlane({
    authority: deps.authority,
    clock: systemClock,
    limits: {
      ...DEFAULT_LIMITS,
      messageBytes: Math.min(DEFAULT_LIMITS.messageBytes, config.limits.messageBytes),
      upstreamMessageBytes: config.limits.messageBytes,
    },
    connectionsPerSession: config.limits.connectionsPerSession,
    handshakeMs: config.limits.handshakeMs,
    recordings: {
      directory: dataPaths(config.data).recordings,
      key: deps.pair,
      durability: config.durability,
    },
    maskKey: (target) =>
      Buffer.from(hkdfSync('sha256', deps.master.reveal(), '', `vgate mask ${target}`, 32)),
    compilePolicy: (source) =>
      compilePolicy(loadPolicy(source, config.policyFile), {
        actions: [...KNOWN_ACTIONS],
        peopleProviders,
        workloadProviders: config.workloads,
        targets,
      }),
    report: deps.report,
  })
  await dataPlane.prepare([...config.targets.values()].map((target) => target.spec.database))
  // Not waited for: a database that is down must not keep the gateway from starting.
  void dataPlane.dropLeftUsers()
  return dataPlane
}

async function listen(
  config: GatewayConfig,
  parts: {
    readonly control: Control
    readonly dataPlane: DataPlane
    readonly authority: ControlAuthority
    readonly report: (event: string, error: unknown) => void
  },
  undo: (() => Promise<void>)[],
): Promise<string> {
  const { control, dataPlane, authority, report } = parts
  const tunnel = new TunnelEndpoint({
    authenticate: (bearer) => control.authenticate(bearer),
    dataPlane,
    refusalOf: (request) => refusalOf(config, request),
    maxStreams: config.limits.connectionsPerSession,
    maxTunnels: config.limits.sessionsPerPrincipal + SPARE_TUNNELS,
    report,
  })
  const server = createServer(
    config,
    getRequestListener((request, env) =>
      control.fetch(request, {
        address: 'incoming' in env ? (env.incoming.socket.remoteAddress ?? 'unknown') : 'unknown',
      }),
    ),
  )
  server.on('upgrade', (request, socket, head) => void tunnel.upgrade(request, socket, head))
  undo.push(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    authority.stop()
    await dataPlane.stop()
    tunnel.close()
    server.closeIdleConnections()
    setTimeout(() => server.closeAllConnections(), STOP_DEADLINE_MS).unref()
    await closed
  })
  const { host } = config.listen
  const address = await bind(server, config)
  const shown = host.includes(':') ? `[${host}]` : host
  return `${config.tls === undefined ? 'http' : 'https'}://${shown}:${address.port}`
}

function once(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= run()
    return running
  }
}
