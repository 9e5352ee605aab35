// Going forward and back in a recording that is longer than what is kept of it.

import { beforeEach, describe, expect, it } from 'vitest'
import type { Told } from '../../../src/audit/story.js'
import { Timeline } from '../../../src/audit/timeline.js'

let opened: number
let total: number
beforeEach(() => {
  opened = 0
  total = 30_000
})
const timeline = (size = 10): Timeline =>
  new Timeline(
    async function* () {
      opened += 1
      for (let seq = 1; ; seq += 1) {
        if (seq > total) throw new Error('asked for what is not there yet')
        yield { record: { seq, at: '', type: 't', text: 'x'.repeat(size) } }
      }
    },
    () => total,
  )
const seqs = (found: readonly Told[]): number[] => found.map((told) => told.record.seq)
const all = (): boolean => true
const every = (n: number) => (told: Told) => told.record.seq % n === 0

describe('a timeline', () => {
  it('reads on without beginning again, and back within what it keeps', async () => {
    const line = timeline()
    expect(seqs(await line.next(0, 3, all))).toEqual([1, 2, 3])
    expect(seqs(await line.next(3, 2, all))).toEqual([4, 5])
    expect(seqs(await line.last(4, 2, all))).toEqual([3, 4])
    expect(seqs(await line.next(1, 2, all))).toEqual([2, 3])
    expect(opened).toBe(1)
  })

  it('begins again for what it no longer keeps', async () => {
    const line = timeline()
    expect(seqs(await line.last(29_000, 2, all))).toEqual([28_999, 29_000])
    expect(opened).toBe(1)
    expect(seqs(await line.last(15, 3, all))).toEqual([13, 14, 15])
    expect(opened).toBe(2)
    expect(seqs(await line.next(7, 1, all))).toEqual([8])
    expect(opened).toBe(2)
  })

  it('finds what passes, wherever it is', async () => {
    const line = timeline()
    expect(seqs(await line.next(0, 2, every(9000)))).toEqual([9000, 18_000])
    expect(seqs(await line.last(26_999, 2, every(9000)))).toEqual([18_000])
    // What lay before is read again once the way leads back.
    expect(seqs(await line.last(26_999, 2, every(9000)))).toEqual([9000, 18_000])
    expect(seqs(await line.next(27_000, 1, every(9000)))).toEqual([])
    expect(seqs(await line.next(29_999, 5, all))).toEqual([30_000])
  })

  it('keeps little: records are dropped by number and by size', async () => {
    const many = timeline()
    await many.next(29_999, 1, all)
    expect(many.recent(30_000, 30_000, all).length).toBeLessThanOrEqual(8192)
    const large = timeline(100_000)
    total = 1000
    await large.next(0, 1000, every(1000))
    const kept = large.recent(1000, 1000, all)
    expect(kept.length).toBeGreaterThan(50)
    expect(kept.length).toBeLessThan(180)
    expect((await large.next(0, 1000, all)).length).toBeLessThan(100)
  })

  it('stops when it is told to, and goes on from there', async () => {
    const line = timeline()
    const stop = new AbortController()
    const progress = (record: number): void => {
      if (record >= 10_000) stop.abort()
    }
    const search = line.next(0, 1, () => false, { signal: stop.signal, progress })
    await expect(search).rejects.toMatchObject({ name: 'AbortError' })
    expect(seqs(await line.next(11_000, 1, all))).toEqual([11_001])
    expect(opened).toBe(1)
  })

  it('goes on behind its end when the recording has grown, without beginning again', async () => {
    total = 10
    const line = timeline()
    expect(await line.next(10, 1, all)).toEqual([])
    total = 12
    expect(seqs(await line.next(10, 5, all))).toEqual([11, 12])
    expect(seqs(await line.last(12, 3, all))).toEqual([10, 11, 12])
    expect(opened).toBe(1)
  })
})
