// Owns `vgate logout`.

import { addressFlags, RunCommand } from '../run-command.js'

export default class Logout extends RunCommand {
  static override description =
    'Forget the login and the secrets of local ports, here and at the gateway.'
  static override examples = ['<%= config.bin %> logout']
  static override flags = { ...addressFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(Logout)
    const context = await this.openGateway(flags, 'stored login')
    const { logout } = await import('../../client/login.js')
    const { was, told } = await logout(context)
    if (was && !told)
      this.output.warn(
        'the gateway could not be told; its tokens end by themselves within 15 minutes',
      )
    this.output.result({ gateway: context.gateway.url, logged_out: was })
    this.output.say(
      was ? `logged out of ${context.gateway.url}` : `not logged in to ${context.gateway.url}`,
    )
  }
}
