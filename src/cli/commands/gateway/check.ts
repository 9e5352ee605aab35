// Owns `vgate gateway check`.

import * as Flags from '@oclif/core/flags'
import { RunCommand } from '../../run-command.js'

export default class GatewayCheck extends RunCommand {
  static override description =
    'Check the configuration and the policy, naming every problem with its line, without starting anything.'
  static override examples = [
    '<%= config.bin %> gateway check',
    '<%= config.bin %> gateway check --config /etc/vgate/vgate.yaml --json',
  ]
  static override flags = {
    config: Flags.string({
      description: 'configuration file',
      default: './vgate.yaml',
      helpValue: 'FILE',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(GatewayCheck)
    const { checkConfig } = await import('../../../gateway/config.js')
    const warnings = (await checkConfig(flags.config)).warnings
    for (const warning of warnings) this.output.warn(warning)
    this.output.result({ ok: true, config: flags.config, warnings })
    this.output.say(`${this.output.colour.green('✔')} ${flags.config} is good`)
  }
}
