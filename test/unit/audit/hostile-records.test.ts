// A recording whose signer is hostile, or unknown: what is in it is neither acted upon nor able to break what shows it.

import { describe, expect, it } from 'vitest'
import { toAsciicast } from '../../../src/audit/export.js'
import type { StoredRecord } from '../../../src/audit/records.js'
import { renderRecord } from '../../../src/audit/render.js'
import { type Told, tell } from '../../../src/audit/story.js'
import { holdsText, testFor } from '../../../src/cli/play.js'
import { surveyOf } from '../../../src/cli/player/survey.js'

const EVIL = '\u001b]0;owned\u0007\u009b2J\u202e\r\n'
const TYPES = [
  'session.opened',
  'operation.judged',
  'operation.delivered',
  'operation.ended',
  'hold.opened',
  'hold.answered',
  'session.closed',
  'anything',
]
const MEMBERS = [
  ...[
    'session',
    'target',
    'database',
    'principal',
    'grant',
    'verdict',
    'operations',
    'text',
    'rule',
  ],
  ...['parameters', 'obligations', 'reason', 'approval', 'keysUnknown', 'keys', 'request', 'rules'],
  ...['approvers', 'preview', 'expiresAt', 'state', 'by', 'message', 'error', 'rowCount', 'bytes'],
  ...[
    'masked',
    'tag',
    'columns',
    'rows',
    'totals',
    'outcome',
    'connection',
    'op',
    EVIL,
    '__proto__',
  ],
]
/** Values that are not what a member should be, or are named like what every object has. */
const VALUES: readonly unknown[] = [
  ...[EVIL, '', 'constructor', '__proto__', 'toString', null, true, -1, 1e308, 0.5],
  ...[[], {}, [EVIL], [[EVIL]], [[{ head: EVIL, bytes: EVIL }]], { name: EVIL, request: EVIL }],
  ...[{ toString: 1 }, [{ toString: 1 }], [[{ toString: 1 }]], { a: [{ toString: 1 }] }],
  ...[{ [EVIL]: [EVIL] }, [{ name: EVIL, collections: [{ collection: EVIL }] }], [null]],
  ...[{ vector: 1e308 }, [{ vector: EVIL }], [[{ vector: 3 }]], { masks: 1e9 }],
]
const ACTS = /[\p{Cc}\p{Cf}\u2028\u2029]/u

function* hostile(): Generator<StoredRecord> {
  let seq = 0
  const from = (text: string): StoredRecord => JSON.parse(text) as StoredRecord
  const at = '2026-03-01T12:00:00.000Z'
  for (const type of TYPES) {
    for (const member of MEMBERS)
      for (const value of VALUES) {
        seq += 1
        // As they come: by JSON, where `__proto__` is a member like any other.
        const text = `{"seq":${seq},"at":"${at}","type":"${type}","rowCount":1,"columns":["a"],"rows":[["x"]],${JSON.stringify(member)}:${JSON.stringify(value)}}`
        yield from(text)
      }
    yield { seq, at: EVIL, type, verdict: 'deny', rule: { toString: 1 } }
    yield { seq, at: '+275760-09-13T00:00:00.000Z', type }
  }
  for (const type of [EVIL, 'constructor', '__proto__']) yield { seq, at, type }
}

const TOTAL = [...hostile()].length

async function* given(): AsyncGenerator<StoredRecord> {
  yield* hostile()
}

async function all(): Promise<Told[]> {
  const told: Told[] = []
  for await (const one of tell(given())) told.push(one)
  return told
}

describe('hostile records', () => {
  it.each([
    80,
    Number.POSITIVE_INFINITY,
  ])('are shown, and act on no terminal, at width %d', async (width) => {
    const lines = (await all()).flatMap((told) =>
      renderRecord(told, { width, startedAt: told.record.at }),
    )
    expect(lines.filter((line) => ACTS.test(line))).toEqual([])
  })

  it('become an asciicast that acts on no terminal', async () => {
    const acting: unknown[] = []
    for await (const line of toAsciicast(tell(given()), { width: 80, height: 24, title: EVIL })) {
      if (line.startsWith('{')) continue
      const [, kind, text] = JSON.parse(line) as [number, string, string]
      if (kind === 'o' && ACTS.test(text.replaceAll('\r\n', ''))) acting.push(text)
      if (ACTS.test(line.slice(0, -1))) acting.push(line)
    }
    expect(acting).toEqual([])
  })

  it('are searched, filtered and surveyed', async () => {
    for (const told of await all()) {
      holdsText('owned')(told)
      for (const only of ['denied', 'held', 'masked', undefined] as const) testFor(only)(told)
    }
    const found = await surveyOf(given(), TOTAL, new AbortController().signal)
    expect(found.marks).toHaveLength(256)
  })

  it.each([
    80,
    Number.POSITIVE_INFINITY,
  ])('may have very many rows, columns and lines, at width %d', (width) => {
    const record = (more: object): Told => ({
      record: { seq: 1, at: '', type: 'operation.delivered', ...more },
    })
    const many = Array.from({ length: 130_000 }, () => ['x'])
    const wide = Array.from({ length: 20_000 }, () => 'x')
    expect(renderRecord(record({ columns: ['a'], rows: many }), { width }).length).toBeGreaterThan(
      0,
    )
    expect(renderRecord(record({ columns: wide, rows: [wide] }), { width }).length).toBeGreaterThan(
      0,
    )
    const long = { type: 'operation.judged', text: 'x\n'.repeat(200_000) }
    expect(renderRecord(record(long), { width }).length).toBeGreaterThan(0)
  })
})
