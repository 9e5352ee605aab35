// Property: a statement that is run through a name, or read through a cursor, is judged no weaker than by itself.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Names, stepsOf } from '../../../../src/protocol/postgres/named-objects.js'
import {
  analyzer,
  catalogue,
  fixture,
  judgeP1,
  PUBLIC,
  RANK,
  verdictOf,
} from './sql/analysis-fixture.js'

beforeAll(() => analyzer.prepare())

const texts = fixture<{ as: string; sql: readonly string[] }[]>('corpus.json').flatMap((item) =>
  item.sql.map((text) => ({ text, as: item.as })),
)
const reads = texts.filter(
  ({ text }) =>
    /^\s*(?:SELECT|WITH|VALUES|TABLE)\b[^;]*$/i.test(text) && !/--|set_config|\bINTO\b/i.test(text),
)
const runs = texts.filter(
  ({ text }) =>
    /^\s*(?:SELECT|WITH|VALUES|TABLE|DELETE|UPDATE|INSERT)\b[^;]*$/i.test(text) &&
    !/--|set_config|\bINTO\s+\w+\s+FROM\b/i.test(text),
)

const NONE: Names = {
  enclosed: () => false,
  statement: () => undefined,
  portal: () => undefined,
  savepoints: () => undefined,
  failed: () => false,
  nextSerial: () => 1,
  segment: 1,
  full: { statements: false, portals: false },
}

/** The strictest verdict over the statements of a message, each at its place. Undefined where it is no SQL. */
function rankOf(text: string, who: string): number | undefined {
  const parsed = analyzer.parse(text)
  if (!parsed.ok) return undefined
  const steps = stepsOf(parsed.statements, NONE, { values: [], exact: (source) => source })
  if (steps === 'later' || 'reply' in steps) return RANK.deny
  const ranks = steps.flatMap(({ statement }) => {
    const made = statement.named?.kind === 'prepare' ? [statement.named.inner] : []
    return [statement, ...made].map(
      (each) => RANK[judgeP1(each.classify(catalogue, PUBLIC, []).operation, who)],
    )
  })
  return Math.max(...ranks)
}

const executed: readonly ((text: string) => string)[] = [
  (text) => `PREPARE p AS ${text}; EXECUTE p`,
  (text) => `PREPARE "P" AS ${text}; BEGIN; EXECUTE "P"; COMMIT`,
  (text) => `PREPARE p (text) AS ${text}; EXPLAIN ANALYZE EXECUTE p('x')`,
  (text) => `prepare p as select 1; deallocate p; prepare p as ${text}; execute /* p */ p`,
]
const fetched: readonly ((text: string) => string)[] = [
  (text) => `BEGIN; DECLARE c CURSOR FOR ${text}; FETCH ALL FROM c`,
  (text) => `BEGIN; DECLARE c BINARY SCROLL CURSOR FOR ${text}; FETCH BACKWARD ALL IN c`,
  (text) => `DECLARE c CURSOR WITH HOLD FOR ${text}; FETCH FORWARD ALL FROM c; CLOSE c`,
  (text) =>
    `BEGIN; DECLARE c CURSOR FOR SELECT 1; CLOSE ALL; DECLARE c CURSOR FOR ${text}; FETCH ALL c`,
]

describe('wrapping in a name', () => {
  const holds = (
    items: typeof texts,
    wraps: readonly ((text: string) => string)[],
    keeps: (plain: number) => number,
  ): void =>
    fc.assert(
      fc.property(fc.constantFrom(...items), fc.constantFrom(...wraps), (item, wrap) => {
        const wrapped = rankOf(wrap(item.text), item.as)
        if (wrapped === undefined) return // no statement that can be prepared: nothing runs
        const plain = RANK[verdictOf(item.text, item.as)]
        expect(wrapped, wrap(item.text)).toBeGreaterThanOrEqual(keeps(plain))
      }),
      { seed: 5, numRuns: 600 },
    )

  it('PREPARE and EXECUTE never weaken a verdict', () => {
    expect(runs.length).toBeGreaterThan(100)
    // EXPLAIN gives a plan, not values: what would be masked or limited does not leave.
    holds(runs, executed.slice(0, 2), (plain) => plain)
    holds(runs, [executed[3] ?? String], (plain) => plain)
    holds(runs, [executed[2] ?? String], (plain) => (plain === RANK.deny ? plain : 0))
  })

  it('DECLARE and FETCH never weaken a verdict', () => {
    expect(reads.length).toBeGreaterThan(80)
    holds(reads, fetched, (plain) => plain)
  })
})
