// Owns `vgate approve`.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { VgateError } from '../../core/errors.js'
import { ask, requireTerminal } from '../ask.js'
import { visible } from '../output.js'
import { durationSeconds } from '../people.js'
import { approveQuestion, mustBeTyped, requestLines } from '../request-lines.js'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Approve extends RunCommand {
  static override description =
    'Approve a request of somebody else: shows the whole of it first, and asks.'
  static override examples = [
    '<%= config.bin %> approve req_2v8k0c9d1e3f4g5h6j7k',
    '<%= config.bin %> approve req_2v8k0c9d1e3f4g5h6j7k --ttl 10m --yes',
  ]
  static override args = { request: Args.string({ description: 'request id', required: true }) }
  static override flags = {
    yes: Flags.boolean({ description: 'do not ask; for scripts' }),
    ttl: Flags.string({
      description: 'shorten it: how long the access lasts, or the approval may be used',
      helpValue: 'TIME',
    }),
    collections: Flags.string({
      description: 'narrow access to these, separated by commas',
      helpValue: 'NAMES',
    }),
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Approve)
    const ttl = flags.ttl === undefined ? undefined : durationSeconds(flags.ttl)
    if (flags.ttl !== undefined && ttl === undefined)
      throw new VgateError('VGATE_USAGE', `--ttl ${flags.ttl} is not a duration`, {
        hint: 'for instance 30m',
      })
    const collections = flags.collections?.split(',').map((name) => name.trim())
    const { api } = await this.openGateway(flags)
    const request = await api.request(args.request)
    for (const line of requestLines(this.output, request, Date.now())) this.output.say(line)
    if (!flags.yes) {
      requireTerminal(this.environment, 'read it with `vgate requests --json`, then use --yes')
      const typed = mustBeTyped(request)
      const question = visible(approveQuestion(request))
      const answer =
        typed === undefined
          ? await ask(`${question} [y/N]`)
          : await ask(`${question}\nit touches all of ${visible(typed)}: type its name to approve:`)
      const isYes = typed === undefined ? /^y(es)?$/i.test(answer) : answer === typed
      if (!isYes) throw new VgateError('VGATE_ANSWERED_NO', 'not approved; the request stays open')
    }
    const answered = await api.approve(args.request, {
      ...(ttl === undefined ? {} : { ttl_seconds: ttl }),
      ...(collections === undefined ? {} : { collections }),
    })
    this.output.result({ request: answered })
    this.output.data(
      `${answered.id} ${answered.state === 'open' ? 'waits for more answers' : answered.state}`,
    )
  }
}
