// Owns `vgate gateway start`.

import * as Flags from '@oclif/core/flags'
import { RunCommand } from '../../run-command.js'
import { firstSignal, onReload } from '../../signals.js'

export default class GatewayStart extends RunCommand {
  static override description =
    'Run a gateway until it is told to stop. Its log goes to stderr, one JSON object a line. A changed policy is taken up at once; a broken one changes nothing.'
  static override examples = [
    '<%= config.bin %> gateway start',
    '<%= config.bin %> gateway start --config /etc/vgate/vgate.yaml --json',
  ]
  static override flags = {
    config: Flags.string({
      description: 'configuration file',
      default: './vgate.yaml',
      helpValue: 'FILE',
    }),
    'log-level': Flags.string({
      description: 'how much to log',
      options: ['error', 'warn', 'info', 'debug'],
      default: 'info',
    }),
  }

  protected override readonly staysOpen = true

  async run(): Promise<void> {
    const { flags } = await this.parse(GatewayStart)
    const [{ startGateway }, { watchFaults }, { pino, destination }] = await Promise.all([
      import('../../../gateway/start.js'),
      import('../../../gateway/faults.js'),
      import('pino'),
    ])
    const logger = pino({ level: flags['log-level'] }, destination({ dest: 2, sync: true }))
    const faults = watchFaults(process, logger)
    const { signal, ignore } = firstSignal({ service: true })
    const gateway = await startGateway({ configFile: flags.config, logger })
    onReload(() => void gateway.reloadPolicy())
    this.output.event('listening', { url: gateway.url })
    this.output.say(`listening on ${gateway.url}`)
    // Asked to stop and stopped cleanly is success, as service managers expect.
    const fault = await Promise.race([signal.then(() => undefined), faults.first])
    await gateway.stop()
    ignore()
    faults.ignore()
    if (fault !== undefined) throw fault
    this.output.event('stopped', {})
  }
}
