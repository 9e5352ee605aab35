// Owns what every command shares: flags, output, the way to the gateway, and the one place where an error becomes a
// message and an exit code. Must never contain what a command does.

import { resolve } from 'node:path'
import { Command, type Config, Flags } from '@oclif/core'
import type { GatewayApi } from '../client/gateway-api.js'
import type { LoginContext } from '../client/session-token.js'
import { type Environment, StateDir, statePath } from '../client/state-dir.js'
import { VgateError } from '../core/errors.js'
import { Output } from './output.js'

/** Flags of commands that talk to a gateway. */
export const gatewayFlags = {
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

export interface GatewayFlags {
  readonly gateway?: string | undefined
  readonly ca?: string | undefined
}

export interface GatewayContext extends LoginContext {
  readonly api: GatewayApi
  readonly caFile?: string
}

export abstract class RunCommand extends Command {
  static override baseFlags = {
    json: Flags.boolean({ description: 'write JSON to stdout', helpGroup: 'GLOBAL' }),
  }

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

  /** The gateway that is meant, with its stored login. Rejects with VGATE_USAGE when none is known. */
  protected async openGateway(flags: GatewayFlags): Promise<GatewayContext> {
    refuseWorkloadToken(this.environment)
    const [{ GatewayApi }, { gatewayOrigin, readAuthority }, { openTokenStore }, { accessToken }] =
      await Promise.all([
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
    const store = await openTokenStore(this.state, this.environment)
    const context: LoginContext = { gateway, state: this.state, store }
    const api = new GatewayApi(gateway, () => accessToken(context))
    return { ...context, api, ...(caFile === undefined ? {} : { caFile }) }
  }

  /** Ends with this code once everything is written. */
  protected exitWith(code: number): void {
    process.exitCode = code
  }

  protected override async catch(error: Error): Promise<void> {
    const exit =
      'oclif' in error &&
      typeof error.oclif === 'object' &&
      error.oclif !== null &&
      'exit' in error.oclif
        ? error.oclif.exit
        : undefined
    if (exit === 0) throw error
    this.exitWith(this.output.fail(error))
  }
}

/** A token that would be ignored is a surprise: say so instead. */
function refuseWorkloadToken(env: Environment): void {
  for (const name of ['VGATE_TOKEN', 'VGATE_TOKEN_FILE', 'VGATE_ID_TOKEN']) {
    if ((env[name] ?? '') === '') continue
    throw new VgateError(
      'VGATE_CONFIG_INVALID',
      `${name}: workload identity is not supported yet`,
      { hint: 'unset it, and use `vgate login`' },
    )
  }
}
