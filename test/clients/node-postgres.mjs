// Owns what node-postgres does in applications: parameters, named statements, pools, transactions, errors.

import pg from 'pg'
import { attempt, tell } from './transcript.mjs'

const client = new pg.Client({ ssl: false })
const notices = []
client.on('notice', ({ severity, code, message }) => notices.push([severity, code, message]))
await client.connect()
const rows = async (...query) => (await client.query(...query)).rows
for (const [text, values] of [
  ['SELECT $1::int + 1 AS n', [41]],
  [
    'SELECT $1::text AS t, $2::jsonb AS j, $3::bytea AS b',
    ["O'Reilly", { k: [1] }, Buffer.from([0, 255])],
  ],
  [
    'SELECT $1::timestamptz AS at, $2::int[] AS list, $3::bool AS no',
    [new Date(0), [1, null, 3], null],
  ],
  ['SELECT id, title, embedding FROM docs WHERE id = ANY($1) ORDER BY id', [[1, 2, 3]]],
  ['SELECT id FROM docs ORDER BY embedding <-> $1, id LIMIT $2', ['[0.1,0.2,0.3,0.4]', 3]],
])
  tell(text, await rows(text, values))
for (let id = 1; id < 5; id += 1)
  tell(
    'named',
    await rows({ name: 'one', text: 'SELECT title FROM docs WHERE id = $1', values: [id] }),
  )
tell('arrays', await rows({ text: 'SELECT 1 AS a, 2 AS a', rowMode: 'array' }))
const { fields, command, rowCount } = await client.query(
  'SELECT id, title, embedding FROM docs LIMIT 2',
)
tell('fields', [
  fields.map(({ name, columnID, dataTypeSize, format }) => [name, columnID, dataTypeSize, format]),
  command,
  rowCount,
])
tell(
  'several',
  (
    await client.query('SELECT 1 AS a; SELECT 2 AS b; UPDATE notes SET body = body WHERE id < 0')
  ).map(({ command, rows }) => [command, rows]),
)
await attempt('syntax', () => rows('SELEC 1'))
await attempt('missing', () => rows('SELECT nothing FROM docs'))
for (const text of [
  'SELECT d.nope FROM docs d',
  "SELECT 'ü🙂', x.id FROM docs",
  'SELECT id FROM docs WHERE title = nope',
  'SELECT * FROM docs JOIN nowhere USING (id)',
  'SELECT (SELECT nope FROM notes) FROM docs',
  'INSERT INTO notes(id, nope) VALUES (1, 2)',
  'INSERT INTO nowhere VALUES (1)',
  'UPDATE notes SET nope = 1',
  'UPDATE notes SET body = nope',
  'DELETE FROM notes n WHERE n.nope = 1',
  'SELECT 1; SELECT nope FROM docs',
  'EXPLAIN SELECT nope FROM docs',
  'ALTER TABLE nowhere ADD COLUMN a int',
  'TRUNCATE nowhere',
  'DROP TABLE nowhere',
  'CREATE INDEX ON nowhere (id)',
  'SELECT count(nope) FROM public.docs',
  'SELECT id FROM public.nowhere',
  'SELECT id FROM elsewhere.docs',
])
  await attempt(text, () => rows(text))
await attempt('division', () => rows('SELECT 1 / $1::int', [0]))
await attempt('too few', () => rows('SELECT $1::int, $2::int', [1]))
await client.query('BEGIN')
await client.query("INSERT INTO notes(id, body) VALUES (1, 'x')")
await client.query('SAVEPOINT s')
await attempt('twice', () => rows("INSERT INTO notes(id, body) VALUES (1, 'x')"))
await attempt('aborted', () => rows('SELECT 1'))
await client.query('ROLLBACK TO s')
tell('in', await rows('SELECT * FROM notes'))
await client.query('COMMIT')
await client.query('DROP TABLE IF EXISTS nothing_here')
tell('notices', notices)
tell('empty', await rows(''))
// Queries that do not wait for each other.
tell(
  'queued',
  await Promise.all(Array.from({ length: 20 }, (_, n) => rows('SELECT $1::int AS n', [n]))),
)
await client.end()

const pool = new pg.Pool({ ssl: false, max: 3 })
tell(
  'pool',
  (
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        pool.query('SELECT title FROM docs WHERE id = $1', [(n % 5) + 1]),
      ),
    )
  ).map(({ rows }) => rows[0]),
)
await pool.end()
