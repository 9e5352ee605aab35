// Owns texts that are small to send and were once expensive to judge: the event loop is everybody's. Rows are
// never removed. The bound is generous; what these rows cost before was minutes, or all memory.

import { beforeAll, describe, expect, it } from 'vitest'
import { analyzer, classifyAll } from '../unit/protocol/postgres/sql/analysis-fixture.js'

const many = (count: number, part: (index: number) => string, between = ','): string =>
  Array.from({ length: count }, (_, index) => part(index)).join(between)

const BOUND_MS = 10_000
const spaces = ' '.repeat(400_000)

describe('a small text costs little to judge', () => {
  beforeAll(() => analyzer.prepare())

  it.each([
    ['spaces where a sparse vector could stand', `SELECT '{${spaces}x'`],
    ['spaces where an array could stand', `SELECT '{${spaces}"}'`],
    ['spaces inside an array', `SELECT '{a${spaces}"}'`],
    ['spaces after a quoted element', `SELECT '{"a"${spaces}b}'`],
    ['spaces inside a dense vector', `SELECT '[1,2${spaces}x]'`],
    [
      'common tables that double their columns',
      `WITH c0 AS (SELECT 1 AS x), ${many(60, (at) => `c${at + 1} AS (SELECT * FROM c${at} p, c${at} q)`)} SELECT 1`,
    ],
    [
      'joins that double their columns',
      `WITH c0 AS (SELECT 1 AS x), ${many(60, (at) => `c${at + 1} AS (SELECT q.* FROM (c${at} p CROSS JOIN c${at} r) q)`)} SELECT 1`,
    ],
    ['many tables', `SELECT 1 FROM ${many(5000, (at) => `notes a${at}`)}`],
    [
      'many columns in an order of many',
      `SELECT ${many(3000, (at) => `1 AS a${at}`)} ORDER BY ${many(3000, () => 'a1')}`,
    ],
    [
      'an order of many in many subqueries',
      `SELECT 1 FROM ${many(200, (at) => `(SELECT * FROM docs ORDER BY ${many(200, () => 'title')}) s${at}`)}`,
    ],
  ])('%s', (_, text) => {
    const started = Date.now()
    expect(classifyAll(text).length).toBeGreaterThan(0)
    expect(Date.now() - started).toBeLessThan(BOUND_MS)
  })

  it('spaces in a parameter', () => {
    const started = Date.now()
    const value = `{${spaces}"}`
    expect(classifyAll('SELECT $1', [{ known: true, value }])).toHaveLength(1)
    expect(Date.now() - started).toBeLessThan(BOUND_MS)
  })
})
