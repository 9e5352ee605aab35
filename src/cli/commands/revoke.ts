// Owns `vgate revoke`.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { isId } from '../../core/ids.js'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Revoke extends RunCommand {
  static override description =
    'Take access away at once: one grant, or everything that somebody has. Open connections are cut within a second. For administrators, and for what is your own.'
  static override examples = [
    '<%= config.bin %> revoke grt_2v8k0c9d1e3f4g5h6j7k --reason "laptop lost"',
    '<%= config.bin %> revoke carol@example.org',
  ]
  static override args = {
    what: Args.string({
      description: 'id of a grant, or id or name of a principal',
      required: true,
    }),
  }
  static override flags = {
    reason: Flags.string({
      description: 'why; the record has it, and who is cut off reads it',
      helpValue: 'TEXT',
    }),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Revoke)
    const { api } = await this.openGateway(flags)
    const what = isId('grt', args.what) ? { grant: args.what } : { principal: args.what }
    const revoked = await api.revoke({
      ...what,
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    })
    this.output.result(revoked)
    this.output.data(
      `revoked ${revoked.grants.length} grants, ended ${revoked.sessions.length} sessions`,
    )
  }
}
