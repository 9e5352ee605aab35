// Owns `vgate replay`.

import { Args, Flags } from '@oclif/core'
import { VgateError } from '../../core/errors.js'
import { ONLY, onlyRecords, paced, paceOf, stepped } from '../play.js'
import { gatewayFlags, keyFlag, RunCommand } from '../run-command.js'

export default class Replay extends RunCommand {
  static override description =
    'Prove a recording, then play what happened in its session. Nothing is executed.'
  static override examples = [
    '<%= config.bin %> replay ses_2v8k0c9d1e3f4g5h6j7k --only denied',
    '<%= config.bin %> replay session.vgr --format asciicast > session.cast',
  ]
  static override args = {
    session: Args.string({ description: 'session id, or path of a recording', required: true }),
  }
  static override flags = {
    only: Flags.option({
      options: ONLY,
      description: 'only operations that were denied, held or masked',
    })(),
    speed: Flags.string({
      description: 'times as fast as it was; 0 does not wait; default 1 on a terminal, else 0',
      helpValue: 'N',
    }),
    'max-idle': Flags.string({ description: 'longest pause', default: '2s', helpValue: 'TIME' }),
    step: Flags.boolean({ description: 'wait for Enter after each record' }),
    format: Flags.string({
      description: 'how to write it',
      options: ['text', 'asciicast'],
      default: 'text',
    }),
    ...keyFlag,
    ...gatewayFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Replay)
    const { output } = this
    const [{ openRecording }, { renderRecord }, { toAsciicast }] = await Promise.all([
      import('../../client/open-recording.js'),
      import('../../audit/render.js'),
      import('../../audit/export.js'),
    ])
    const { speed, idleMs } = paceOf(
      flags.speed ?? (process.stdout.isTTY && !output.json ? '1' : '0'),
      flags['max-idle'],
    )
    if (flags.step && process.stdin.isTTY !== true)
      throw new VgateError('VGATE_USAGE', '--step needs a terminal')
    const recording = await openRecording(args.session, {
      state: this.state,
      ...(flags.key === undefined ? {} : { key: flags.key }),
      gateway: async () => (await this.openGateway(flags)).api,
    })
    const { verdict, reason, records: count } = recording.verification
    output.event('verified', { verdict, reason, records: count })
    if (verdict === 'closed') output.say(output.colour.green(`✔ ${reason}`))
    else output.warn(reason.startsWith(verdict) ? reason : `${verdict}: ${reason}`)
    const width = Math.max(20, process.stdout.columns ?? 100)
    const chosen = onlyRecords(recording.records(), flags.only)
    if (flags.format === 'asciicast') {
      for await (const line of toAsciicast(chosen, { width, height: 40, maxIdleMs: idleMs }))
        process.stdout.write(line)
    } else {
      const timed = paced(chosen, speed, idleMs)
      let startedAt: string | undefined
      for await (const record of flags.step ? stepped(timed, process.stdin) : timed) {
        startedAt ??= record.at
        output.event(record.type, record)
        if (!output.json)
          output.data(
            renderRecord(record, { width, color: output.dataColour, startedAt }).join('\n'),
          )
      }
    }
    this.exitWith(verdict === 'unknown_key' ? 10 : 0)
  }
}
