// Durations and sizes: a number and a unit, nothing else.

import { expect, test } from 'vitest'
import { parseDuration, parseSize } from '../../../src/core/units.js'

test.each([
  ['60s', 60_000],
  ['30m', 1_800_000],
  ['1h', 3_600_000],
  ['24h', 86_400_000],
  ['365d', 31_536_000_000],
  ['250ms', 250],
  ...[
    '30',
    '',
    '0s',
    '-1s',
    '1.5h',
    '1 h',
    '1h30m',
    '1H',
    '99999999d',
    '1hasOwnProperty',
    '٣s',
  ].map((text): [string, undefined] => [text, undefined]),
])('duration %j', (text, value) => {
  expect(parseDuration(text)).toBe(value)
})

test.each([
  ['50MB', 50_000_000],
  ['64MiB', 67_108_864],
  ['500GB', 500_000_000_000],
  ['1B', 1],
  ['2KiB', 2048],
  ...['64', '0MB', '1mb', '1 MB', '-1B', '1iB', '999999999TiB'].map((text): [string, undefined] => [
    text,
    undefined,
  ]),
])('size %j', (text, value) => {
  expect(parseSize(text)).toBe(value)
})
