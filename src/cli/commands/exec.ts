// Owns `vgate exec`.

import { VgateError } from '../../core/errors.js'
import { closedLine, eventLine, WAITING } from '../connect-lines.js'
import { grantFlags, grantRequestOf, listenOptions, targetArgument } from '../grant-flags.js'
import { visible } from '../output.js'
import { gatewayFlags, RunCommand } from '../run-command.js'
import { spin } from '../spinner.js'

export default class Exec extends RunCommand {
  static override description =
    'Run one command with a connection to a database in its environment. The exit code is the command’s own; 125 if the session was lost, 126 or 127 if it could not be started.'
  static override examples = [
    '<%= config.bin %> exec prod-vectors -- psql -c "SELECT count(*) FROM docs"',
    '<%= config.bin %> exec prod-vectors --ttl 10m -- python nightly.py',
  ]
  static override usage = 'exec NAME [FLAGS] -- COMMAND...'
  static override strict = false
  static override args = targetArgument
  static override flags = { ...grantFlags, ...gatewayFlags }

  protected override readonly staysOpen = true

  async run(): Promise<void> {
    // What follows the first `--` is the child's, word for word: no parser of ours may touch it.
    const split = this.argv.indexOf('--')
    const command = split === -1 ? [] : this.argv.slice(split + 1)
    const { args, flags } = await this.parse(
      Exec,
      split === -1 ? this.argv : this.argv.slice(0, split),
    )
    if (command.length === 0) {
      throw new VgateError('VGATE_USAGE', 'no command to run', {
        hint: 'vgate exec NAME -- COMMAND…',
      })
    }
    const request = grantRequestOf(args.name, flags)
    const context = await this.openGateway(flags)
    const { connect } = await import('../../client/connect.js')
    const { runChild } = await import('../run-child.js')
    // stdout is the child's: what vgate has to say goes to stderr.
    const tell = (line: string): boolean => process.stderr.write(`vgate: ${line}\n`)
    const connection = await spin(this.output, `connecting to ${args.name}`, (show) =>
      connect(
        context,
        context.api,
        {
          request,
          command: 'exec',
          version: this.config.version,
          newSecret: false,
          wait: flags.wait,
          ...listenOptions(flags),
        },
        (event) => {
          tell(eventLine(this.output, event))
          if (event.event === 'waiting_approval') show(WAITING)
        },
      ),
    )
    const { env, session, target, expires_at } = connection.ready
    const own = { VGATE_SESSION: session, VGATE_TARGET: target, VGATE_EXPIRES_AT: expires_at }
    const end = await runChild(command, { ...env, ...own }, connection.ending)
    if (end.notRun !== undefined) tell(visible(end.notRun))
    if (end.lost) tell(closedLine(this.output, await connection.closed))
    await connection.stop()
    this.exitWith(end.code)
  }
}
