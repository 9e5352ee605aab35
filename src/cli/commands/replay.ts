// Owns `vgate replay`.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { VgateError } from '../../core/errors.js'
import { ONLY, paceOf } from '../play.js'
import { gatewayFlags, keyFlag, RunCommand } from '../run-command.js'
import { exitCodeOfSignal, onSignal } from '../signals.js'

export default class Replay extends RunCommand {
  static override description =
    'Prove a recording, then play what happened in its session. Nothing is executed.'
  static override examples = [
    '<%= config.bin %> replay ses_2v8k0c9d1e3f4g5h6j7k --only denied',
    '<%= config.bin %> replay ses_2v8k0c9d1e3f4g5h6j7k --follow',
    '<%= config.bin %> replay session.vgr --format asciicast > session.cast',
  ]
  static override args = {
    session: Args.string({
      description:
        'session id, or path of a recording (./ses_… for a file that is named like an id)',
      required: true,
    }),
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
    const { playRecording } = await import('../play-recording.js')
    const { only, follow, step: paused } = flags
    // A fetched copy is removed, and the terminal given back, at the end of the process: a signal's own end does neither.
    const ignore = onSignal((signal) => process.exit(exitCodeOfSignal(signal)))
    const { recording, close } = await openRecording(args.session, {
      state: this.state,
      follow,
      ...(flags.key === undefined ? {} : { key: flags.key }),
      gateway: async () => (await this.openGateway(flags)).api,
    })
    try {
      const form = player ? 'player' : cast ? 'asciicast' : 'lines'
      const options = { output, env, pace, only, form, follow, paused } as const
      this.exitWith(await playRecording(recording, options))
    } finally {
      await close()
      ignore()
    }
  }
}
