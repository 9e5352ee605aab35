// Owns `vgate sessions list`.

import * as Flags from '@oclif/core/flags'
import { DECISIONS } from '../../../core/api-sessions.js'
import { limitFlag, timeFlags, timesOf } from '../../moments.js'
import { gatewayFlags, RunCommand } from '../../run-command.js'
import { sessionsText, warnOfGaps } from '../../session-lines.js'

export default class SessionsList extends RunCommand {
  static override description =
    'List sessions: your own, and everybody’s for auditors. Newest first. All filters that are given must hold.'
  static override examples = [
    '<%= config.bin %> sessions list --target prod-vectors --limit 20',
    '<%= config.bin %> sessions list --person ana@example.com --collection docs --decision deny --since 7d',
    '<%= config.bin %> sessions list --collection docs --key 42',
    '<%= config.bin %> sessions list --text "annual report" --since 2026-11-01 --json',
  ]
  static override flags = {
    person: Flags.string({ description: 'of whom: name or id', helpValue: 'NAME|ID' }),
    target: Flags.string({ description: 'only of this target', helpValue: 'NAME' }),
    collection: Flags.string({
      description: 'with an operation on this collection',
      helpValue: 'NAME',
    }),
    operation: Flags.string({
      description:
        'with this operation, such as search or delete_by_filter; on the collection, if one is given',
      helpValue: 'NAME',
    }),
    decision: Flags.option({
      description: 'with an operation that was judged so',
      options: DECISIONS,
    })(),
    key: Flags.string({ description: 'that wrote or deleted this key', helpValue: 'KEY' }),
    text: Flags.string({
      description: 'with all of these words in statements or parameters',
      helpValue: 'WORDS',
    }),
    ...timeFlags,
    before: Flags.string({
      description: 'the page after this session, the last of the page before',
      helpValue: 'SESSION',
    }),
    limit: limitFlag('at most this many'),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(SessionsList)
    const { person, target, collection, operation, decision, key, text, before, limit } = flags
    const times = timesOf(flags, Date.now())
    const { api } = await this.openGateway(flags)
    const recorded = { collection, operation, decision, key, text }
    const asked = { person, target, ...recorded, before, limit, ...times }
    const { sessions, next, index } = await api.searchSessions(asked)
    this.output.result({ sessions, ...(next === undefined ? {} : { next }), index })
    // Without these the list does not come from the recordings.
    if (Object.values(recorded).some((one) => one !== undefined)) warnOfGaps(this.output, index)
    if (this.output.json) return
    if (sessions.length === 0) return this.output.say('no sessions')
    this.output.data(await sessionsText(sessions))
    if (next !== undefined) this.output.say(`there are more: --before ${next}`)
  }
}
