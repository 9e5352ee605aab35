// How records look: holds as people tell them, folded text, wide characters, and the plain form that leaves nothing out.

import { describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../../src/audit/records.js'
import { clockText, renderRecord } from '../../../src/audit/render.js'
import { renderTable } from '../../../src/audit/render-table.js'
import { type Told, tell } from '../../../src/audit/story.js'
import { columnsOf, cut, fold } from '../../../src/audit/width.js'

const at = (seconds: number): string =>
  new Date(Date.parse('2026-03-01T12:00:00.000Z') + seconds * 1000).toISOString()
const opened: StoredRecord = {
  seq: 1,
  at: at(0),
  type: 'session.opened',
  principal: { name: 'Alice' },
}
const hold = (request: string, seconds: number): StoredRecord => ({
  seq: 2,
  at: at(seconds),
  type: 'hold.opened',
  request,
  rules: ['roles.writer.hold[0]'],
  approvers: ['Bob', 'Carol'],
  preview: '18,204 of 20,000 points',
  expiresAt: at(900),
})
const answered = (request: string, seconds: number, more: object): StoredRecord => ({
  seq: 3,
  at: at(seconds),
  type: 'hold.answered',
  request,
  ...more,
})

async function told(...records: StoredRecord[]): Promise<Told[]> {
  const all: Told[] = []
  async function* given() {
    yield* records
  }
  for await (const one of tell(given())) all.push(one)
  return all
}

describe('a held operation', () => {
  it('says who asked whom, for what, and until when', async () => {
    const [, held] = await told(opened, hold('req_1', 1))
    expect(held && renderRecord(held, { width: 100, startedAt: at(0) })).toEqual([
      '+0:01.000 waits Alice asks Bob or Carol · request req_1 · roles.writer.hold[0]',
      '  would touch 18,204 of 20,000 points',
      '  until 2026-03-01T12:15:00.000Z',
    ])
  })

  it.each([
    ['approved', { state: 'approved', by: ['Bob'] }, 152, 'approved by Bob after 2 min 31 s'],
    ['denied', { state: 'denied', by: ['Bob', 'Carol'] }, 2, 'denied by Bob and Carol after 1 s'],
    ['expired', { state: 'expired' }, 3601, 'expired after 1 h 0 min'],
    ['given up', { state: 'given up' }, 1.25, 'given up after 250 ms'],
  ])('that is %s says by whom and after how long', async (_, more, seconds, words) => {
    const all = await told(opened, hold('req_1', 1), answered('req_1', seconds, more))
    const lines = renderRecord(all[2] ?? { record: opened }, { width: 100, startedAt: at(0) })
    expect(lines[0]).toContain(`${words} · request req_1 · asked by Alice`)
    expect(lines).toContain('  would touch 18,204 of 20,000 points')
  })

  it('knows no wait of a request that it did not see, or when the clock stepped back', async () => {
    const all = await told(hold('req_1', 9), answered('req_2', 5, {}), answered('req_1', 5, {}))
    expect(all[1]).not.toHaveProperty('held')
    expect(all[2]?.held).toEqual({ preview: '18,204 of 20,000 points' })
  })

  it('is forgotten when a thousand others wait: memory stays bounded', async () => {
    const many = Array.from({ length: 1001 }, (_, index) => hold(`req_${index}`, 1))
    const all = await told(...many, answered('req_0', 5, {}), answered('req_1', 5, {}))
    expect(all.at(-2)).not.toHaveProperty('held')
    expect(all.at(-1)).toHaveProperty('held')
  })

  it('names a collection once, however often the operation uses it', () => {
    const collections = [{ collection: 'labels' }, { collection: 'labels' }, { collection: 'docs' }]
    const operations = [{ name: 'delete_by_filter', collections }]
    const record = { ...opened, type: 'operation.judged', verdict: 'permit', operations }
    expect(renderRecord({ record }, { width: 80 }).join('')).toContain(
      'allowed delete_by_filter labels, docs',
    )
  })

  it('runs under an approval that is named', () => {
    const record = {
      ...opened,
      type: 'operation.judged',
      verdict: 'permit',
      approval: { request: 'req_1', by: ['Bob'] },
    }
    expect(renderRecord({ record }, { width: 80 })).toContain('  approved by Bob · request req_1')
  })
})

describe('width', () => {
  it.each([
    ['plain', 5],
    ['日本', 4],
    ['e\u0301', 1],
    ['👍', 2],
    ['❤\ufe0f', 2],
    ['ｆｕｌｌ', 8],
    ['한글', 4],
    ['Ünï', 3],
  ])('%s takes %i columns', (text, columns) => {
    expect(columnsOf(text)).toBe(columns)
  })

  it('cuts between characters, never beyond the width', () => {
    expect([cut('日本語', 6), cut('日本語', 5), cut('日本語', 4), cut('abc', 2)]).toEqual([
      '日本語',
      '日本…',
      '日…',
      'a…',
    ])
  })

  it('folds at spaces, hard where there are none, and loses nothing', () => {
    expect(fold('SELECT id FROM docs', 10)).toEqual(['SELECT id', 'FROM docs'])
    expect(fold('日本語日本語', 5)).toEqual(['日本', '語日', '本語'])
    expect(fold('x'.repeat(25), 10).join('')).toBe('x'.repeat(25))
  })

  it('shows as many columns of a table as fit, and counts the others', () => {
    const rows = [['1', '日本語のタイトル', { vector: 1536 }]]
    for (const width of [18, 22, 40, 78]) {
      for (const line of renderTable(['id', 'title', 'embedding'], rows, width))
        expect(columnsOf(line)).toBeLessThanOrEqual(width)
    }
    expect(renderTable(['id', 'title', 'embedding'], rows, 22)[1]).toContain('+1')
    expect(renderTable(['id', 'title', 'embedding'], rows, 60)[3]).toContain('vector(1536)')
  })
})

describe('the plain form', () => {
  it('leaves nothing out, however long', () => {
    const long = 'word '.repeat(5000).trim()
    const rows = Array.from({ length: 50 }, (_, index) => [`${index}-${'v'.repeat(200)}`])
    const record = { ...opened, type: 'operation.delivered', columns: ['a'], rows, rowCount: 50 }
    const width = Number.POSITIVE_INFINITY
    expect(renderRecord({ record }, { width }).join('\n')).toContain(`49-${'v'.repeat(200)}`)
    const judged = { ...opened, type: 'operation.judged', verdict: 'permit', text: long }
    expect(renderRecord({ record: judged }, { width })).toContain(`  ${long}`)
  })

  it('is bounded on a terminal, and says so', () => {
    const judged = {
      ...opened,
      type: 'operation.judged',
      verdict: 'permit',
      text: 'a\n'.repeat(999),
    }
    const lines = renderRecord({ record: judged }, { width: 40 })
    expect([lines.length, lines.at(-1)]).toEqual([202, '  … 800 more lines'])
  })
})

it('writes a clock with hours only where there are some', () => {
  expect([clockText(62_345, 3), clockText(3_723_000, 0)]).toEqual(['1:02.345', '1:02:03'])
})
