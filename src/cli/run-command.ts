// Owns what every command shares: flags, output, the way to the gateway, and the one place where an error becomes a
// message and an exit code. Must never contain what a command does.

import { resolve } from 'node:path'
import { Command } from '@oclif/core/command'
import type { Config } from '@oclif/core/config'
import * as Flags from '@oclif/core/flags'
import type { GatewayApi } from '../client/gateway-api.js'
import type { LoginContext } from '../client/session-token.js'
import { type Environment, StateDir, statePath } from '../client/state-dir.js'
import type { WorkloadLogin } from '../client/workload-login.js'
import { VgateError } from '../core/errors.js'
import { Output, oclifExit } from './output.js'

/** Flags that say which gateway. */
export const addressFlags = {
  gateway: Flags.string({
    description: 'address of the gateway; default VGATE_GATEWAY, else that of the last login',
    helpValue: 'URL',
  }),
  ca: Flags.string({
    description: 'PEM file of an authority to trust besides the usual ones; default VGATE_CA_FILE',
    helpValue: 'FILE',
  }),
}

/** The flag of commands that verify. */
export const keyFlag = {
  key: Flags.string({
    description: 'file of keys, or id of a pinned key; default every pinned key',
    helpValue: 'FILE|ID',
  }),
}

/** Flags of commands that talk to a gateway as somebody. */
export const gatewayFlags = {
  ...addressFlags,
  'token-stdin': Flags.boolean({
    description: 'read an identity token from stdin, in place of a login',
  }),
}

export interface GatewayFlags {
  readonly gateway?: string | undefined
  readonly ca?: string | undefined
  readonly 'token-stdin'?: boolean | undefined
}

export interface GatewayContext extends LoginContext {
  readonly api: GatewayApi
  readonly caFile?: string
}

export abstract class RunCommand extends Command {
  static override baseFlags = {
    json: Flags.boolean({ description: 'write JSON to stdout', helpGroup: 'GLOBAL' }),
  }

  /** True for a command through which bytes stream, or that serves, until it is ended. */
  protected readonly staysOpen: boolean = false
  protected readonly output: Output
  protected readonly environment: Environment = process.env
  protected readonly state: StateDir

  constructor(argv: string[], config: Config) {
    super(argv, config)
    const end = argv.indexOf('--')
    const json = (end === -1 ? argv : argv.slice(0, end)).includes('--json')
    this.output = new Output({
      json,
      stdout: process.stdout,
      stderr: process.stderr,
      env: process.env,
    })
    this.state = new StateDir(statePath(process.env))
  }

  /** Before a command is run: what concerns its whole process. */
  protected override async init(): Promise<void> {
    await super.init()
    if (!this.staysOpen) return
    const { keepYoungGenerationSmall } = await import('./small-heap.js')
    keepYoungGenerationSmall()
  }

  /**
   * The gateway that is meant, as the job that this is, else with the stored login. `login` and `logout` are about the
   * stored login alone. Rejects with VGATE_LOGIN_REQUIRED when no gateway is known.
   */
  protected async openGateway(
    flags: GatewayFlags,
    who: 'caller' | 'stored login' = 'caller',
  ): Promise<GatewayContext> {
    const [
      { GatewayApi },
      { gatewayOrigin, readAuthority },
      { openTokenStore, memoryStore },
      { accessToken },
    ] = await Promise.all([
      import('../client/gateway-api.js'),
      import('../client/http-request.js'),
      import('../client/keychain.js'),
      import('../client/session-token.js'),
    ])
    const named =
      flags.gateway ??
      (this.environment['VGATE_GATEWAY'] || undefined) ??
      (await this.state.currentGateway())
    if (named === undefined) {
      throw new VgateError('VGATE_LOGIN_REQUIRED', 'no gateway is known', {
        hint: 'run `vgate login --gateway URL`, or set VGATE_GATEWAY',
      })
    }
    const url = gatewayOrigin(named)
    const asked = flags.ca ?? (this.environment['VGATE_CA_FILE'] || undefined)
    const caFile = asked === undefined ? (await this.state.profile(url))?.caFile : resolve(asked)
    const gateway = { url, ...(caFile === undefined ? {} : { ca: await readAuthority(caFile) }) }
    const workload = who === 'caller' ? await this.#workload(gateway, flags) : undefined
    const context: LoginContext = {
      gateway,
      state: this.state,
      // A job leaves nothing behind, and its machine seldom has a keychain.
      store:
        workload === undefined ? await openTokenStore(this.state, this.environment) : memoryStore(),
      ...(workload === undefined ? {} : { workload }),
      ...((this.environment['CI'] ?? '') === '' ? {} : { loginHint: CI_HINT }),
    }
    const api = new GatewayApi(gateway, () => accessToken(context))
    return { ...context, api, ...(caFile === undefined ? {} : { caFile }) }
  }

  /** The job's own identity, if there is one and, where it was only detected, the gateway takes workloads. */
  async #workload(
    gateway: LoginContext['gateway'],
    flags: GatewayFlags,
  ): Promise<WorkloadLogin | undefined> {
    const [{ findTokenSource }, { GatewayApi }, { WorkloadLogin }] = await Promise.all([
      import('../client/platform-token.js'),
      import('../client/gateway-api.js'),
      import('../client/workload-login.js'),
    ])
    const source = await findTokenSource({
      env: this.environment,
      ...(flags['token-stdin'] === true ? { stdin: readStdin } : {}),
    })
    if (source === undefined) return undefined
    const login = new WorkloadLogin(source, new GatewayApi(gateway))
    return !source.detected || (await login.known()) ? login : undefined
  }

  /** Ends with this code once everything is written. */
  protected exitWith(code: number): void {
    process.exitCode = code
  }

  protected override async catch(error: Error): Promise<void> {
    if (oclifExit(error) === 0) throw error
    this.exitWith(this.output.fail(error))
  }
}

const CI_HINT =
  'give the job an identity token of its platform (GitHub: `permissions: id-token: write`), see docs/ci.md'

/** All of stdin, which `--token-stdin` names. Throws VGATE_USAGE on a terminal. */
async function readStdin(): Promise<string> {
  if (process.stdin.isTTY === true) {
    throw new VgateError('VGATE_USAGE', '--token-stdin reads the token from a pipe', {
      hint: 'for instance `platform-token | vgate exec NAME --token-stdin -- COMMAND`',
    })
  }
  let text = ''
  for await (const chunk of process.stdin) {
    text += String(chunk)
    if (text.length > 128 * 1024) break
  }
  return text
}
