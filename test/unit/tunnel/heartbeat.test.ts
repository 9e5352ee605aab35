// Who counts as lost, and when: silence, sleep, a stopped process, a clock that was set.

import { describe, expect, it } from 'vitest'
import {
  HEARTBEAT_MS,
  Heartbeat,
  PROBE_MS,
  SILENCE_MS,
  TICK_MS,
} from '../../../src/tunnel/heartbeat.js'

/** Ticks as a timer would; each step may make the clocks jump before it. */
function run(
  steps: readonly { heard?: boolean; sleep?: number; stall?: number; set?: number }[],
): string[] {
  const at = { steady: 1_000, wall: 1_000_000 }
  const heartbeat = new Heartbeat({ ...at })
  let next = TICK_MS
  return steps.map(({ heard, sleep = 0, stall = 0, set = 0 }) => {
    if (heard === true) heartbeat.heard()
    at.steady += next + stall
    at.wall += next + stall + sleep + set
    const pulse = heartbeat.tick({ ...at })
    next = pulse.next
    return `${pulse.verdict} ${next}`
  })
}
const quiet = `quiet ${TICK_MS}`
const ask = `ask ${TICK_MS}`
const probe = `ask ${PROBE_MS}`
const lost = `lost ${TICK_MS}`

describe('a heartbeat', () => {
  it('asks at its interval, and never calls one lost that answers', () => {
    const steps = Array.from({ length: 60 }, () => ({ heard: true }))
    const verdicts = run(steps)
    expect(verdicts.filter((verdict) => verdict === ask)).toHaveLength(
      60 / (HEARTBEAT_MS / TICK_MS),
    )
    expect(verdicts.some((verdict) => verdict === lost)).toBe(false)
  })

  it('calls a silent peer lost after the silence, not before', () => {
    const verdicts = run(Array.from({ length: 12 }, () => ({})))
    expect(verdicts.indexOf(lost)).toBe(SILENCE_MS / TICK_MS + 1)
  })

  it('asks at once after sleep, and calls a peer lost that does not answer in the time of a probe', () => {
    expect(run([{ heard: true }, { sleep: 3_600_000 }, {}])).toEqual([quiet, probe, lost])
  })

  it('stays after sleep with a peer that answers', () => {
    expect(run([{ sleep: 3_600_000 }, { heard: true }, {}, {}, {}])).toEqual([
      probe,
      quiet,
      quiet,
      quiet,
      ask,
    ])
  })

  it('asks after a stopped process before it judges what it could not hear', () => {
    expect(run([{ stall: 120_000 }, { heard: true }])).toEqual([probe, quiet])
  })

  it('loses nobody to a clock that is set, in either direction', () => {
    expect(run([{ heard: true, set: 600_000 }, { heard: true }])).toEqual([probe, quiet])
    expect(run([{ heard: true, set: -600_000 }, { heard: true }])).toEqual([quiet, quiet])
  })

  it('takes nothing from before the sleep for an answer', () => {
    expect(run([{ heard: true, sleep: 60_000 }, {}])).toEqual([probe, lost])
  })
})
