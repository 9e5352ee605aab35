// Owns the checks of `vgate doctor`: each says what it found and what to do. Must never print, and never put a token or
// another secret into what it says.

import { stat } from 'node:fs/promises'
import type { Discovery } from '../core/api.js'
import { type ErrorCode, VgateError } from '../core/errors.js'
import { examineConnection } from './doctor-connection.js'
import { GatewayApi } from './gateway-api.js'
import type { TokenStore } from './keychain.js'
import { loopbackAddresses, openLocalPort, stablePort } from './local-port.js'
import { portOwner } from './port-owner.js'
import { RuntimeFile } from './runtime-file.js'
import { accessToken, type LoginContext, readLogin, renewLogin } from './session-token.js'
import { isMissing, type StateDir } from './state-dir.js'

export interface Finding {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do. */
  readonly hint?: string
  /** For a failure: the code that the same trouble has elsewhere. */
  readonly code?: ErrorCode
}

/** Tokens tolerate 60 s of difference; half of it is worth a word. */
const SKEW_WARN_MS = 30_000
const SKEW_FAIL_MS = 60_000
const NODE_MINIMUM = [20, 19] as const

const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message })
const warn = (check: string, message: string, hint: string): Finding => ({
  ...{ check, status: 'warn', message, hint },
})
const fail = (check: string, code: ErrorCode, message: string, hint: string): Finding => ({
  ...{ check, status: 'fail', code, message, hint },
})

/** A failure as a finding. Anything but a VgateError is told without its details. */
export function findingOf(check: string, error: unknown): Finding {
  if (error instanceof VgateError)
    return fail(check, error.code, error.message, error.hint ?? 'see docs/errors.md')
  return fail(check, 'VGATE_UNEXPECTED', 'this check failed unexpectedly', 'set VGATE_DEBUG=1')
}

/** The version of Node that runs this. */
export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  const old = major < NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor < NODE_MINIMUM[1])
  if (!old) return ok('node', `Node ${version}`)
  const needed = NODE_MINIMUM.join('.')
  return fail(
    'node',
    'VGATE_UNEXPECTED',
    `Node ${version} is too old`,
    `install Node ${needed} or newer`,
  )
}

/** Rights of the state folder and of the file that may hold the login. */
export async function checkState(state: StateDir): Promise<Finding> {
  for (const [path, what] of [
    [state.path, 'the state folder'],
    [`${state.path}/tokens.json`, 'the stored login'],
  ] as const) {
    const found = await stat(path).catch((error: unknown) => {
      if (isMissing(error)) return undefined
      throw error
    })
    if (found === undefined || process.getuid === undefined) continue
    if (found.uid !== process.getuid()) {
      const hint = 'set VGATE_CONFIG_DIR to a folder of your own'
      return fail('state', 'VGATE_UNEXPECTED', `${what} ${path} belongs to another user`, hint)
    }
    if ((found.mode & 0o077) !== 0)
      return warn('state', `${what} ${path} is open to other users`, `run: chmod go= ${path}`)
  }
  return ok('state', state.path)
}

/** Where the login is kept, and why not in the keychain. */
export function checkStore(store: TokenStore): Finding {
  if (store.notice === undefined) return ok('keychain', `logins are kept in: ${store.kind}`)
  const why = `not in use (${store.reason ?? 'unknown'}); ${store.notice}`
  return warn(
    'keychain',
    why,
    'unlock or install a keychain, or set VGATE_TOKEN_STORE=file to agree',
  )
}

/** Everything from the network to the local port, each only if what it needs is there. */
export async function* examineGateway(
  context: LoginContext,
  options: { readonly target?: string; readonly now: () => number; readonly version: string },
): AsyncGenerator<Finding> {
  let reached = true
  for await (const finding of examineConnection(context.gateway)) {
    reached = reached && finding.status !== 'fail'
    yield finding
  }
  if (!reached) return
  const anonymous = new GatewayApi(context.gateway)
  const before = options.now()
  let found: Discovery
  try {
    found = await anonymous.discovery()
  } catch (error) {
    const versions = error instanceof VgateError && error.code === 'VGATE_VERSION_UNSUPPORTED'
    return yield findingOf(versions ? 'versions' : 'gateway', error)
  }
  const middle = (before + options.now()) / 2
  yield ok('versions', `gateway ${found.version}, this ${options.version}`)
  yield checkClock(Date.parse(found.time) - middle)
  yield await checkKeys(context, found)
  const login = await checkLogin(context).catch((error: unknown) => findingOf('login', error))
  yield login
  if (login.status === 'fail') return
  yield* examineTargets(context, options.target)
}

