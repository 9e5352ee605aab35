// Owns the proof that a budget is never passed: not by interleaved leases, not by messages that are lost, late or
// repeated, and not in any stretch of its time.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BudgetState, fold, lease, NEW_BUDGET } from '../../../src/store/budget-state.js'

const PER_MS = 48_000
const terms = { limit: 100, perMs: PER_MS }

describe('a lease', () => {
  const ask = (state: BudgetState, over: Partial<Parameters<typeof lease>[1]>, now = 0) =>
    lease(state, { holder: 'a', seq: 1, taken: 0, keep: 0, hold: 0, ...terms, ...over }, now, true)

  it('gives as much as is left; what is held counts', () => {
    const first = ask(NEW_BUDGET, { hold: 60 })
    expect(first.standing).toEqual({ hold: 60, taken: 0, others: 0 })
    const second = ask(first.state, { holder: 'b', hold: 60 })
    expect(second.standing).toEqual({ hold: 40, taken: 0, others: 60 })
    // What was taken comes out of what was held, and counts for the whole time.
    const third = ask(second.state, { seq: 2, taken: 50, keep: 0, hold: 0 }, 1_000)
    expect(third.standing).toEqual({ hold: 0, taken: 50, others: 40, freesAt: 1_000 + PER_MS })
    expect(ask(third.state, { seq: 3, taken: 50, hold: 99 }, 2_000).standing.hold).toBe(10)
    const freed = ask(third.state, { seq: 3, taken: 50, hold: 99 }, 1_000 + PER_MS)
    expect(freed.standing).toEqual({ hold: 60, taken: 0, others: 40 })
  })

  it('that comes late or again changes nothing', () => {
    const first = ask(NEW_BUDGET, { seq: 5, taken: 10, hold: 20 })
    const again = ask(first.state, { seq: 5, taken: 10, hold: 20 })
    expect(again).toEqual(first)
    expect(ask(first.state, { seq: 4, taken: 99, hold: 90 }).standing).toEqual(first.standing)
  })

  it('under a lower limit keeps what cannot be given back, and no more', () => {
    const { state } = ask(NEW_BUDGET, { hold: 80 })
    const lower = ask(state, { seq: 2, keep: 50, hold: 70, limit: 20 })
    expect(lower.standing.hold).toBe(50)
    expect(ask(lower.state, { seq: 3, taken: 50, hold: 9, limit: 20 }).standing).toMatchObject({
      hold: 0,
      taken: 50,
    })
  })

  it('of somebody who may ask for nothing gives nothing', () => {
    const { state } = ask(NEW_BUDGET, { hold: 30 })
    const asked = { holder: 'a', seq: 2, taken: 10, keep: 5, hold: 90, ...terms }
    expect(lease(state, asked, 0, false).standing).toMatchObject({ hold: 20, taken: 10 })
  })

  it('counts a clock that was set back as none', () => {
    const { state } = ask(NEW_BUDGET, { taken: 10 }, 500_000)
    const back = ask(state, { seq: 2, taken: 20, hold: 100 }, 1_000)
    expect(back.standing).toMatchObject({ taken: 20, hold: 80, freesAt: 500_000 + PER_MS })
  })

  it('leaves what a dead process held as taken', () => {
    const { state } = ask(ask(NEW_BUDGET, { hold: 30 }).state, { holder: 'b', hold: 20 })
    const next = ask(fold(state, 7_000), { holder: 'c', hold: 100 }, 8_000)
    expect(next.standing).toEqual({ hold: 50, taken: 50, others: 0, freesAt: 7_000 + PER_MS })
  })
})

describe('holders at once', () => {
  /** What one holder does next; `lost` messages come to nobody, and `unheard` ones are answered to nobody. */
  const step = fc.record({
    holder: fc.integer({ min: 0, max: 2 }),
    takes: fc.integer({ min: 0, max: 30 }),
    hold: fc.integer({ min: 0, max: 60 }),
    fate: fc.constantFrom('heard', 'heard', 'heard', 'lost', 'unheard', 'late'),
    waits: fc.integer({ min: 0, max: 9_000 }),
    crash: fc.integer({ min: 0, max: 40 }).map((one) => one === 0),
  })

  it('take no more than the limit in any stretch of the time', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        let state = NEW_BUDGET
        let now = 0
        let process = 0
        const fresh = () => ({ name: `${process}`, seq: 0, taken: 0, said: 0, hold: 0 })
        let holders = [fresh(), fresh(), fresh()].map((one, at) => ({ ...one, name: `${at}` }))
        const late: (() => void)[] = []
        const made: { at: number; count: number }[] = []
        for (const { holder: at, takes, hold, fate, waits, crash } of steps) {
          now += waits
          if (crash) {
            process += 1
            state = fold(state, now)
            late.length = 0
            holders = holders.map((_, index) => ({ ...fresh(), name: `${process}/${index}` }))
          }
          const one = holders[at]
          if (one === undefined) continue
          // It takes no more than it knows to hold.
          const count = Math.min(takes, one.hold - (one.taken - one.said))
          if (count > 0) {
            one.taken += count
            made.push({ at: now, count })
          }
          one.seq += 1
          const asked = {
            holder: one.name,
            seq: one.seq,
            taken: one.taken,
            keep: 0,
            hold,
            ...terms,
          }
          one.hold = Math.min(one.hold, hold + one.taken - one.said)
          const send = (): number => {
            const answer = lease(state, asked, now, true)
            state = answer.state
            return answer.standing.hold
          }
          if (fate === 'late') late.push(send)
          else if (fate === 'unheard') send()
          else if (fate === 'heard') {
            one.hold = send()
            one.said = asked.taken
          }
          if (takes % 3 === 0) late.splice(0).forEach((deliver) => void deliver())
          for (const { at: from } of made) {
            const within = made.filter((take) => take.at >= from && take.at < from + PER_MS)
            expect(within.reduce((sum, take) => sum + take.count, 0)).toBeLessThanOrEqual(100)
          }
        }
      }),
      { seed: 20_261_122, numRuns: 150, endOnFailure: true },
    )
  })
})
