// The history of public keys: each new one signs those before it.

import { describe, expect, it } from 'vitest'
import { faultInHistory, withNewKey } from '../../../src/audit/key-history.js'
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
