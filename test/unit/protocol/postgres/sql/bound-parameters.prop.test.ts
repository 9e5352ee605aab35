// Properties: what a statement means with bound values never comes from other values, and is remembered where the
// values do not matter.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { createAnalyzer } from '../../../../../src/protocol/postgres/sql/analyzer.js'
import type { Classification, Parameter } from '../../../../../src/protocol/postgres/statement.js'
import { analyzer, catalogue, fixture, PUBLIC, product } from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

/** Statements of the corpus with their constants as parameters. */
const texts = fixture<{ sql: readonly string[] }[]>('corpus.json')
  .flatMap((item) => item.sql)
  .filter((text) => /^\s*(?:SELECT|WITH|DELETE|UPDATE|INSERT)\b[^;$]*$/i.test(text))
  .map((text) => {
    let number = 0
    return text.replace(/'[^']*'|\b\d+\b/g, () => {
      number += 1
      return `$${number}`
    })
  })
  .filter((text) => text.includes('$1'))
const MORE = [
  'SELECT * FROM docs LIMIT $1',
  'SELECT * FROM docs WHERE id = ANY ($1)',
  'SELECT * FROM docs WHERE id = ANY ($1::int[])',
  'SELECT * FROM docs WHERE id = $1::int',
  'SELECT * FROM docs WHERE id IN ($1, $2, $3)',
  'SELECT * FROM docs, unnest($1::int[]) LIMIT $2',
  'DELETE FROM docs WHERE id = ANY (ARRAY[$1, $2])',
  'INSERT INTO docs (id) VALUES ($1), ($2)',
  "SELECT set_config('search_path', $1, false)",
  'SELECT set_config($1, $2, false)',
  'SELECT current_setting($1)',
  'SELECT setting FROM pg_settings WHERE name = $1',
  'SELECT * FROM generate_series($1::int, $2::int)',
]
const value: fc.Arbitrary<Parameter> = fc.oneof(
  fc
    .constantFrom(
      '1',
      '7',
      '2000',
      '{1,2,3}',
      '{}',
      '{{1}}',
      'docs',
      'work_mem',
      'public',
      '',
      '1e3',
    )
    .map((text) => ({ known: true, value: text })),
  fc.constant<Parameter>({ known: true, value: null }),
  fc.constant<Parameter>({ known: false }),
)
const values = fc.array(value, { maxLength: 6 })

function classify(by: typeof analyzer, text: string, given: readonly Parameter[]): Classification {
  const parsed = by.parse(text)
  const [statement] = parsed.ok ? parsed.statements : []
  if (statement === undefined) throw new Error(`not one statement: ${text}`)
  return statement.classify(catalogue, PUBLIC, given)
}

describe('bound values', () => {
  it('give what a statement that was never seen gives', () => {
    const parses = (text: string): boolean => analyzer.parse(text).ok
    const known = [...texts.filter(parses), ...MORE]
    expect(known.length).toBeGreaterThan(50)
    fc.assert(
      fc.property(
        fc.constantFrom(...known),
        fc.array(values, { minLength: 2, maxLength: 5 }),
        (text, many) => {
          for (const given of many)
            expect(classify(analyzer, text, given), text).toEqual(
              classify(createAnalyzer(product), text, given),
            )
        },
      ),
      { seed: 1, numRuns: 400 },
    )
  })

  it.each([
    'SELECT id, body FROM docs WHERE id = $1',
    'SELECT id FROM docs WHERE id = $1::int AND body = $2',
    'SELECT id FROM docs WHERE id > $1 ORDER BY id LIMIT 10',
  ])('are not looked at where they do not matter: %s', (text) => {
    const [one, two] = ['1', '2'].map((each) =>
      classify(analyzer, text, [{ known: true, value: each }]),
    )
    expect(two).toBe(one)
  })

  it.each([
    'SELECT id FROM docs LIMIT $1',
    'DELETE FROM docs WHERE id = $1',
  ])('are looked at where they do: %s', (text) => {
    const [one, two] = ['1', '2'].map((each) =>
      classify(analyzer, text, [{ known: true, value: each }]),
    )
    expect(two).not.toEqual(one)
  })
})
