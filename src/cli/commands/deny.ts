// Owns `vgate deny`.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Deny extends RunCommand {
  static override description = 'Deny a request of somebody else, and tell them why.'
  static override examples = [
    '<%= config.bin %> deny req_2v8k0c9d1e3f4g5h6j7k --reason "use the archive table"',
  ]
  static override args = { request: Args.string({ description: 'request id', required: true }) }
  static override flags = {
    reason: Flags.string({
      description: 'why; the requester reads it',
      required: true,
      helpValue: 'TEXT',
    }),
    yes: Flags.boolean({ description: 'accepted for scripts; a denial is never asked about' }),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Deny)
    const { api } = await this.openGateway(flags)
    const request = await api.deny(args.request, flags.reason)
    this.output.result({ request })
    this.output.data(`${request.id} ${request.state}`)
  }
}
