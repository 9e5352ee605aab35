// Nothing recorded can act on a terminal.

import { describe, expect, it } from 'vitest'
import { toAsciicast } from '../../../src/audit/export.js'
import { neutralize, neutralizeLines } from '../../../src/audit/neutralize.js'
import type { StoredRecord } from '../../../src/audit/records.js'
import { noColor, renderRecord } from '../../../src/audit/render.js'
import { columnsOf } from '../../../src/audit/width.js'
import { jsonLine } from '../../../src/cli/output.js'

const HOSTILE: readonly [string, string, string][] = [
  ['colour', '\u001b[31mred\u001b[0m', '^[[31mred^[[0m'],
  ['title', '\u001b]0;owned\u0007', '^[]0;owned^G'],
  ['clipboard', '\u001b]52;c;ZXZpbA==\u001b\\', '^[]52;c;ZXZpbA==^[\\'],
  ['clear screen', '\u001b[2J\u001b[H', '^[[2J^[[H'],
  ['C1 CSI', '\u009b31m', '\\u{9b}31m'],
  ['carriage return', 'DROP\rSELECT', 'DROP^MSELECT'],
  ['backspace', 'a\u0008b', 'a^Hb'],
  ['delete', 'a\u007f', 'a^?'],
  ['NUL', '\u0000', '^@'],
  ['line end in a cell', 'a\nb', 'a^Jb'],
  ['right-to-left override', 'user\u202etxt.exe', 'user\\u{202e}txt.exe'],
  ['isolate', '\u2066x\u2069', '\\u{2066}x\\u{2069}'],
  ['Arabic letter mark', '\u061c', '\\u{61c}'],
  ['zero width space', 'doc\u200bs', 'doc\\u{200b}s'],
  ['BOM', '\ufeffx', '\\u{feff}x'],
  ['line separator', 'a\u2028b', 'a\\u{2028}b'],
  ['tag characters', '\u{e0041}', '\\u{e0041}'],
  ['soft hyphen', 'a\u00adb', 'a\\u{ad}b'],
  ['Hangul filler', '\u3164', '\\u{3164}'],
  ['lone surrogate', '\ud800x', '\\u{d800}x'],
]

describe('neutralize', () => {
  it.each(HOSTILE)('%s', (_, text, safe) => {
    expect(neutralize(text)).toBe(safe)
  })

  it.each(['plain', 'Ünïcode', '日本語', '😀', 'a b'])('leaves %s', (text) => {
    expect(neutralize(text)).toBe(text)
  })

  it('keeps the lines of a statement', () => {
    expect(neutralizeLines('SELECT 1\n\tFROM\r\ndocs\u001b')).toEqual([
      'SELECT 1',
      '  FROM',
      'docs^[',
    ])
  })
})

const at = '2026-03-01T12:00:01.500Z'
const startedAt = '2026-03-01T12:00:00.000Z'
const judged: StoredRecord = {
  seq: 2,
  at,
  type: 'operation.judged',
  connection: 'con_1',
  op: 1,
  form: 'extended',
  text: 'SELECT email, embedding FROM docs',
  operations: [
    { name: 'search', access: 'read', collections: [{ collection: 'docs' }], risks: [] },
  ],
  verdict: 'permit',
  rule: 'roles.reader.allow[0]',
  obligations: { masks: 2 },
}
const delivered: StoredRecord = {
  seq: 3,
  at,
  type: 'operation.delivered',
  connection: 'con_1',
  op: 1,
  index: 0,
  columns: ['id', 'email', 'embedding'],
  rows: [
    ['1', '[masked]', { vector: 1536 }],
    ['2', null, null],
  ],
  rowCount: 2,
  bytes: 70,
  masked: 3,
  tag: 'SELECT 2',
  done: true,
}

