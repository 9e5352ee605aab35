import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Reporter } from '../../../src/demo/reporter.js'
import { playTour } from '../../../src/demo/tour.js'
import { check, type Played, type Step } from '../../../src/demo/tour-step.js'
import { TOUR_STEPS } from '../../../src/demo/tour-steps.js'
import type { DemoWorld } from '../../../src/demo/world.js'

const world: DemoWorld = {
  folder: '/nowhere',
  gateway: 'http://127.0.0.1:1',
  issuer: 'http://127.0.0.1:2',
  jobToken: async () => 'token',
  database: { port: 3, user: 'u', password: 'p', name: 'd' },
  lost: new Promise(() => undefined),
  stop: async () => undefined,
}
const step = (name: string, play: () => Promise<Played>): Step => ({
  name,
  caption: `about ${name}`,
  typed: [`run ${name}`],
  play,
})
const fine = step('fine', async () => ({ shown: ['a row'], checks: [check('a row', true, 1)] }))

async function play(steps: readonly Step[], json = false): Promise<{ code: number; text: string }> {
  let text = ''
  const out = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  const code = await playTour(world, new Reporter(out, json), undefined, steps)
  return { code, text }
}

describe('the tour', () => {
  it('shows each step, what is typed and what came, and answers 0', async () => {
    const { code, text } = await play([fine, fine])
    expect(code).toBe(0)
    expect(text).toContain('1. about fine\n   $ run fine\n     a row\n')
    expect(text).toContain('2. about fine')
  })

  it('ends at the first step that does not show what it must, and says which, what was expected and what was seen', async () => {
    const bad = step('masked', async () => ({
      shown: ['alice@example.org'],
      checks: [check('a row', true, 1), check('[masked]', false, 'alice@example.org')],
    }))
    const { code, text } = await play([fine, bad, fine])
    expect(code).toBe(1)
    expect(text).toContain('error: step 2 (masked) did not show what it must\n')
    expect(text).toContain('expected: [masked]\n  seen:     alice@example.org\n')
    expect(text).not.toContain('expected: a row')
    expect(text).not.toContain('3. about fine')
  })

  it('takes a step that throws for a failed one', async () => {
    const { code, text } = await play([
      step('broken', () => Promise.reject(new Error('no such thing'))),
    ])
    expect(code).toBe(1)
    expect(text).toContain('step 1 (broken)')
    expect(text).toContain('seen:     no such thing')
  })

  it('prints events for scripts', async () => {
    const { text } = await play([fine], true)
    const events = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(events).toMatchObject([
      { v: 1, event: 'step', step: 'fine', ok: true, problems: [] },
      { v: 1, event: 'tour_done', steps: 1 },
    ])
  })

  it('tells the whole story', () => {
    expect(TOUR_STEPS.map(({ name }) => name)).toEqual([
      'login',
      'connect',
      'nearest',
      'default deny',
      'delete',
      'transaction',
      'held',
      'approved',
      'once',
      'job',
      'export',
      'sessions',
      'replay',
      'verify',
      'tamper',
    ])
  })
})
