// What a role names and what a request uses meet by one key: it must never join what the database tells apart.

import { expect, test } from 'vitest'
import { functionKey } from '../../../src/policy/function-key.js'
import { channelUse } from '../../../src/protocol/postgres/channel.js'

test('types may be spaced as anybody likes, names not', () => {
  expect(functionKey('app.rank( text, int )')).toBe(functionKey('app.rank(text,int)'))
  expect(functionKey('app.ra nk(text)')).not.toBe(functionKey('app.rank(text)'))
})

test('channels that differ in a space or a case are two channels', () => {
  const channels = ['orders', 'Orders', 'or ders', ' orders', 'orders ', 'or (ders', 'or( ders']
  const keys = channels.map((channel) => functionKey(channelUse('listen', channel)))
  expect(new Set(keys).size).toBe(channels.length)
  expect(functionKey(channelUse('notify', 'orders'))).not.toBe(keys[0])
})
