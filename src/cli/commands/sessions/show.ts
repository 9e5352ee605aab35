// Owns `vgate sessions show`.

import * as Args from '@oclif/core/args'
import { visible } from '../../output.js'
import { tableText } from '../../people.js'
import { gatewayFlags, RunCommand } from '../../run-command.js'

export default class SessionsShow extends RunCommand {
  static override description = 'Show one session: who, what for, when, and how much.'
  static override examples = ['<%= config.bin %> sessions show ses_2v8k0c9d1e3f4g5h6j7k']
  static override args = { session: Args.string({ description: 'session id', required: true }) }
  static override flags = { ...gatewayFlags }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsShow)
    const { api } = await this.openGateway(flags)
    const { session, uses } = await api.session(args.session)
    this.output.result({ session, uses })
    const lines: [string, string][] = [
      ['session', session.id],
      ['who', `${session.principal.name} (${session.principal.provider})`],
      ['target', `${session.target} (${session.database})`],
      ['roles', session.roles.join(', ')],
      ['reason', session.reason ?? ''],
      ['started', session.started_at],
      ['ended', session.ended_at ?? ''],
      ['state', session.state],
      // Counted when it ends.
      [
        'operations',
        session.state === 'open'
          ? ''
          : `${session.operations}, ${session.denied} denied, ${session.rows} rows`,
      ],
    ]
    for (const [name, value] of lines)
      if (value !== '') this.output.data(`${name.padEnd(11)}${visible(value)}`)
    if (uses.length === 0 || this.output.json) return
    const rows = uses.map((use) => [
      use.collection === '' ? '-' : use.collection,
      use.operation,
      use.decision,
      String(use.count),
    ])
    const head = ['COLLECTION', 'OPERATION', 'DECISION', 'TIMES']
    this.output.data(`\n${await tableText(head, rows)}`)
  }
}
