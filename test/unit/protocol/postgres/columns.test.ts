// Result columns: which are masked, rounded or dropped, and when the whole result is refused.

import { describe, expect, test } from 'vitest'
import type { FieldMask, ScoreTransform } from '../../../../src/core/decision.js'
import type { MaskerFactory } from '../../../../src/core/masker.js'
import type { Operation, Output } from '../../../../src/core/operation.js'
import { planColumns, type ResultColumn } from '../../../../src/protocol/postgres/columns.js'
import type { Catalogue } from '../../../../src/protocol/postgres/statement.js'

const VECTOR = 90000
const catalogue: Catalogue = {
  defaultSearchPath: ['public'],
  temporary: undefined,
  hasSchema: () => true,
  originsOf: (table, attribute) =>
    table === 20000
      ? [
          {
            collection: 'docs',
            field: ['', 'id', 'email', 'embedding'][attribute] ?? '?',
            vector: attribute === 3,
          },
        ]
      : undefined,
  isVectorType: (type) => type === VECTOR,
  unreadViews: () => [],
}
const masker: MaskerFactory = {
  forField: (_masks, kind) => ({
    alwaysNull: kind === 'vector' || kind === 'other',
    mask: () => ({ value: '[masked]', masked: 1 }),
  }),
}
const column = (more: Partial<ResultColumn> = {}): ResultColumn => ({
  name: 'c',
  table: 0,
  attribute: 0,
  type: 25,
  format: 0,
  ...more,
})
const source = (field: string) => ({ collection: 'docs', field, vector: field === 'embedding' })
const output = (kind: Output['kind'], field: string, scoreOf?: Output['scoreOf']): Output => ({
  name: 'c',
  kind,
  sources: [source(field)],
  ...(scoreOf === undefined ? {} : { scoreOf }),
})
const mask = (field: string, scores: ScoreTransform = 'exact'): FieldMask => ({
  collection: 'docs',
  field,
  transforms: [{ kind: 'value', with: 'redact' }],
  scores,
  rule: 'r',
})
const operation = (outputs: readonly Output[], fields: Operation['fields'] = []): Operation => ({
  name: 'search',
  access: 'read',
  collections: [],
  fields,
  returns: { rows: 1, outputs },
  risks: [],
  functions: [],
  text: '',
})

function plan(
  columns: readonly ResultColumn[],
  outputs: readonly Output[],
  masks: readonly FieldMask[] = [],
) {
  return planColumns(columns, operation(outputs), { masks, record: 'text' }, masker, catalogue)
}

function changed(
  one: ResultColumn,
  from: Output,
  masks: readonly FieldMask[],
  value: Buffer,
): string | null | undefined {
  const [only] = plan([one], [from], masks)
  const result = only?.change?.(value)
  return result === undefined ? undefined : (result.value?.toString('latin1') ?? null)
}

describe('masks', () => {
  test('follow the field, not the name', () => {
    expect(
      changed(
        column({ name: 'x' }),
        output('column', 'email'),
        [mask('email')],
        Buffer.from('a@b.c'),
      ),
    ).toBe('[masked]')
    expect(
      changed(column({ name: 'email' }), output('column', 'id'), [mask('email')], Buffer.from('1')),
    ).toBeUndefined()
  })

  test('on a path inside a document concern whoever lets the document out', () => {
    expect(
      changed(
        column({ type: 3802 }),
        output('column', 'meta'),
        [mask('meta.phone')],
        Buffer.from('{}'),
      ),
    ).toBe('"[masked]"')
  })

  test('binary jsonb keeps its version byte', () => {
    const value = Buffer.concat([Buffer.from([1]), Buffer.from('{}')])
    expect(
      changed(column({ type: 3802, format: 1 }), output('column', 'meta'), [mask('meta')], value),
    ).toBe('\x01"[masked]"')
  })

  test('turn what they do not fit into NULL', () => {
    expect(
      changed(
        column({ type: VECTOR }),
        output('column', 'embedding'),
        [mask('embedding')],
        Buffer.from('[1]'),
      ),
    ).toBeNull()
    expect(
      changed(column({ type: 23 }), output('column', 'id'), [mask('id')], Buffer.from('1')),
    ).toBeNull()
    expect(
      changed(column(), output('column', 'email'), [mask('email')], Buffer.from([0xff])),
    ).toBeNull()
  })
})

