// Every SQL item of the bypass corpus: the classification alone must be at least as strict as the item expects,
// and what must keep working must not be refused.

import { beforeAll, describe, expect, it } from 'vitest'
import {
  analyzer,
  classifyAll,
  fixture,
  isRefused,
  RANK,
  type Verdict,
  verdictOf,
} from './analysis-fixture.js'

interface Item {
  readonly id: string
  readonly as: string
  readonly sql: readonly string[]
  readonly expect: Verdict
  readonly also: readonly Verdict[]
}

/** What these items try is not in the SQL text: the wire adapter's tests hold them. */
const ON_THE_WIRE = new Set(['pg-wire-066', 'pg-ext-017'])

describe('the bypass corpus', () => {
  beforeAll(() => analyzer.prepare())

  for (const item of fixture<Item[]>('corpus.json').filter((each) => !ON_THE_WIRE.has(each.id))) {
    it(`${item.id}: ${item.sql.join('; ').slice(0, 100)}`, () => {
      const verdicts = item.sql.map((text) => verdictOf(text, item.as))
      const rank = Math.max(...verdicts.map((each) => RANK[each]))
      const allowed = [item.expect, ...item.also]
      const reasons = item.sql.flatMap((text) =>
        classifyAll(text).map((each) =>
          isRefused(each.operation) ? each.operation.reason : each.operation.name,
        ),
      )
      expect(
        rank,
        `${verdicts.join()} (${reasons.join()}) against ${allowed.join()}`,
      ).toBeGreaterThanOrEqual(Math.min(...allowed.map((each) => RANK[each])))
      if (item.expect === 'allow' && item.also.length === 0) {
        expect(verdicts, reasons.join()).toEqual(item.sql.map(() => 'allow'))
      }
    })
  }
})
