// Owns the tour's fourth part: a job has no login and no secret, only its platform's token; it may insert and not read.

import path from 'node:path'
import { DEMO_TARGET } from './files.js'
import { runCommand, type Typist } from './tour-cli.js'
import type { TourState } from './tour-state.js'
import { check, type Played, type Step } from './tour-step.js'

async function job(state: TourState): Promise<Played> {
  const ci: Typist = { name: 'ci', env: { VGATE_TOKEN: await state.world.jobToken() } }
  const program = [process.execPath, path.join(state.world.folder, 'ingest.mjs')]
  const exec = ['exec', DEMO_TARGET, '--', ...program]
  const [without, ran, who] = await Promise.all([
    runCommand(state.world, { name: 'nobody' }, exec),
    runCommand(state.world, ci, exec),
    runCommand(state.world, ci, ['whoami', '--json']),
  ])
  const written = await state.direct(
    "SELECT count(*)::int AS n FROM labels WHERE source = 'pipeline'",
  )
  return {
    shown: [
      `without the token: exit code ${without.exitCode}, ${without.stderr.trim().split('\n')[0]}`,
      ...ran.stdout.split('\n'),
      `labels of the pipeline in the database: ${String(written[0]?.['n'])}`,
    ],
    checks: [
      check('exit code 4 without the token', without.exitCode === 4, without),
      check('exit code 0', ran.exitCode === 0, `${ran.exitCode} ${ran.stderr} ${ran.stdout}`),
      check('INSERT 1', ran.stdout.includes('INSERT 1'), ran.stdout),
      check('the read refused', /ERROR 42501: .*labels/.test(ran.stdout), ran.stdout),
      check('one row written', written[0]?.['n'] === 1, written),
      check(
        'a workload, not a person',
        JSON.stringify(who.json).includes('"kind":"workload"'),
        who.stdout,
      ),
    ],
  }
}

export const jobSteps: readonly Step[] = [
  {
    name: 'job',
    caption:
      'A nightly job brings nothing but its platform’s token. It may add labels, and may not read them.',
    typed: [`VGATE_TOKEN=… vgate exec ${DEMO_TARGET} -- node ingest.mjs`],
    play: job,
  },
]
