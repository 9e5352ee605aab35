// What a name stands for, at the client's place and at the database's.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  NAMED_CHARS_MAX,
  type NameChange,
  NamesAfter,
  NameTable,
} from '../../../../src/protocol/postgres/names.js'

const table = () => new NameTable<{ text: string }>(({ text }) => text.length)
const HALF = { text: 'x'.repeat(NAMED_CHARS_MAX / 2) }

test('what names stand for is limited, whether the database has confirmed it or not', () => {
  const names = table()
  names.assume({ name: 'a', value: HALF }, 1)
  expect(names.full).toBe(false)
  names.assume({ name: 'b', value: HALF }, 1)
  expect(names.full).toBe(true)
  names.confirm({ name: 'a', value: HALF })
  names.confirm({ name: 'b', value: HALF })
  expect(names.full).toBe(true)
})

test('room comes back: a name closed, replaced, taken back, or all of them cleared', () => {
  const names = table()
  for (const name of ['a', 'b']) names.confirm({ name, value: HALF })
  names.confirm({ name: 'a', value: undefined })
  expect(names.full).toBe(false)
  names.assume({ name: 'c', value: HALF }, 2)
  expect(names.full).toBe(true)
  names.assume({ name: 'c', value: { text: '' } }, 2)
  expect(names.full).toBe(false)
  names.assume({ name: 'd', value: HALF }, 2)
  names.forgetAssumptions()
  expect(names.full).toBe(false)
  names.confirm({ name: 'b', value: { text: '' } })
  names.confirm({ name: 'e', value: HALF })
  expect(names.full).toBe(false)
  names.confirm({ name: 'f', value: HALF })
  names.retain(() => false)
  expect([names.full, names.lookup('f').value]).toEqual([false, undefined])
})

test('empty statements count too', () => {
  const names = table()
  for (let number = 0; !names.full; number += 1) {
    names.confirm({ name: String(number), value: { text: '' } })
    if (number > 100_000) throw new Error('names of empty statements have no limit')
  }
})

type Value = { text: string; made: number }
const NAMES = ['a', 'b', 'c']

/** Changes as a session sends them: names set or dropped, all dropped, or all that was made behind some point. */
const changes = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ name: fc.constantFrom(...NAMES), sets: fc.boolean() }) },
      fc.constant('all' as const),
      fc.nat({ max: 12 }),
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((kinds) =>
    kinds.map((kind, made): NameChange<Value> => {
      if (kind === 'all') return { drops: 'all' }
      if (typeof kind === 'number') return { drops: (value) => value.made > kind }
      const { name, sets } = kind
      return { name, value: sets ? { text: name, made } : undefined }
    }),
  )

/** What names stand for after these changes, one by one. */
function after(done: readonly NameChange<Value>[]): Map<string, Value> {
  const map = new Map<string, Value>()
  for (const change of done) {
    if (!('drops' in change)) {
      map.delete(change.name)
      if (change.value !== undefined) map.set(change.name, change.value)
    } else
      for (const [name, value] of map)
        if (change.drops === 'all' || change.drops(value)) map.delete(name)
  }
  return map
}

test('a name is what all that was sent makes of it, and what was answered when the rest is taken back', () => {
  fc.assert(
    fc.property(changes, fc.nat(), fc.nat(), (all, one, two) => {
      const [confirmed = 0, sent = 0] = [one % (all.length + 1), two % (all.length + 1)].sort(
        (a, b) => a - b,
      )
      const names = new NameTable<Value>(() => 1)
      for (const change of all.slice(0, sent)) names.assume(change, 7)
      for (const change of all.slice(0, confirmed)) names.confirm(change)
      const seen = (): unknown => NAMES.map((name) => names.lookup(name).value)
      const expected = (count: number): unknown =>
        NAMES.map((name) => after(all.slice(0, count)).get(name))
      expect(seen()).toEqual(expected(sent))
      // A name that something unanswered could still change is never told as settled.
      for (const name of NAMES) {
        const { value, assumedIn } = names.lookup(name)
        if (after(all.slice(0, confirmed)).get(name) !== value) expect(assumedIn).toBe(7)
      }
      const within = new NamesAfter<Value>((name) => names.lookup(name).value)
      for (const change of all.slice(sent)) within.change(change)
      expect(NAMES.map((name) => within.lookup(name))).toEqual(expected(all.length))
      names.forgetAssumptions()
      expect(seen()).toEqual(expected(confirmed))
      for (const change of all.slice(confirmed, sent)) names.assume(change, 7)
      expect(seen()).toEqual(expected(sent))
    }),
    { seed: 5, numRuns: 2000 },
  )
})

test('that all names go is one change, however many there are and however often it is said', () => {
  let looked = 0
  const names = new NameTable<{ text: string }>(() => {
    looked += 1
    return 1
  })
  for (let number = 0; number < 3000; number += 1)
    names.confirm({ name: `n${number}`, value: { text: '' } })
  looked = 0
  const sweeps = Array.from({ length: 300 }, () => ({ drops: 'all' }) as const)
  for (const sweep of sweeps) {
    names.assume(sweep, 1)
    expect(names.lookup('n7')).toEqual({ value: undefined, assumedIn: 1 })
  }
  for (const sweep of sweeps) names.confirm(sweep)
  expect(names.lookup('n7')).toEqual({ value: undefined, assumedIn: undefined })
  expect(looked).toBe(0)
})

test('what outlived a transaction is not looked at again', () => {
  const names = table()
  for (let number = 0; number < 3000; number += 1)
    names.confirm({ name: `n${number}`, value: { text: '' } })
  let looked = 0
  const stays = (): boolean => {
    looked += 1
    return true
  }
  for (let time = 0; time < 300; time += 1) names.retain(stays)
  expect(looked).toBe(3000)
  names.confirm({ drops: () => !stays() })
  expect([looked, names.someFresh(stays)]).toEqual([3000, false])
})
