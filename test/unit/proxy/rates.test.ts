// Owns the proof that a rate is kept in every span of its length.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Rates } from '../../../src/proxy/rates.js'

const WHOSE = { principal: 'ana', target: 'prod' }
const role = (count: number, perMs = 1_000, name = 'reader') => ({ name, rate: { count, perMs } })

function world() {
  const clock = { at: 0 }
  return { clock, rates: new Rates(() => clock.at) }
}

describe('a rate', () => {
  it('lets so many through, says when the next may come, and keeps to it', () => {
    const { clock, rates } = world()
    const ten = [role(10)]
    for (let request = 0; request < 10; request += 1) {
      clock.at = request * 20
      expect(rates.take(WHOSE, ten, 1)).toBeUndefined()
    }
    const { error, rule } = rates.take(WHOSE, ten, 1) ?? {}
    expect(rule).toBe('roles.reader.limits.rate')
    expect(error).toMatchObject({ code: 'VGATE_LIMIT_EXCEEDED', hint: 'try again in 0.9 s' })
    expect(error?.message).toBe(
      'more than the 10 requests in 1 s that roles.reader.limits.rate allows',
    )
    expect(error?.faces).toMatchObject({ exit: 12, sqlstate: '53400', http: 429 })
    clock.at = 999
    expect(rates.take(WHOSE, ten, 1)).toBeDefined()
    clock.at = 1_000
    expect(rates.take(WHOSE, ten, 1)).toBeUndefined()
    expect(rates.take(WHOSE, ten, 1)).toBeDefined()
  })

  it('counts each statement of a message; more than it allows never fit', () => {
    const { clock, rates } = world()
    expect(rates.take(WHOSE, [role(3)], 2)).toBeUndefined()
    expect(rates.take(WHOSE, [role(3)], 2)).toBeDefined()
    expect(rates.take(WHOSE, [role(3)], 1)).toBeUndefined()
    clock.at = 5_000
    expect(rates.take(WHOSE, [role(3)], 4)?.error.hint).toBe('send at most 3 in one message')
    expect(rates.take(WHOSE, [role(3)], 3)).toBeUndefined()
  })

  it('belongs to a person, a target and a role; all of several roles must allow it', () => {
    const { rates } = world()
    const both = [role(2), role(1, 1_000, 'writer')]
    expect(rates.take(WHOSE, both, 1)).toBeUndefined()
    expect(rates.take(WHOSE, both, 1)?.rule).toBe('roles.writer.limits.rate')
    // What was refused counts against nothing.
    expect(rates.take(WHOSE, [role(2)], 1)).toBeUndefined()
    expect(rates.take(WHOSE, [role(2)], 1)).toBeDefined()
    expect(rates.take({ ...WHOSE, principal: 'bob' }, [role(2)], 2)).toBeUndefined()
    expect(rates.take({ ...WHOSE, target: 'test' }, [role(2)], 2)).toBeUndefined()
  })

  it('that a new policy changes still counts what was made before', () => {
    const { clock, rates } = world()
    expect(rates.take(WHOSE, [role(4)], 3)).toBeUndefined()
    clock.at = 500
    expect(rates.take(WHOSE, [role(2)], 1)).toBeDefined()
    expect(rates.take(WHOSE, [role(6)], 5)).toBeDefined()
    clock.at = 1_000
    expect(rates.take(WHOSE, [role(6)], 6)).toBeUndefined()
  })

  it('is exact: everything that fits goes through, and nothing else', () => {
    const step = fc.record({
      waits: fc.integer({ min: 0, max: 700 }),
      count: fc.integer({ min: 1, max: 4 }),
    })
    const given = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 80 }))
    fc.assert(
      fc.property(given, ([allowed, steps]) => {
        const { clock, rates } = world()
        const made: number[] = []
        for (const { waits, count } of steps) {
          clock.at += waits
          const young = made.filter((at) => at > clock.at - 1_000).length
          const passed = rates.take(WHOSE, [role(allowed)], count) === undefined
          expect(passed).toBe(young + count <= allowed)
          if (passed) for (let each = 0; each < count; each += 1) made.push(clock.at)
        }
      }),
      { seed: 20_261_122, numRuns: 300 },
    )
  })
})