function checkClock(aheadMs: number): Finding {
  const off = Math.abs(aheadMs)
  const text =
    off < 1000
      ? 'in step with the gateway'
      : `${span(off)} ${aheadMs > 0 ? 'behind' : 'ahead of'} the gateway`
  if (off < SKEW_WARN_MS) return ok('clock', text)
  const message = `the clock of this machine is ${text}`
  const hint = 'set it by the network (NTP); if it is right, tell the administrator of the gateway'
  if (off < SKEW_FAIL_MS) return warn('clock', message, hint)
  return fail('clock', 'VGATE_TOKEN_INVALID', `${message}: logins are refused`, hint)
}

function span(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`
}

/** A gateway whose keys are all strange is another one, or somebody between. */
async function checkKeys(context: LoginContext, found: Discovery): Promise<Finding> {
  const pinned = (await context.state.profile(context.gateway.url))?.keys ?? []
  if (pinned.length === 0) return ok('keys', 'none pinned yet: `vgate login` pins them')
  const same = pinned.some((old) =>
    found.keys.some((key) => key.id === old.id && key.public === old.public),
  )
  if (same) return ok('keys', 'the signing keys are those pinned at login')
  const message =
    'the signing keys are not those pinned at login: another gateway, or somebody between'
  const hint = 'ask its administrator before you log in again with --trust-new-key'
  return fail('keys', 'VGATE_RECORDING_BROKEN', message, hint)
}

async function checkLogin(context: LoginContext): Promise<Finding> {
  const login = await readLogin(context)
  if (login === undefined) {
    const message = `not logged in to ${context.gateway.url}`
    return fail('login', 'VGATE_LOGIN_REQUIRED', message, 'run `vgate login`')
  }
  const who = `logged in as ${login.principal.name}`
  if (login.refreshToken === undefined) {
    await accessToken(context)
    const hint = 'the provider gave no refresh token: have `offline_access` allowed for the client'
    return warn('login', `${who} until ${login.expiresAt}; it cannot be renewed`, hint)
  }
  await renewLogin(context)
  const renewed = await readLogin(context)
  return ok('login', `${who}; renewed just now, until ${renewed?.expiresAt ?? 'unknown'}`)
}

async function* examineTargets(context: LoginContext, wanted?: string): AsyncGenerator<Finding> {
  const api = new GatewayApi(context.gateway, () => accessToken(context))
  let names: string[]
  try {
    names = (await api.targets()).targets.map((target) => target.name)
  } catch (error) {
    return yield findingOf('targets', error)
  }
  if (wanted !== undefined && !names.includes(wanted)) {
    const message = `no target ${JSON.stringify(wanted)} is open to you`
    return yield fail('targets', 'VGATE_TARGET_UNKNOWN', message, 'see `vgate targets`')
  }
  if (names.length === 0) {
    const hint = 'ask the administrator of the gateway for a rule with one of your groups'
    return yield warn('targets', 'no target is open to you', hint)
  }
  yield ok('targets', names.join(', '))
  const user = (await readLogin(context))?.principal.id ?? ''
  for (const name of wanted === undefined ? names : [wanted])
    yield await checkPort(context, name, user)
}

async function checkPort(context: LoginContext, target: string, user: string): Promise<Finding> {
  const check = `port ${target}`
  const note = await new RuntimeFile(context.state, context.gateway.url, target).read()
  if (note !== undefined)
    return ok(check, `${note.port} is in use by your \`vgate connect\`, process ${note.pid}`)
  const port = stablePort(context.gateway.url, target, user)
  try {
    const local = await openLocalPort({ port }, (socket) => socket.destroy())
    await local.close()
    return ok(check, `${port} is free on ${loopbackAddresses(undefined).join(' and ')}`)
  } catch (error) {
    if (!(error instanceof VgateError) || error.code !== 'VGATE_PORT_IN_USE')
      return findingOf(check, error)
    const owner = await portOwner(port)
    const hint = `end it, or use \`vgate connect ${target} --port N\``
    return fail(
      check,
      'VGATE_PORT_IN_USE',
      `${port} is taken by ${owner ?? 'another program'}`,
      hint,
    )
  }
}
