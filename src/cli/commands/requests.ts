// Owns `vgate requests`.

import * as Flags from '@oclif/core/flags'
import { REQUEST_STATES, type RequestRow } from '../../core/api-requests.js'
import { visible } from '../output.js'
import { momentText, tableText } from '../people.js'
import { whatOf } from '../request-lines.js'
import { gatewayFlags, RunCommand } from '../run-command.js'
import { exitCodeOfSignal, firstSignal } from '../signals.js'

const POLL_MS = 1_000

export default class Requests extends RunCommand {
  static override description =
    'List what waits for a second person: your own requests, and those that you may answer. Open ones by default.'
  static override examples = [
    '<%= config.bin %> requests',
    '<%= config.bin %> requests --watch --json',
  ]
  static override flags = {
    state: Flags.string({
      description: 'only in this state',
      options: [...REQUEST_STATES],
      default: 'open',
    }),
    all: Flags.boolean({ description: 'in every state', exclusive: ['watch'] }),
    watch: Flags.boolean({ description: 'go on, and show what changes' }),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Requests)
    const { api } = await this.openGateway(flags)
    if (flags.watch) return await this.#watch(() => api.requests())
    const state = REQUEST_STATES.find((one) => one === flags.state)
    const requests = await api.requests(flags.all ? undefined : state)
    this.output.result({ requests })
    if (this.output.json) return
    if (requests.length === 0) return this.output.say('no requests')
    const rows = requests.map((one) => [
      one.id,
      momentText(one.created_at),
      one.state,
      one.requester.name,
      one.target,
      whatOf(one),
    ])
    this.output.data(await tableText(['REQUEST', 'ASKED', 'STATE', 'WHO', 'TARGET', 'WHAT'], rows))
  }

  /** One event for each request that is open, and for each change after that. */
  async #watch(list: () => Promise<RequestRow[]>): Promise<void> {
    const { signal, ignore } = firstSignal()
    const seen = new Map<string, string>()
    this.output.say('watching for requests; Ctrl-C ends')
    for (let first = true; ; first = false) {
      for (const request of (await list()).reverse()) {
        const known = seen.get(request.id)
        seen.set(request.id, request.state)
        if (known === request.state || (first && request.state !== 'open')) continue
        this.output.event('request', { request })
        this.output.data(
          `${request.state.padEnd(9)}${request.id}  ${visible(request.requester.name)} on ${visible(request.target)}: ${visible(whatOf(request))}`,
        )
      }
      const ended = await Promise.race([
        signal,
        new Promise<void>((next) => setTimeout(next, POLL_MS)),
      ])
      if (ended === undefined) continue
      ignore()
      return this.exitWith(exitCodeOfSignal(ended))
    }
  }
}
