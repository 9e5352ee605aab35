// Owns `vgate sessions watch`.

import { visible } from '../../output.js'
import { momentText } from '../../people.js'
import { gatewayFlags, RunCommand } from '../../run-command.js'
import { exitCodeOfSignal, firstSignal } from '../../signals.js'
import { type SessionChange, sessionChanges } from '../../watch-sessions.js'

export default class SessionsWatch extends RunCommand {
  static override description =
    'Show sessions as they start and end, and operations as they are held: your own, and everybody’s for auditors. Ends with Ctrl-C.'
  static override examples = [
    '<%= config.bin %> sessions watch',
    '<%= config.bin %> sessions watch --json',
  ]
  static override flags = { ...gatewayFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(SessionsWatch)
    const { api } = await this.openGateway(flags)
    const { signal, ignore } = firstSignal()
    await api.sessionChanges(undefined)
    this.output.event('watching', {})
    this.output.say('watching; Ctrl-C ends')
    for await (const change of sessionChanges(api, signal)) this.#show(change)
    ignore()
    this.exitWith(exitCodeOfSignal(await signal))
  }

  #show(change: SessionChange): void {
    if (change.kind === 'lost' || change.kind === 'regained') {
      this.output.event(change.kind, {})
      const how = change.kind === 'lost' ? 'does not answer' : 'answers again'
      return this.output.say(`the gateway ${how}`)
    }
    if (change.kind === 'held') {
      const { held } = change
      const { at, request, session, principal, target, operation, collections } = held
      this.output.event('held', { held })
      const what = `${operation} ${collections.join(', ')} (${request})`
      return this.#line(at, 'held', session, principal.name, target, what)
    }
    const { kind, session } = change
    const { id, principal, target, started_at, ended_at, state, operations, denied } = session
    this.output.event(kind, { session })
    const how = kind === 'ended' ? `${state}: ${operations} operations, ${denied} denied` : ''
    const at = kind === 'ended' ? (ended_at ?? started_at) : started_at
    this.#line(at, kind, id, principal.name, target, how)
  }

  #line(at: string, ...words: string[]): void {
    const [kind = '', session = '', who = '', target = '', what = ''] = words.map(visible)
    const line = `${momentText(at)}  ${kind.padEnd(8)}${session}  ${who} on ${target}  ${what}`
    this.output.data(line.trimEnd())
  }
}
