// Owns `vgate whoami`.

import { visible } from '../output.js'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Whoami extends RunCommand {
  static override description = 'Show who you are to the gateway, and your groups.'
  static override examples = ['<%= config.bin %> whoami', '<%= config.bin %> whoami --json']
  static override flags = { ...gatewayFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(Whoami)
    const { api, gateway } = await this.openGateway(flags)
    const answer = await api.whoami()
    const { principal } = answer
    this.output.result({ gateway: gateway.url, ...answer })
    this.output.data(
      `${visible(principal.name)} (${visible(principal.provider)}: ${visible(principal.subject)})`,
    )
    this.output.data(`gateway  ${gateway.url}`)
    this.output.data(`groups   ${principal.groups.map(visible).join(', ') || 'none'}`)
    const powers = [
      ...(answer.administrator ? ['administrator'] : []),
      ...(answer.auditor ? ['auditor'] : []),
    ]
    if (powers.length > 0) this.output.data(`is       ${powers.join(', ')}`)
  }
}
