// Owns the tour's fifth part: an export that was approved streams, access is taken away, and the stream is cut.

import { DEMO_PEOPLE } from './identity-provider.js'
import { logIn, runCommand } from './tour-cli.js'
import { BOB, CAROL, type TourState } from './tour-state.js'
import { check, type Played, type Step } from './tour-step.js'

const COPY = 'COPY archive (year, subject, body) TO STDOUT'
const WHY = 'contract ended'
const CUT_MS = 1_000

async function exported(state: TourState): Promise<Played> {
  await logIn(state.world, 'carol')
  const carol = await state.connect(CAROL, 'report on the archive')
  const size = await state.direct(
    'SELECT sum(length(subject) + length(body))::int AS bytes FROM archive',
  )
  const whole = Number(size[0]?.['bytes'])
  const copy = carol.copy(COPY)
  const held = await carol.command.event('held')
  const before = copy.bytes
  const approve = await runCommand(state.world, BOB, [
    ...['approve', String(held['request']), '--yes'],
  ])
  await copy.begun
  const closing = carol.command.event('closed')
  // What is under way is read at once then: a cut's last words wait half a second for a slow reader, and no longer.
  closing.then(
    () => copy.hurry(),
    () => undefined, // told below
  )
  const revoke = await runCommand(state.world, BOB, [
    ...['revoke', DEMO_PEOPLE.carol.email, '--reason', WHY],
  ])
  const answered = Date.now()
  copy.hurry()
  const end = await copy.ended
  const closed = await closing
  const exitCode = await carol.command.end()
  const late = Math.max(0, end.at - answered)
  const message = end.error?.message ?? 'it ended as if nothing had been'
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  return {
    shown: [
      `held, ${String(held['preview'])}; bob approves; it streams`,
      `bob: ${revoke.stdout}`,
      `cut ${late} ms after that, at ${megabytes(copy.bytes)} of ${megabytes(whole)}: ${message}`,
      `vgate connect ends: ${String(closed['reason'])}, exit code ${exitCode}`,
    ],
    checks: [
      check(
        'how much it would touch',
        /^[\d,]+ of [\d,]+ rows of archive$/.test(String(held['preview'])),
        held,
      ),
      check('nothing delivered while it was held', before === 0, before),
      check('bob to approve it', approve.exitCode === 0, approve),
      check('bob to revoke it', revoke.exitCode === 0, revoke),
      check(`the stream cut within ${CUT_MS} ms`, end.error !== undefined && late < CUT_MS, late),
      // Her client was told too, unless it was too slow to take the last words of a stream that was cut.
      check('the reason told to carol', String(closed['message']).includes(WHY), closed),
      check('some of it delivered, not all', copy.bytes > 0 && copy.bytes < whole, copy.bytes),
      check('her connect to end as revoked', closed['reason'] === 'revoked', closed),
      check('exit code 5', exitCode === 5, exitCode),
    ],
  }
}

export const exportSteps: readonly Step[] = [
  {
    name: 'export',
    caption:
      'Carol, a contractor, exports the archive; Bob approves that too. While it streams her contract ends: he revokes her access, and the stream is cut.',
    typed: [COPY, 'vgate approve REQUEST', `vgate revoke carol@example.org --reason "${WHY}"`],
    play: exported,
  },
]
