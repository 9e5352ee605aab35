// Properties: wrapping a statement never makes its judgement weaker, and no text whatever throws.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { analyzer, classifyAll, fixture, RANK, verdictOf } from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

const corpus = fixture<{ as: string; sql: readonly string[] }[]>('corpus.json')
const reads = corpus
  .flatMap((item) => item.sql.map((text) => ({ text, as: item.as })))
  .filter(
    ({ text }) =>
      /^\s*(?:SELECT|WITH|VALUES|TABLE)\b[^;]*$/i.test(text) && !/--|set_config/i.test(text),
  )
const writes = corpus
  .flatMap((item) => item.sql.map((text) => ({ text, as: item.as })))
  .filter(({ text }) => /^\s*(?:DELETE|UPDATE|INSERT)\b[^;]*$/i.test(text) && !text.includes('--'))

const readWraps: readonly ((text: string) => string)[] = [
  (text) => `SELECT * FROM (${text}) q`,
  (text) => `WITH w AS (${text}) SELECT * FROM w`,
  (text) => `(${text})`,
  (text) => `SELECT (SELECT q FROM (${text}) q LIMIT 1)`,
  (text) => `/* a /* b */ */ ${text} -- c`,
  (text) => `${text};`,
  (text) => `SELECT * FROM (${text}) q UNION ALL (${text})`,
]

describe('wrapping', () => {
  it('never weakens a read', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...reads),
        fc.constantFrom(...readWraps),
        fc.constantFrom(...readWraps),
        (item, one, two) => {
          const plain = RANK[verdictOf(item.text, item.as)]
          // A star over a whole row or a scalar sublink can only add rows' limits; it must not lose a mask or a denial.
          const wrapped = RANK[verdictOf(two(one(item.text)), item.as)]
          const lost =
            plain === RANK.deny ? wrapped < RANK.deny : plain > RANK.allow && wrapped < RANK.mask
          expect(lost && plain !== RANK.limited, `${two(one(item.text))}`).toBe(false)
        },
      ),
      { seed: 1, numRuns: 400 },
    )
  })

  it('never weakens a write', () => {
    const wraps: readonly ((text: string) => string)[] = [
      (text) => `EXPLAIN ANALYZE ${text}`,
      (text) => `/* SELECT */ ${text}`,
      (text) => `BEGIN; ${text}; COMMIT`,
      (text) => (/returning/i.test(text) ? text : `WITH w AS (${text} RETURNING 1) SELECT 1`),
    ]
    fc.assert(
      fc.property(fc.constantFrom(...writes), fc.constantFrom(...wraps), (item, wrap) => {
        const plain = RANK[verdictOf(item.text, item.as)]
        expect(RANK[verdictOf(wrap(item.text), item.as)], wrap(item.text)).toBeGreaterThanOrEqual(
          plain,
        )
      }),
      { seed: 1, numRuns: 200 },
    )
  })

  it('does not depend on the case of key words', () => {
    for (const { text, as } of [...reads, ...writes].filter((each) => !/["'$&]/.test(each.text))) {
      expect(verdictOf(text.toLowerCase(), as), text).toBe(verdictOf(text, as))
    }
  })
})

describe('any text', () => {
  it('is classified without a throw', () => {
    const words = fc.constantFrom(
      ...'SELECT FROM WHERE docs notes ssn id ( ) * , = ; . AS JOIN USING LATERAL WITH x d $1 1 \'a\' "Docs" UNION ALL ORDER BY LIMIT GROUP VALUES INSERT INTO UPDATE SET DELETE RETURNING <=> - :: vector [ ] ARRAY CASE WHEN THEN END IN ANY NOT NULL IS'.split(
        ' ',
      ),
    )
    const text = fc.oneof(
      fc.array(words, { maxLength: 25 }).map((parts) => parts.join(' ')),
      fc.string(),
    )
    fc.assert(
      fc.property(text, (each) => {
        for (const found of classifyAll(each))
          expect(found.operation.text.length).toBeLessThanOrEqual(each.length + 100)
      }),
      { seed: 1, numRuns: 3000 },
    )
  })
})
