// Owns `vgate targets`.

import { tableText } from '../people.js'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Targets extends RunCommand {
  static override description = 'List the databases that you may connect to, and with which roles.'
  static override examples = ['<%= config.bin %> targets', '<%= config.bin %> targets --json']
  static override flags = { ...gatewayFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(Targets)
    const { api } = await this.openGateway(flags)
    const answer = await api.targets()
    this.output.result(answer)
    if (this.output.json) return
    if (answer.targets.length === 0) {
      const hint = '`vgate whoami` shows your groups; ask the administrator for a rule with one'
      return this.output.say(`no target is open to you\n  ${hint}`)
    }
    const rows = answer.targets.map((target) => [
      target.name,
      target.database,
      target.roles
        .map((role) => (role.approval ? `${role.name} (approval)` : role.name))
        .join(', '),
      target.contact ?? '',
    ])
    this.output.data(await tableText(['TARGET', 'DATABASE', 'ROLES', 'CONTACT'], rows))
  }
}
