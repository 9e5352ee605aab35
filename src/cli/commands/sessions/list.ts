// Owns `vgate sessions list`.

import { Flags } from '@oclif/core'
import { momentText, tableText } from '../../people.js'
import { gatewayFlags, RunCommand } from '../../run-command.js'

export default class SessionsList extends RunCommand {
  static override description =
    'List sessions: your own, and everybody’s for auditors. Newest first.'
  static override examples = ['<%= config.bin %> sessions list --target prod-vectors --limit 20']
  static override flags = {
    target: Flags.string({ description: 'only of this target', helpValue: 'NAME' }),
    limit: Flags.integer({
      description: 'at most this many',
      min: 1,
      max: 1000,
      default: 50,
      helpValue: 'N',
    }),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(SessionsList)
    const { api } = await this.openGateway(flags)
    const sessions = await api.sessions({
      limit: flags.limit,
      ...(flags.target === undefined ? {} : { target: flags.target }),
    })
    this.output.result({ sessions })
    if (this.output.json) return
    if (sessions.length === 0) return this.output.say('no sessions')
    const rows = sessions.map((session) => [
      session.id,
      momentText(session.started_at),
      session.principal.name,
      session.target,
      session.state,
      // Counted when it ends.
      ...[session.operations, session.denied, session.rows].map((count) =>
        session.state === 'open' ? '-' : String(count),
      ),
    ])
    this.output.data(
      await tableText(
        ['SESSION', 'STARTED', 'WHO', 'TARGET', 'STATE', 'OPERATIONS', 'DENIED', 'ROWS'],
        rows,
      ),
    )
  }
}
