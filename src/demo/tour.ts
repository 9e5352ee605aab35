// Owns playing the tour: each step is shown, run and checked; the first that does not show what it must ends it.

import type { Reporter } from './reporter.js'
import { TourState } from './tour-state.js'
import type { Step } from './tour-step.js'
import { TOUR_STEPS } from './tour-steps.js'
import type { DemoWorld } from './world.js'

/** Plays all steps in order. Answers 0, or 1 after saying which step failed, what was expected and what was seen. */
export async function playTour(
  world: DemoWorld,
  report: Reporter,
  signal?: AbortSignal,
  steps: readonly Step[] = TOUR_STEPS,
): Promise<number> {
  const state = new TourState(world)
  const started = Date.now()
  try {
    for (const [index, step] of steps.entries()) {
      if (signal?.aborted === true) return 0
      report.line(`\n${index + 1}. ${step.caption}`)
      for (const line of step.typed) report.line(`   $ ${line}`)
      const problems: string[] = []
      const shown: string[] = []
      try {
        const played = await step.play(state)
        shown.push(...played.shown)
        problems.push(
          ...played.checks
            .filter(({ ok }) => !ok)
            .map(({ expected, seen }) => describe(expected, seen)),
        )
      } catch (error) {
        problems.push(describe('the step to run', error instanceof Error ? error.message : error))
      }
      for (const line of shown) report.line(`     ${line}`)
      report.event({ event: 'step', step: step.name, ok: problems.length === 0, problems })
      if (problems.length === 0) continue
      report.failure(
        `step ${index + 1} (${step.name}) did not show what it must\n${problems.join('\n')}`,
      )
      return 1
    }
    report.line(
      `\nThat was the tour, in ${Math.round((Date.now() - started) / 1000)} s. To try it yourself: npm run demo`,
    )
    report.event({ event: 'tour_done', steps: steps.length })
    return 0
  } finally {
    await state.close()
  }
}

function describe(expected: string, seen: unknown): string {
  const text = typeof seen === 'string' ? seen : JSON.stringify(seen)
  return `  expected: ${expected}\n  seen:     ${(text ?? 'nothing').slice(0, 2000)}`
}
