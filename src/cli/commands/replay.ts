// Owns `vgate replay`.

import { Args, Flags } from '@oclif/core'
import { VgateError } from '../../core/errors.js'
import { ONLY, onlyRecords, paceOf } from '../play.js'
import { gatewayFlags, keyFlag, RunCommand } from '../run-command.js'

export default class Replay extends RunCommand {
  static override description =
    'Prove a recording, then play what happened in its session. Nothing is executed.'
  static override examples = [
    '<%= config.bin %> replay ses_2v8k0c9d1e3f4g5h6j7k --only denied',
    '<%= config.bin %> replay session.vgr --follow',
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
      description: 'times as fast as it was; 0 does not wait; default 1 in the player, else 0',
      helpValue: 'N',
    }),
    'max-idle': Flags.string({ description: 'longest pause', default: '2s', helpValue: 'TIME' }),
    step: Flags.boolean({ description: 'begin paused, on the first record' }),
    follow: Flags.boolean({ description: 'go on with a session that is not over' }),
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
    const { output, environment: env } = this
    const cast = flags.format === 'asciicast'
    const player = !cast && output.takesKeys
    const pace = paceOf(flags.speed ?? (player || cast ? '1' : '0'), flags['max-idle'])
    if (flags.step && !player) throw new VgateError('VGATE_USAGE', '--step needs a terminal')
    const { openRecording } = await import('../../client/open-recording.js')
    const { tell } = await import('../../audit/story.js')
    const { recording, close } = await openRecording(args.session, {
      state: this.state,
      follow: flags.follow,
      ...(flags.key === undefined ? {} : { key: flags.key }),
      gateway: async () => (await this.openGateway(flags)).api,
    })
    try {
      const { verdict, reason, records: count, id: title, header } = recording.verification
      output.event('verified', { verdict, reason, records: count })
      if (verdict === 'closed') output.say(output.colour.green(`✔ ${reason}`))
      else if (flags.follow && recording.live) output.say(`no end yet; signed so far: ${count}`)
      else output.warn(reason.startsWith(verdict) ? reason : `${verdict}: ${reason}`)
      const { only } = flags
      const startedAt = header?.created
      const told = onlyRecords(tell(flags.follow ? recording.all() : recording.records()), only)
      let exit = 0
      if (player) {
        const { playOnTerminal } = await import('../player/run.js')
        const options = { pace, only, paused: flags.step, startedAt, color: output.dataColour }
        exit = await playOnTerminal(recording, { ...options, follow: flags.follow })
      } else {
        const { playCast, playLines } = await import('../play-lines.js')
        if (cast) await playCast(told, { pace, title, startedAt, env })
        else await playLines(told, { output, pace, startedAt })
      }
      this.exitWith(exit === 0 && verdict === 'unknown_key' ? 10 : exit)
    } finally {
      close()
    }
  }
}
