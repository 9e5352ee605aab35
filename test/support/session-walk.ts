// Owns random walks over a session's names for tests: prepared statements, portals and cursors made, used and dropped
// through SQL and through messages, with transactions and errors between them. Pure.

import fc from 'fast-check'
import type { MessageStep } from './raw-postgres-messages.js'

/** Messages that are sent in one go and answered by as many ReadyForQuery as they hold Query and Sync. */
export type Leg = readonly MessageStep[]

const q = (sql: string): MessageStep => ({ m: 'Q', sql })
const SYNC: MessageStep = { m: 'S' }

// Few names, so that they meet; one is longer than the server keeps, one differs from it only there.
const LONG = 'n'.repeat(63)
const statementName = fc.constantFrom('a', 'a', 'a', 'b', `${LONG}1`, `${LONG}2`)
const cursorName = fc.constantFrom('c', 'c', 'c', 'd', `${LONG}1`)

const prepared = fc.constantFrom(
  'SELECT id, body FROM notes WHERE id > $1 ORDER BY id LIMIT 3',
  "INSERT INTO notes VALUES ($1 + 1000, 'made') RETURNING id",
  "UPDATE notes SET body = 'x' WHERE id = $1",
  'DELETE FROM notes WHERE id = $1',
  'SELECT 10 / $1::int',
)
const read = fc.constantFrom(
  'SELECT id, body FROM notes ORDER BY id',
  'SELECT id FROM notes WHERE id < 4 FOR UPDATE',
  'SELECT id, 12 / (id - 3) FROM notes ORDER BY id',
)
const kind = fc.constantFrom('CURSOR', 'SCROLL CURSOR', 'CURSOR WITH HOLD', 'BINARY CURSOR')
const direction = fc.constantFrom('2', 'ALL', 'BACKWARD 1', 'NEXT', 'PRIOR', 'ABSOLUTE 2', '0')
const number = fc.integer({ min: 0, max: 5 })

const sql: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc
      .tuple(direction, cursorName)
      .map(([where, name]) => `FETCH ${where} FROM "${name}"`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(direction, cursorName)
      .map(([where, name]) => `MOVE ${where} FROM "${name}"`),
  },
  fc.tuple(statementName, prepared).map(([name, of]) => `PREPARE "${name}"(int) AS ${of}`),
  fc.tuple(statementName, number).map(([name, n]) => `EXECUTE "${name}"(${n})`),
  fc.tuple(statementName, number).map(([name, n]) => `EXPLAIN (COSTS OFF) EXECUTE "${name}"(${n})`),
  statementName.map((name) => `DEALLOCATE "${name}"`),
  fc.tuple(cursorName, kind, read).map(([name, as, of]) => `DECLARE "${name}" ${as} FOR ${of}`),
  cursorName.map((name) => `CLOSE "${name}"`),
  cursorName.map((name) => `DELETE FROM notes WHERE CURRENT OF "${name}"`),
  fc.constantFrom('CLOSE ALL', 'DEALLOCATE ALL', 'DISCARD PLANS', 'DISCARD ALL', 'SELECT 1/0'),
  fc.constantFrom('BEGIN', 'BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s'),
)

/** Several statements in one message; what they use they make. */
const several: fc.Arbitrary<string> = fc.oneof(
  // From where most of the rest has something to work on.
  {
    weight: 5,
    arbitrary: fc
      .tuple(kind, read, prepared)
      .map(
        ([as, of, made]) =>
          `ROLLBACK; BEGIN; DECLARE c ${as} FOR ${of}; DEALLOCATE ALL; PREPARE a(int) AS ${made}`,
      ),
  },
  fc
    .tuple(statementName, prepared, number)
    .map(([name, of, n]) => `PREPARE "${name}"(int) AS ${of}; EXECUTE "${name}"(${n}); SELECT 2`),
  fc
    .tuple(cursorName, kind, read)
    .map(([name, as, of]) => `DECLARE "${name}" ${as} FOR ${of}; FETCH 2 FROM "${name}"`),
  statementName.map((name) => `PREPARE "${name}"(int) AS SELECT $1; SELECT 1/0`),
  fc.constant('BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT id FROM notes; COMMIT; SELECT 1/0'),
)

const run = (text: string, portal: string, max: number): Leg => [
  { m: 'P', name: '', sql: text },
  { m: 'B', portal, stmt: '' },
  { m: 'D', kind: 'P', name: portal },
  { m: 'E', portal, max },
]

const pieces: fc.Arbitrary<Leg> = fc.oneof(
  fc.tuple(sql, fc.constantFrom(0, 1)).map(([text, max]) => run(text, '', max)),
  fc.tuple(statementName, prepared).map(([name, of]) => [{ m: 'P', name, sql: of }] as const),
  fc.tuple(statementName, fc.constantFrom('', 'c', 'd'), number).map(([stmt, portal, n]) => [
    { m: 'B', portal, stmt, params: [String(n)] },
    { m: 'D', kind: 'P', name: portal },
    { m: 'E', portal, max: 1 },
  ]),
  fc.tuple(cursorName, number).map(([portal, max]) => [{ m: 'E', portal, max }] as const),
  cursorName.map((name) => [{ m: 'D', kind: 'P', name }] as const),
  cursorName.map((name) => [{ m: 'C', kind: 'P', name }] as const),
  statementName.map((name) => [{ m: 'C', kind: 'S', name }] as const),
  statementName.map((name) => [{ m: 'D', kind: 'S', name }] as const),
)

const leg: fc.Arbitrary<Leg> = fc.oneof(
  { weight: 6, arbitrary: sql.map((text) => [q(text)]) },
  { weight: 3, arbitrary: several.map((text) => [q(text)]) },
  {
    weight: 4,
    arbitrary: fc
      .array(
        fc.oneof({ weight: 4, arbitrary: pieces }, { weight: 1, arbitrary: fc.constant([SYNC]) }),
        {
          minLength: 1,
          maxLength: 4,
        },
      )
      .map((parts) => [...parts.flat(), SYNC]),
  },
)

/** A session's life. */
export const walk: fc.Arbitrary<readonly Leg[]> = fc.array(leg, { minLength: 10, maxLength: 30 })

/** How many ReadyForQuery answer these messages. */
export const readies = (steps: Leg): number =>
  steps.filter(({ m }) => m === 'Q' || m === 'S').length
