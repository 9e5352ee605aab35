import { expect, test } from 'vitest'
import { NAMED_CHARS_MAX, NameTable } from '../../../../src/protocol/postgres/names.js'

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
  expect([names.full, names.names()]).toEqual([false, []])
})

test('empty statements count too', () => {
  const names = table()
  for (let number = 0; !names.full; number += 1) {
    names.confirm({ name: String(number), value: { text: '' } })
    if (number > 100_000) throw new Error('names of empty statements have no limit')
  }
})
