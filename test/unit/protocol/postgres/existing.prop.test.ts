// What stands in a string of statements in place of those whose object is there: whatever stands around them, every other
// statement is the same, and at the same place.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { whereItRuns } from '../../../../src/protocol/postgres/after-change.js'
import { standingIn } from '../../../../src/protocol/postgres/existing.js'
import type { Run } from '../../../../src/protocol/postgres/run.js'
import type {
  Classification,
  ParsedStatement,
} from '../../../../src/protocol/postgres/statement.js'
import { analyzer, catalogue, PUBLIC } from './sql/analysis-fixture.js'

beforeAll(() => analyzer.prepare())

const blank = fc.constantFrom(' ', '\n', '\t', ' -- a; b\n', '/* ; */', '/* /* ö */ 😀 ; */', '')
const there = fc.constantFrom(
  'CREATE TABLE IF NOT EXISTS notes()',
  "CREATE TABLE IF NOT EXISTS public.notes (id int, b text DEFAULT 'a;ö😀' /* ; */)",
  'create\ntable if not exists "notes" (id int)',
  'CREATE EXTENSION IF NOT EXISTS vector',
  'CREATE INDEX IF NOT EXISTS notes_pkey ON notes (id)',
)
const other = fc.constantFrom(
  'SELECT 1',
  "SELECT ';', $a$ CREATE TABLE IF NOT EXISTS notes(); $a$",
  'SELECT \'ö😀\' AS "ä;"',
  'CREATE TABLE IF NOT EXISTS absent (id int)',
  'CREATE TABLE notes (id int)',
  'BEGIN',
)
const piece = fc.tuple(blank, fc.oneof(there, other, fc.constant('')), blank)
const texts = fc
  .tuple(fc.array(piece, { minLength: 1, maxLength: 8 }), fc.boolean())
  .map(([pieces, ends]) => pieces.map((each) => each.join('')).join(';') + (ends ? ';' : ''))

function parsed(text: string): readonly ParsedStatement[] {
  const outcome = analyzer.parse(text)
  if (!outcome.ok) throw new Error(`${outcome.message}: ${text}`)
  return outcome.statements
}
const runsOf = (found: readonly Classification[]): Run[] =>
  found.map((one) => ({ found: one }) as unknown as Run)
const classified = (statements: readonly ParsedStatement[]): Classification[] =>
  statements.map((one) => one.classify(catalogue, PUBLIC))

describe('what stands in for statements whose object is there', () => {
  it('leaves every other statement as it is, at its place', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const statements = parsed(text)
        const found = classified(statements)
        const sent = standingIn(text, statements, runsOf(found))
        expect([...sent]).toHaveLength([...text].length)
        const now = parsed(sent)
        expect(now).toHaveLength(statements.length)
        for (const [index, statement] of statements.entries()) {
          const { existing } = found[index] ?? {}
          if (existing !== undefined) expect(now[index]?.text).toBe('SHOW client_min_messages')
          else expect(now[index]?.text).toBe(statement.text)
        }
      }),
      { seed: 20261122, numRuns: 400 },
    )
  })

  it('answers none behind a change of the schema, and nothing is weaker for it', () => {
    fc.assert(
      fc.property(texts, fc.boolean(), (text, changed) => {
        const statements = parsed(text)
        const found = classified(statements)
        const standing = changed ? 'unseen' : 'unchanged'
        const settled = whereItRuns(statements, found, { standing, path: PUBLIC })
        let pending = changed
        for (const [index, one] of settled.entries()) {
          const { effects } = statements[index] ?? {}
          if (pending) expect(one.existing).toBeUndefined()
          if (one.existing !== undefined) expect(one).toBe(found[index])
          const { operation } = one
          const admin = 'access' in operation ? operation.access === 'admin' : true
          if (effects?.ifAbsent === true && one.existing === undefined) expect(admin).toBe(true)
          pending ||= effects?.ddl === true && one.existing === undefined
        }
      }),
      { seed: 20261122, numRuns: 400 },
    )
  })
})
