// Owns the proof that a data plane gives out no more of a budget than it holds, whatever becomes of its messages, and
// that it settles what it took.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BudgetStanding } from '../../../src/core/budget.js'
import {
  ALL,
  ANSWER_MS,
  BudgetPool,
  PATIENCE_MS,
  type Part,
  type PoolDeps,
  SETTLE_MS,
} from '../../../src/proxy/budget-pool.js'
import { type BudgetState, lease, NEW_BUDGET } from '../../../src/store/budget-state.js'

const TERMS = { limit: 100, perMs: 3_600_000 }

/** A budget as a store keeps it, behind messages that take their time. */
function authority() {
  const box: { state: BudgetState; calls: number } = { state: NEW_BUDGET, calls: 0 }
  /** What becomes of each message. */
  const fates: ('heard' | 'lost' | 'unheard' | 'silent')[] = []
  const delays: number[] = []
  const leased: PoolDeps['lease'] = async (asked, settles): Promise<BudgetStanding> => {
    box.calls += 1
    const fate = fates.shift() ?? 'heard'
    await new Promise((resolve) => setTimeout(resolve, delays.shift() ?? 1))
    if (fate === 'lost') throw new Error('lost')
    const { state, standing } = lease(box.state, asked, Date.now(), !settles)
    box.state = state
    if (fate === 'unheard') throw new Error('unheard')
    return fate === 'silent' ? new Promise(() => undefined) : standing
  }
  const reports: unknown[] = []
  const pool = (holder = 'a', terms = TERMS): BudgetPool =>
    new BudgetPool(
      { holder, counter: 'c', lease: leased, report: (error) => reports.push(error) },
      terms,
    )
  const sums = () => ({
    taken: box.state.entries.reduce((sum, [, , count]) => sum + count, 0),
    held: Object.values(box.state.holders).reduce((sum, [, held]) => sum + held, 0),
  })
  return { box, fates, delays, reports, pool, sums }
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

/** The part, once the messages that it needs have gone. */
async function got(coming: Promise<Part | undefined>): Promise<Part | undefined> {
  coming.catch(() => undefined)
  await vi.advanceTimersByTimeAsync(10)
  return await coming
}

describe('a pool', () => {
  it('asks once for a chunk, gives out of it at once, and says behind what was taken', async () => {
    const { box, pool, sums } = authority()
    const one = pool()
    expect(one.take(1)).toBeUndefined()
    ;(await got(one.reserve(1, 1)))?.settle(1)
    expect(box.calls).toBe(1)
    for (let each = 0; each < 3; each += 1) one.take(1)?.settle(1)
    expect(box.calls).toBe(1)
    expect(sums()).toEqual({ taken: 0, held: 6 })
    await vi.advanceTimersByTimeAsync(SETTLE_MS + 10)
    expect(sums().taken).toBe(4)
    await vi.advanceTimersByTimeAsync(3 * SETTLE_MS)
    expect(sums()).toEqual({ taken: 4, held: 0 })
    const { calls } = box
    await vi.advanceTimersByTimeAsync(60_000)
    expect(box.calls).toBe(calls)
  })

  it('gives all that is left to one that wants all, and no more than is left to one that can do with less', async () => {
    const { pool } = authority()
    const [one, two] = [pool('a'), pool('b')]
    const all = await got(one.reserve(1, ALL))
    expect(all?.amount).toBe(100)
    expect(await got(two.reserve(1, 1))).toBeUndefined()
    all?.shrink(70)
    all?.settle(60)
    await vi.advanceTimersByTimeAsync(3 * SETTLE_MS)
    expect((await got(two.reserve(1, 1)))?.amount).toBe(1)
  })

  it('that finds less than wanted waits for others who may give something back, and not for ever', async () => {
    const { pool } = authority()
    const one = pool()
    const all = await got(one.reserve(1, ALL))
    const second = one.reserve(1, ALL)
    const exact = one.reserve(30, 30)
    await vi.advanceTimersByTimeAsync(PATIENCE_MS / 2)
    all?.settle(10)
    expect((await got(exact))?.amount).toBe(30)
    await vi.advanceTimersByTimeAsync(PATIENCE_MS)
    expect((await second)?.amount).toBe(60)
    expect(
      await Promise.race([one.reserve(1, 1), vi.advanceTimersByTimeAsync(PATIENCE_MS + 10)]),
    ).toBe(undefined)
  })

  it('gives nothing while nobody answers', async () => {
    const { fates, pool, sums } = authority()
    const one = pool()
    fates.push('lost', 'unheard', 'silent')
    await expect(got(one.reserve(1, 1))).rejects.toThrow('lost')
    await expect(got(one.reserve(1, 1))).rejects.toThrow('unheard')
    // It came, and holds what nobody here knows of: nothing is given out of it.
    expect(sums().held).toBeGreaterThan(0)
    expect(one.take(1)).toBeUndefined()
    const silent = one.reserve(1, 1)
    silent.catch(() => undefined)
    await vi.advanceTimersByTimeAsync(ANSWER_MS + 10)
    await expect(silent).rejects.toMatchObject({ code: 'VGATE_STORE_UNAVAILABLE' })
    expect((await got(one.reserve(1, 1)))?.amount).toBe(1)
    expect(sums().held).toBe(6)
  })

  it('settles again what could not be settled, and says so once', async () => {
    const { fates, pool, sums, reports } = authority()
    const one = pool()
    const part = await got(one.reserve(20, 20))
    fates.push('lost', 'unheard', 'lost')
    part?.settle(20)
    await vi.advanceTimersByTimeAsync(10 * SETTLE_MS)
    expect(sums()).toEqual({ taken: 20, held: 0 })
    expect(reports).toHaveLength(1)
  })

  it('gives nothing of what was leased under another policy', async () => {
    const { pool } = authority()
    const one = pool()
    const part = await got(one.reserve(40, 40))
    expect(one.take(5)?.amount).toBe(5)
    one.adopt({ limit: 50, perMs: TERMS.perMs })
    expect(one.take(1)).toBeUndefined()
    expect((await got(one.reserve(1, 5)))?.amount).toBe(5)
    one.adopt({ limit: 45, perMs: TERMS.perMs })
    part?.settle(40)
    await vi.advanceTimersByTimeAsync(SETTLE_MS)
    const more = one.reserve(1, 1)
    await vi.advanceTimersByTimeAsync(PATIENCE_MS + 10)
    expect(await more).toBeUndefined()
  })
})

describe('pools at once', () => {
  const step = fc.record({
    pool: fc.integer({ min: 0, max: 1 }),
    min: fc.integer({ min: 1, max: 20 }),
    more: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(ALL)),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    lasts: fc.integer({ min: 0, max: 3_000 }),
    waits: fc.integer({ min: 0, max: 400 }),
  })
  const fate = fc.constantFrom('heard', 'heard', 'heard', 'lost', 'unheard', 'silent')

  const run = async (
    steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
    fates: readonly ('heard' | 'lost' | 'unheard' | 'silent')[],
    delays: readonly number[],
  ) => {
    const world = authority()
    world.fates.push(...fates)
    world.delays.push(...delays)
    const pools = [world.pool('a'), world.pool('b')]
    let taken = 0
    let inUse = 0
    let most = 0
    for (const { pool, min, more, part, lasts, waits } of steps) {
      const want = more === ALL ? ALL : min + more
      const of = pools[pool]
      const use = (given: Part | undefined): void => {
        if (given === undefined) return
        const { amount } = given
        inUse += amount
        most = Math.max(most, taken + inUse)
        setTimeout(() => {
          const count = Math.floor(amount * part)
          inUse -= amount
          taken += count
          given.settle(count)
        }, lasts)
      }
      const now = want === ALL ? undefined : of?.take(want)
      if (now !== undefined) use(now)
      else of?.reserve(min, want).then(use, () => undefined)
      await vi.advanceTimersByTimeAsync(waits)
    }
    await vi.advanceTimersByTimeAsync(60_000)
    return { taken, most, ...world }
  }

  it('give out no more than the limit together, whatever becomes of their messages', async () => {
    const steps = fc.array(step, { maxLength: 60 })
    const delays = fc.array(fc.integer({ min: 0, max: 2_000 }), { maxLength: 80 })
    await fc.assert(
      fc.asyncProperty(steps, fc.array(fate, { maxLength: 80 }), delays, async (all, ...how) => {
        const { most, taken, sums } = await run(all, ...how)
        expect(most).toBeLessThanOrEqual(100)
        // Every message was repeated until it was heard: nothing is lost, and nothing counts twice.
        expect(sums()).toEqual({ taken, held: 0 })
      }),
      { seed: 20_261_122, numRuns: 100, endOnFailure: true },
    )
  })
})
