// Owns playing an opened recording in the form that was asked for, and what is said of its verdict before and after.

import type { LiveRecording } from '../audit/live.js'
import { tell } from '../audit/story.js'
import type { Environment } from '../client/state-dir.js'
import type { Output } from './output.js'
import { type Only, onlyRecords, type Pace } from './play.js'

export interface PlayRecording {
  readonly output: Output
  readonly env: Environment
  readonly pace: Pace
  readonly only: Only | undefined
  readonly form: 'player' | 'lines' | 'asciicast'
  readonly follow: boolean
  /** The player begins paused. */
  readonly paused: boolean
}

/** Plays to the end, or until the person stops it; answers the exit code. */
export async function playRecording(
  recording: LiveRecording,
  options: PlayRecording,
): Promise<number> {
  const { output, pace, only, form, env } = options
  const follow = options.follow && recording.live
  if (follow) {
    const { verdict, records } = recording.verification
    const known = verdict === 'unknown_key' ? ', by a key that is not known' : ''
    output.event('following', { verdict, records })
    output.say(`the session goes on: ${records} records are signed so far${known}`)
  } else sayVerdict(recording, output)
  const { id: title, header } = recording.verification
  const startedAt = header?.created
  let exit = 0
  if (form === 'player') {
    const { playOnTerminal } = await import('./player/run.js')
    const shown = { paused: options.paused, startedAt, color: output.dataColour }
    exit = await playOnTerminal(recording, { pace, only, follow, ...shown })
  } else {
    const told = onlyRecords(tell(follow ? recording.all() : recording.records()), only)
    const { playCast, playLines } = await import('./play-lines.js')
    if (form === 'asciicast') await playCast(told, { pace, title, startedAt, env })
    else await playLines(told, { output, pace, startedAt })
  }
  if (follow && exit === 0 && !recording.live) sayVerdict(recording, output)
  return exit === 0 && recording.verification.verdict === 'unknown_key' ? 10 : exit
}

function sayVerdict({ verification }: LiveRecording, output: Output): void {
  const { verdict, reason, records } = verification
  output.event('verified', { verdict, reason, records })
  if (verdict === 'closed') output.say(output.colour.green(`✔ ${reason}`))
  else output.warn(reason.startsWith(verdict) ? reason : `${verdict}: ${reason}`)
}
