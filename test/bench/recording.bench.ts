// Owns the benchmark of recordings: as many rounds as asked for, each in a process of its own. Publishes only with
// --write, and says when the machine was busy.

import { availableParallelism, cpus } from 'node:os'
import { execa } from 'execa'
import { it } from 'vitest'
import { bundled } from '../support/bundled.js'
import { RECORDING_HEADING, type RecordingRound, recordingPage } from './recording-page.js'
import { writeSection } from './section.js'

const options = JSON.parse(process.env['VGATE_BENCH'] ?? '{}') as {
  load?: number
  rounds?: number
  write?: boolean
}
const ROUNDS = options.rounds ?? 7

it('recordings', async () => {
  const script = await bundled('test/bench/recording-round.ts')
  const rounds: RecordingRound[] = []
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { stdout } = await execa(process.execPath, [script])
    rounds.push(JSON.parse(stdout) as RecordingRound)
    process.stdout.write(`recordings: round ${round} of ${ROUNDS}\n`)
  }
  const machine = `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`
  const text = recordingPage({ rounds, machine, load: options.load ?? 0 })
  if (options.write === true) writeSection(RECORDING_HEADING, text)
  process.stdout.write(`${text}\n`)
})
