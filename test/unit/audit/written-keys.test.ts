// Keys written or deleted, as they are recorded.

import { describe, expect, it } from 'vitest'
import {
  KEYS_MAX,
  type KeyFilter,
  KeyTally,
  recordedKeys,
} from '../../../src/audit/written-keys.js'
import type { CollectionUse, Effect } from '../../../src/core/operation.js'

const write = (effect: Effect, collection = 'docs'): CollectionUse => ({
  collection,
  access: 'write',
  action: 'insert',
  effect,
})

/** As docs/recordings.md tells it, written apart from what writes it. */
function mayHold({ hashes, bits }: KeyFilter, key: string): boolean {
  const bytes = Buffer.from(bits, 'base64')
  const sum = (start: bigint): bigint => {
    const word = (value: bigint): bigint => value & 0xffff_ffffn
    let mixed = start
    for (const byte of Buffer.from(key, 'utf8')) mixed = word((mixed ^ BigInt(byte)) * 0x0100_0193n)
    mixed = word((mixed ^ (mixed >> 16n)) * 0x85eb_ca6bn)
    mixed = word((mixed ^ (mixed >> 13n)) * 0xc2b2_ae35n)
    return mixed ^ (mixed >> 16n)
  }
  const [a, b] = [sum(0x811c_9dc5n), sum(0x050c_5d1fn) | 1n]
  return Array.from({ length: hashes }, (_, index) => {
    const bit = Number((a + BigInt(index) * b) % BigInt(bytes.length * 8))
    return ((bytes[Math.floor(bit / 8)] ?? 0) >> (7 - (bit % 8))) & 1
  }).every((one) => one === 1)
}

describe('recorded keys', () => {
  it.each<[string, Parameters<typeof recordedKeys>, object]>([
    [
      'all named',
      [{ docs: ['1', '2'] }, [write({ kind: 'ids', count: 2 })]],
      { keys: { docs: ['1', '2'] } },
    ],
    ['a read', [undefined, [{ ...write({ kind: 'none' }), access: 'read' }]], {}],
    ['a filter', [undefined, [write({ kind: 'filter' })]], { keysUnknown: true }],
    [
      'fewer named than rows',
      [{ docs: ['1'] }, [write({ kind: 'rows', count: 2 })]],
      { keys: { docs: ['1'] }, keysUnknown: true },
    ],
    [
      'one of two collections',
      [{ docs: ['1'] }, [write({ kind: 'rows', count: 1 }), write({ kind: 'all' }, 'other')]],
      { keys: { docs: ['1'] }, keysUnknown: true },
    ],
    [
      'two statements, one key',
      [{ docs: ['1'] }, [write({ kind: 'ids', count: 1 }), write({ kind: 'rows', count: 1 })]],
      { keys: { docs: ['1'] }, keysUnknown: true },
    ],
    [
      'a collection named like a member of every object',
      [{ docs: ['1'] }, [write({ kind: 'rows', count: 1 }, 'constructor')]],
      { keys: { docs: ['1'] }, keysUnknown: true },
    ],
  ])('of %s', (_, given, expected) => {
    expect(recordedKeys(...given)).toEqual(expected)
  })

  it('are the first thousand, then a count and a filter that holds every other', () => {
    const all = Array.from({ length: 6_000 }, (_, index) => `key ${index}`)
    const { keys, keysMore, keysUnknown } = recordedKeys({ docs: all }, [
      write({ kind: 'rows', count: 6_000 }),
    ])
    const filter = keysMore?.['docs']
    if (filter === undefined) throw new Error('no filter')
    expect(keys?.['docs']).toEqual(all.slice(0, KEYS_MAX))
    expect(keysUnknown).toBeUndefined()
    expect(filter.count).toBe(5_000)
    expect(all.slice(KEYS_MAX).filter((key) => !mayHold(filter, key))).toEqual([])
    const strangers = Array.from({ length: 3_000 }, (_, index) => `stranger ${index}`)
    expect(strangers.filter((key) => mayHold(filter, key)).length).toBeLessThan(100)
  })

  it('of several collections share the thousand', () => {
    const many = Array.from({ length: 800 }, (_, index) => String(index))
    const { keys, keysMore } = recordedKeys({ a: many, b: many, c: many }, [])
    expect([keys?.['a']?.length, keys?.['b']?.length, keys?.['c']?.length]).toEqual([800, 200, 0])
    expect([keysMore?.['b']?.count, keysMore?.['c']?.count]).toEqual([600, 800])
  })

  it.each([1, 900, 1_001, 3_333, 20_000])('that come one after another, %d of them', (count) => {
    const all = Array.from({ length: count }, (_, index) => `key ${index}`)
    const tally = new KeyTally()
    const told: string[] = []
    for (let at = 0; at < count; at += 700)
      told.push(...(tally.add({ docs: all.slice(at, at + 700) })?.['docs'] ?? []))
    expect(told).toEqual(all.slice(0, KEYS_MAX))
    const filter = tally.more()?.['docs']
    expect(filter?.count).toBe(count > KEYS_MAX ? count - KEYS_MAX : undefined)
    expect(tally.more()).toBeUndefined()
    if (filter === undefined) return
    expect(all.slice(KEYS_MAX).filter((key) => !mayHold(filter, key))).toEqual([])
    const strangers = Array.from({ length: 10_000 }, (_, index) => `stranger ${index}`)
    expect(strangers.filter((key) => mayHold(filter, key)).length).toBeLessThan(300)
    // No more than twice what a filter of just the right size takes.
    expect(Buffer.from(filter.bits, 'base64').length).toBeLessThan(
      (2 * (filter.count * 10)) / 8 + 1,
    )
  })
})
