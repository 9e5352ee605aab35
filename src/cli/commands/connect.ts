// Owns `vgate connect`.

import * as Flags from '@oclif/core/flags'
import type { Closed, Connection } from '../../client/connect.js'
import { closedEvent, closedLine, eventLine, readyLines, WAITING } from '../connect-lines.js'
import { grantFlags, grantRequestOf, listenOptions, targetArgument } from '../grant-flags.js'
import { gatewayFlags, RunCommand } from '../run-command.js'
import { type EndingSignal, exitCodeOfSignal, firstSignal } from '../signals.js'
import { spin } from '../spinner.js'

export default class Connect extends RunCommand {
  static override description =
    'Open a local port to a database: ask for access, wait for approval if policy wants one, and stay until the grant ends.'
  static override examples = [
    '<%= config.bin %> connect prod-vectors',
    '<%= config.bin %> connect prod-vectors --ttl 30m --reason "reindex docs" --json',
  ]
  static override args = targetArgument
  static override flags = {
    ...grantFlags,
    socket: Flags.string({
      description: 'listen on a unix socket instead of a port',
      helpValue: 'PATH',
      exclusive: ['port', 'bind'],
    }),
    'new-secret': Flags.boolean({ description: 'replace the secret of the local port' }),
    ...gatewayFlags,
  }
  protected override readonly staysOpen = true

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Connect)
    const request = grantRequestOf(args.name, flags)
    const context = await this.openGateway(flags)
    const { connect, exitCodeOf } = await import('../../client/connect.js')
    const { signal, ignore } = firstSignal()
    const opening = spin(this.output, `connecting to ${args.name}`, (show) =>
      connect(
        context,
        context.api,
        {
          request,
          command: 'connect',
          version: this.config.version,
          newSecret: flags['new-secret'],
          wait: flags.wait,
          ...listenOptions(flags),
        },
        (happened) => {
          const { event, ...fields } = happened
          this.output.event(event, fields)
          this.output.say(eventLine(this.output, happened))
          if (event === 'waiting_approval') show(WAITING)
        },
      ),
    )
    const early = await Promise.race([opening, signal])
    if (typeof early === 'string') process.exit(exitCodeOfSignal(early))
    const closed = await this.#stay(early, signal)
    ignore()
    if (typeof closed === 'number') return this.exitWith(closed)
    this.output.event('closed', closedEvent(closed))
    this.output.say(closedLine(this.output, closed))
    this.exitWith(exitCodeOf(closed))
  }

  async #stay(connection: Connection, signal: Promise<EndingSignal>): Promise<Closed | number> {
    const { snippets, notes, ...ready } = connection.ready
    this.output.event('ready', ready)
    this.output.say(readyLines(this.output, { ...ready, snippets, notes }, Date.now()).join('\n'))
    this.output.data(ready.url)
    const end = await Promise.race([connection.closed, signal])
    if (typeof end !== 'string') return end
    await connection.stop()
    this.output.event('closed', { reason: 'stopped' })
    return exitCodeOfSignal(end)
  }
}
