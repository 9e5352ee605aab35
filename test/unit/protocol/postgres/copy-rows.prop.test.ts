// Rows that are copied in: the same keys and rows whatever the parts they come in, in each format; and what makes the
// reader give up.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copyRows } from '../../../../src/protocol/postgres/copy-rows.js'
import type { CopyForm } from '../../../../src/protocol/postgres/statement.js'
import { OID } from '../../../../src/protocol/postgres/values.js'

const SEED = { seed: 20_261_122, numRuns: 300 }
const form = (format: CopyForm['format'], more: Partial<CopyForm> = {}): CopyForm => ({
  format,
  delimiter: (format === 'csv' ? ',' : '\t').charCodeAt(0),
  quote: 0x22,
  escapeBy: 0x22,
  header: false,
  columns: 3,
  key: { collection: 'docs', at: 1, type: OID.text },
  ...more,
})

/** What the reader makes of these bytes, cut into parts of these sizes. */
function read(of: CopyForm, bytes: Buffer, sizes: readonly number[] = []) {
  const rows = copyRows(of)
  const keys: string[] = []
  let at = 0
  for (const size of [...sizes, bytes.length]) {
    const part = bytes.subarray(at, at + size)
    rows.push(Buffer.concat([Buffer.from('d\0\0\0\0'), part]), 5)
    keys.push(...rows.takeKeys())
    at += size
  }
  rows.end()
  keys.push(...rows.takeKeys())
  return { rows: rows.rows, keys }
}

const escaped = (value: string): string =>
  value.replace(/[\\\n\t\r]/g, (one) => `\\${{ '\\': '\\', '\n': 'n', '\t': 't', '\r': 'r' }[one]}`)
const quoted = (value: string): string =>
  /[",\r\n\\]/.test(value) || value === '' ? `"${value.replaceAll('"', '""')}"` : value
const binary = (rows: readonly (readonly string[])[]): Buffer => {
  const number = (value: number, size: number): Buffer => {
    const bytes = Buffer.alloc(size)
    bytes.writeIntBE(value, 0, size)
    return bytes
  }
  return Buffer.concat([
    Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x02ex', 'latin1'),
    ...rows.flatMap((row) => [
      number(row.length, 2),
      ...row.flatMap((value) => [number(Buffer.byteLength(value), 4), Buffer.from(value)]),
    ]),
    number(-1, 2),
  ])
}

const value = fc.string({
  unit: fc.constantFrom('a', 'é', '\\', '"', ',', '\n', '\t', '\r', '.', 'N', ' '),
})
const table = fc.array(fc.tuple(value, value, value), { maxLength: 8 })
const cuts = fc.array(fc.nat(6), { maxLength: 60 })

describe('the reader of copied rows', () => {
  it.each([
    ['text', escaped, '\t', '\n'],
    ['text', escaped, '\t', '\r\n'],
    ['csv', quoted, ',', '\n'],
    ['csv', quoted, ',', '\r\n'],
  ] as const)('finds rows and keys of %s', (format, written, delimiter, end) => {
    fc.assert(
      fc.property(table, cuts, fc.boolean(), (rows, sizes, open) => {
        const lines = rows.map((row) => row.map(written).join(delimiter))
        const text = lines.join(end) + (open || rows.length === 0 ? '' : end)
        expect(read(form(format), Buffer.from(text), sizes)).toEqual({
          rows: rows.length,
          keys: rows.map(([, key]) => key),
        })
      }),
      SEED,
    )
  })

  it('finds rows and keys of the binary format', () => {
    fc.assert(
      fc.property(table, cuts, (rows, sizes) => {
        expect(read(form('binary'), binary(rows), sizes)).toEqual({
          rows: rows.length,
          keys: rows.map(([, key]) => key),
        })
      }),
      SEED,
    )
  })

  it('counts rows where nothing names a key', () => {
    const { key: _key, ...unnamed } = form('text')
    const text = Buffer.from('a\tb\\\nb\tc\nd\te\tf\\\\\n\\.\nnot\ta\trow\n')
    for (let cut = 0; cut < text.length; cut += 1)
      expect([cut, read(unnamed, text, [cut])]).toEqual([cut, { rows: 2, keys: [] }])
  })

  it.each([
    ['a table with other columns than are known', form('text'), 'a\tb\tc\td\n', 1, []],
    ['a header', form('csv', { header: true }), 'a,b\r\n1,2,3\n', 1, ['2']],
    [
      'an escape of its own',
      form('csv', { escapeBy: 0x5c }),
      '1,"a\\"\\\\b\\c",3\n',
      1,
      ['a"\\b\\c'],
    ],
    ['quotes in the middle', form('csv'), '1,a"b,\n"c,3\n', 1, ['ab,\nc']],
    ['a key in numbers', form('text'), '1\t\\101\t3\n1\tb\t3\n', 2, ['b']],
    ['a key that is very long', form('text'), `1\t${'x'.repeat(5000)}\t3\n1\tb\t3\n`, 2, ['b']],
    ['a key that is not UTF-8', form('text'), '1\t\xff\t3\n1\tb\t3\n', 2, ['b']],
  ] as const)('is right with %s', (_name, of, text, rows, keys) => {
    expect(read(of, Buffer.from(text, 'latin1'))).toEqual({ rows, keys })
  })

  it('gives up where bytes are no rows', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), cuts, (noise, sizes) => {
        for (const format of ['text', 'csv', 'binary'] as const)
          expect(read(form(format), Buffer.from(noise), sizes).rows).toBeLessThan(201)
      }),
      SEED,
    )
    const twice = Buffer.concat([binary([['a', 'b', 'c']]), binary([['d', 'e', 'f']])])
    expect(read(form('binary'), twice)).toEqual({ rows: 1, keys: ['b'] })
  })
})