describe('renderRecord', () => {
  it('shows time, decision, rule, text and masks', () => {
    expect(renderRecord({ record: judged }, { width: 80, startedAt })).toEqual([
      '+0:01.500 allowed search docs · roles.reader.allow[0]',
      '  SELECT email, embedding FROM docs',
      '  2 fields masked',
    ])
  })

  it('shows a masked result as a table, vectors by their dimension', () => {
    const lines = renderRecord({ record: delivered }, { width: 80, startedAt })
    expect(lines[0]).toBe('+0:01.500 SELECT 2 · 2 rows, 70 bytes · 3 values masked')
    expect(lines).toContain('  │ 1  │ [masked] │ vector(1536) │')
    expect(lines).toContain('  │ 2  │ NULL     │ NULL         │')
  })

  it.each([20, 40, 80, 200])('fits %i columns', (width) => {
    const wide = {
      ...delivered,
      rows: [['1'.repeat(300), '日本語'.repeat(100), { vector: 3 }]],
      text: `SELECT '${'名前'.repeat(90)} 👍🏽❤️🇩🇪 e\u0301' ${'word '.repeat(60)}`,
      columns: ['a', 'b'.repeat(90), 'c'],
    }
    for (const record of [judged, { ...judged, text: wide.text }, wide, delivered]) {
      for (const line of renderRecord({ record }, { width, startedAt }))
        expect(columnsOf(line)).toBeLessThanOrEqual(width)
    }
  })

  it('shows a refusal with its rule and reason, in red when there is colour', () => {
    const denied = {
      ...judged,
      verdict: 'deny',
      rule: 'default deny',
      reason: 'delete on docs is not allowed',
      obligations: {},
    }
    const color = { ...noColor, red: (text: string) => `<${text}>` }
    const lines = renderRecord({ record: denied }, { width: 80, startedAt, color })
    expect(lines[0]).toBe('+0:01.500 <denied> search docs · default deny')
    expect(lines.at(-1)).toBe('  <delete on docs is not allowed>')
    expect(renderRecord({ record: denied }, { width: 80 })[0]).toBe(
      '12:00:01.500 denied search docs · default deny',
    )
  })

  it.each([
    'session.opened',
    'operation.judged',
    'operation.delivered',
    'operation.ended',
    'session.closed',
    'hold.opened',
    'hold.answered',
    'connection.closed',
    'later.type\u001b[2J',
  ])('shows nothing raw of a hostile %s', (type) => {
    const evil = '\u001b]0;x\u0007\u202e\u009b'
    const hostile: StoredRecord = {
      seq: 1,
      at: `2026${evil}`,
      type,
      session: evil,
      connection: evil,
      text: evil,
      rule: evil,
      verdict: evil,
      reason: evil,
      columns: [evil, 'b'],
      rows: [[evil, { head: evil, bytes: 9 }], [{ [evil]: evil }]],
      tag: evil,
      parameters: [evil],
      error: { sqlstate: evil, message: evil },
      keys: { [evil]: [evil] },
      operations: [{ unclassified: evil }, evil, null],
      principal: { name: evil },
      grant: { roles: [evil], reason: evil, endsAt: evil },
      totals: evil,
      request: evil,
      rules: [evil],
      approvers: [evil],
      preview: evil,
      expiresAt: evil,
      state: evil,
      by: [evil],
      message: evil,
      approval: { request: evil, by: [evil] },
      [evil]: evil,
    }
    const told = { record: hostile, asker: evil, held: { preview: evil, waitedMs: 5 } }
    for (const width of [20, 100, Number.POSITIVE_INFINITY])
      expect(renderRecord(told, { width }).join('')).not.toMatch(/[\p{Cc}\u202e]/u)
    expect(jsonLine(hostile)).not.toMatch(/[\p{Cc}\u202e]/u)
    expect(JSON.parse(jsonLine(hostile))).toEqual(hostile)
  })
})

describe('asciicast', () => {
  it('is version 2 with pauses shortened', async () => {
    async function* two() {
      yield { record: { ...judged, at: startedAt } }
      yield { record: { ...delivered, at: '2026-03-01T13:00:00.000Z' } }
    }
    const lines: string[] = []
    for await (const line of toAsciicast(two(), { width: 80, height: 24, maxIdleMs: 2000 }))
      lines.push(line)
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      version: 2,
      width: 80,
      height: 24,
      timestamp: 1772366400,
    })
    expect(JSON.parse(lines[1] ?? '')).toEqual([
      0,
      'o',
      expect.stringContaining('allowed search docs'),
    ])
    expect(JSON.parse(lines[2] ?? '')).toEqual([2, 'o', expect.stringContaining('vector(1536)')])
  })
})
