// Moments as people type them, and what is none.

import { describe, expect, it } from 'vitest'
import { momentOf } from '../../../src/cli/moments.js'

const NOW = Date.parse('2026-03-01T12:00:00.000Z')

describe('a moment', () => {
  it.each([
    ['2h', '2026-03-01T10:00:00.000Z'],
    ['1d12h', '2026-02-28T00:00:00.000Z'],
    ['2026-02-28', '2026-02-28T00:00:00.000Z'],
    ['2026-02-28T10:30', '2026-02-28T10:30:00.000Z'],
    ['2026-02-28 10:30:05', '2026-02-28T10:30:05.000Z'],
    ['2026-02-28T10:30+01:00', '2026-02-28T09:30:00.000Z'],
    ['2026-02-28T10:30:00.250Z', '2026-02-28T10:30:00.250Z'],
  ])('%s is %s', (text, wanted) => {
    expect(momentOf(text, NOW, 'since')).toBe(wanted)
  })

  it.each([
    'yesterday',
    '',
    '2h ago',
    '2026-13-45',
    '2026-02',
    '-1h',
    '99999d99999d',
    '1e9',
    '2026-02-28T25:00',
  ])('%j is none', (text) => {
    expect(() => momentOf(text, NOW, 'since')).toThrow('--since takes a duration or a date')
  })
})
