// Owns `vgate env`.

import * as Args from '@oclif/core/args'
import { VgateError } from '../../core/errors.js'
import { shellWord } from '../people.js'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Env extends RunCommand {
  static override description =
    'Print the environment of a running `connect`, for a shell to evaluate.'
  static override examples = [
    'eval "$(<%= config.bin %> env prod-vectors)"',
    '<%= config.bin %> env prod-vectors --json',
  ]
  static override args = {
    name: Args.string({ description: 'target that is connected', required: true }),
  }
  static override flags = { gateway: gatewayFlags.gateway }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Env)
    const { RuntimeFile } = await import('../../client/runtime-file.js')
    const { gatewayOrigin } = await import('../../client/http-request.js')
    const named =
      flags.gateway ??
      (this.environment['VGATE_GATEWAY'] || undefined) ??
      (await this.state.currentGateway())
    const note =
      named === undefined
        ? undefined
        : await new RuntimeFile(this.state, gatewayOrigin(named), args.name).read()
    if (note === undefined) {
      throw new VgateError('VGATE_NOT_CONNECTED', `not connected to ${args.name}`, {
        hint: `run \`vgate connect ${args.name}\` in another terminal`,
      })
    }
    this.output.result({
      target: note.target,
      session: note.session,
      env: note.env,
      expires_at: note.expires_at,
    })
    for (const [name, value] of Object.entries(note.env))
      this.output.data(`export ${name}=${shellWord(value)}`)
  }
}
