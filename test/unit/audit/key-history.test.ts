// The history of public keys: each new one signs those before it, and the one before endorses it.

import { describe, expect, it } from 'vitest'
import { faultInHistory, strangersIn, withNewKey } from '../../../src/audit/key-history.js'
import { testPair } from '../../support/recording-files.js'

const history = [1, 2, 3].reduce(
  (keys, seed) => withNewKey(keys, testPair(seed)),
  [] as ReturnType<typeof withNewKey>,
)
const [first, second, third] = history as [
  (typeof history)[0],
  (typeof history)[0],
  (typeof history)[0],
]

describe('a key history', () => {
  it('is right as it was made, and so is its beginning', () => {
    expect(history.map((key) => key.signature === undefined)).toEqual([true, false, false])
    expect(faultInHistory(history)).toBeUndefined()
    expect(faultInHistory(history.slice(0, 2))).toBeUndefined()
    expect(faultInHistory([])).toBeUndefined()
  })

  const stranger = testPair(9).key
  it.each([
    ['an older key replaced', [stranger, second, third]],
    ['one left out', [first, third]],
    ['two swapped', [second, first, third]],
    ['one added without a signature', [...history, stranger]],
    [
      "one added under another's signature",
      [...history, { ...stranger, signature: third.signature }],
    ],
    ['a date changed', [{ ...first, since: '2020-01-01T00:00:00.000Z' }, second, third]],
    ['an id that is not the key’s', [{ ...first, id: stranger.id }, second, third]],
  ])('with %s is found', (_, keys) => {
    expect(faultInHistory(keys as typeof history)).toMatch(/did not sign|does not have this id/)
  })
})

describe('keys beside those that are known', () => {
  const pairs = [1, 2, 3, 4].map(testPair)
  /** Each endorsed by the one before, but for those left out. */
  const grown = (...gone: number[]) =>
    pairs.reduce(
      (keys, pair, index) =>
        withNewKey(keys, pair, gone.includes(index) ? undefined : pairs[index - 1]),
      [] as ReturnType<typeof withNewKey>,
    )
  const all = grown()
  const [one, two, three, four] = all as [
    (typeof all)[0],
    (typeof all)[0],
    (typeof all)[0],
    (typeof all)[0],
  ]
  const evil = testPair(9)
  const beside = withNewKey([one, two], evil, evil).at(-1) ?? one

  it('an endorsed history is right, and one whose endorsement is another’s is not', () => {
    expect(faultInHistory(all)).toBeUndefined()
    const false_ = { ...three, endorsed: two.endorsed ?? '' }
    expect(faultInHistory([one, two, false_])).toMatch(/did not endorse/)
  })

  it.each([
    ['the newest vouches for all before it', all, [four], []],
    ['the oldest for all behind it, one by one', all, [one], []],
    ['one in the middle for both', all, [two], []],
    ['not beyond a key that nobody endorsed', grown(2), [one], [three, four]],
    ['nor a key that only signed the known ones', [one, two, beside], [one, two], [beside]],
    ['nor one between them', [one, evil.key, two], [one, two], [evil.key]],
    ['nor one before them', [evil.key, one], [one], [evil.key]],
    [
      'nor under the endorsement of another',
      [one, { ...evil.key, endorsed: two.endorsed ?? '' }],
      [one],
      [evil.key],
    ],
    ['a stranger for nobody', all, [evil.key], all],
  ])('%s', (_, offered, known, strangers) => {
    const found = strangersIn(offered, known).map(({ id }) => id)
    expect(found).toEqual(strangers.map(({ id }) => id))
  })
})