describe('scores', () => {
  const distance = output('score', 'embedding', 'cosine')
  const float8 = (value: number): Buffer => {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleBE(value)
    return bytes
  }
  test.each([
    ['text', column({ type: 701 }), Buffer.from('0.123456'), '0.12'],
    ['numeric', column({ type: 1700 }), Buffer.from('-1.999'), '-2'],
    ['infinite', column({ type: 701 }), Buffer.from('Infinity'), null],
    ['not a number', column({ type: 701 }), Buffer.from('NaN'), null],
    ['huge', column({ type: 701 }), Buffer.from('1e300'), null],
    ['another type', column({ type: 25 }), Buffer.from('0.123456'), null],
    ['binary numeric', column({ type: 1700, format: 1 }), Buffer.alloc(10), null],
    ['a wrong length', column({ type: 701, format: 1 }), Buffer.alloc(4), null],
  ])('%s is rounded or dropped', (_, one, value, expected) => {
    expect(changed(one, distance, [mask('embedding', { round: 2 })], value)).toBe(expected)
  })

  test('binary ones are rounded in place', () => {
    const [only] = plan(
      [column({ type: 701, format: 1 })],
      [distance],
      [mask('embedding', { round: 2 })],
    )
    expect(only?.change?.(float8(0.987654)).value).toEqual(float8(0.99))
  })

  test('minus zero has no sign', () => {
    const [only] = plan(
      [column({ type: 701, format: 1 })],
      [distance],
      [mask('embedding', { round: 2 })],
    )
    expect(only?.change?.(float8(-0.001)).value).toEqual(float8(0))
  })

  test.each([
    [{ norm: 5 }, '-12.345', '-2.47'],
    [{ norm: 1e6 }, '-712345.6', '-0.71'],
    [{ norm: 5, complement: true as const }, '13.345', '3.47'],
    [{ norm: 0 }, '0', null],
    [{ complement: true as const }, '1.5', null],
  ])('an inner product is divided by the norm: %j', (more, value, expected) => {
    const from = { ...output('score', 'embedding', 'inner'), ...more }
    const given = [mask('embedding', { round: 2 })]
    expect(changed(column({ type: 701 }), from, given, Buffer.from(value))).toBe(expected)
  })

  test('the strictest transform wins; what no rounding protects is dropped', () => {
    const value = Buffer.from('0.123456')
    const one = column({ type: 701 })
    expect(
      changed(
        one,
        distance,
        [mask('embedding', { round: 3 }), mask('embedding', { round: 1 })],
        value,
      ),
    ).toBe('0.1')
    expect(
      changed(one, distance, [mask('embedding', { round: 3 }), mask('embedding', 'hide')], value),
    ).toBeNull()
    expect(changed(one, distance, [mask('embedding', 'exact')], value)).toBeUndefined()
    expect(
      changed(one, output('score', 'embedding', 'inner'), [mask('embedding', { round: 2 })], value),
    ).toBeNull()
    expect(
      changed(one, output('score', 'embedding', 'other'), [mask('embedding', { round: 2 })], value),
    ).toBeNull()
  })
})

describe('lineage', () => {
  const from = { table: 20000, attribute: 2 }
  test('a column from elsewhere than was judged is refused, masks or not', () => {
    expect(() => plan([column(from)], [output('column', 'id')])).toThrow('comes from docs.email')
    expect(plan([column(from)], [output('column', 'email')])).toHaveLength(1)
  })

  test('an unknown relation is refused where anything is masked', () => {
    const unknown = [column({ table: 30000, attribute: 1 })]
    expect(() => plan(unknown, [output('column', 'id')], [mask('email')])).toThrow('not known')
    expect(plan(unknown, [output('column', 'id')])).toHaveLength(1)
  })

  test('something made from masked fields is refused', () => {
    expect(() => plan([column()], [output('derived', 'email')], [mask('email')])).toThrow(
      'made from masked fields',
    )
  })

  test('another number of columns is refused, but for what announces none', () => {
    expect(() => plan([column(), column()], [output('column', 'id')])).toThrow(
      '2 came where 1 were expected',
    )
    expect(() => plan([column(from)], [])).toThrow('1 came where 0 were expected')
    expect(plan([column()], [])).toHaveLength(1)
    expect(() => plan([column()], [], [mask('email')])).toThrow('1 came where 0 were expected')
  })
})
