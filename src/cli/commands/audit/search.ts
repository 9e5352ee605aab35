// Owns `vgate audit search`.

import * as Flags from '@oclif/core/flags'
import { limitFlag, timeFlags, timesOf } from '../../moments.js'
import { gatewayFlags, RunCommand } from '../../run-command.js'
import { keyText, warnOfGaps } from '../../session-lines.js'

export default class AuditSearch extends RunCommand {
  static override description =
    'Who inserted, changed or deleted a key: when, in which session, under which approval. In your own sessions; in everybody’s for auditors. The search itself is audited.'
  static override examples = [
    '<%= config.bin %> audit search --collection docs --key 42',
    '<%= config.bin %> audit search --collection docs --key 42 --target prod-vectors --since 30d --json',
  ]
  static override flags = {
    collection: Flags.string({ description: 'of the key', required: true, helpValue: 'NAME' }),
    key: Flags.string({
      description: 'as the statement wrote it, or the database answered it',
      required: true,
      helpValue: 'KEY',
    }),
    target: Flags.string({ description: 'only of this target', helpValue: 'NAME' }),
    ...timeFlags,
    limit: limitFlag('at most this many of each kind'),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(AuditSearch)
    const { collection, key, target, limit } = flags
    const times = timesOf(flags, Date.now())
    const { api } = await this.openGateway(flags)
    const found = await api.searchKey({ collection, key, target, limit, ...times })
    this.output.result(found)
    warnOfGaps(this.output, found.index)
    if (this.output.json) return
    this.output.data(await keyText(this.output, { collection, key }, found))
  }
}
