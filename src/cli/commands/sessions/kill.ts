// Owns `vgate sessions kill`.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { gatewayFlags, RunCommand } from '../../run-command.js'

export default class SessionsKill extends RunCommand {
  static override description =
    'End a session at once: what runs is cancelled, its connections are cut within a second. The grant stays. For administrators, and for your own.'
  static override examples = ['<%= config.bin %> sessions kill ses_2v8k0c9d1e3f4g5h6j7k']
  static override args = { session: Args.string({ description: 'session id', required: true }) }
  static override flags = {
    reason: Flags.string({ description: 'why', helpValue: 'TEXT' }),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsKill)
    const { api } = await this.openGateway(flags)
    const session = await api.kill(args.session, flags.reason)
    this.output.result({ session })
    this.output.data(`${session} ended`)
  }
}
