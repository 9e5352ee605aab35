// Owns what postgres.js does in applications: statements prepared under names of its own, pipelined queries, fragments,
// cursors and COPY streams.

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import { attempt, tell } from './transcript.mjs'

const notices = []
const sql = postgres({
  ssl: false,
  max: 2,
  onnotice: ({ code, message }) => notices.push([code, message]),
})
tell('one', await sql`SELECT id, title, embedding FROM docs WHERE id = ${1}`)
tell('list', await sql`SELECT id FROM docs WHERE id IN ${sql([1, 2, 3])} ORDER BY id`)
tell('any', await sql`SELECT id FROM docs WHERE id = ANY(${[1, 2]}) ORDER BY id`)
tell(
  'values',
  await sql`SELECT ${41}::int + 1 AS n, ${"O'Reilly"}::text AS t, ${sql.json({ k: [1] })}::jsonb AS j, ${null}::text AS no, ${new Date(0)}::timestamptz AS at`,
)
tell('columns', await sql`SELECT ${sql(['id', 'title'])} FROM docs ORDER BY id LIMIT 2`)
tell(
  'inserted',
  await sql`INSERT INTO notes ${sql([
    { id: 1, body: 'a' },
    { id: 2, body: 'b' },
  ])} RETURNING *`,
)
tell('updated', (await sql`UPDATE notes SET ${sql({ body: 'c' }, 'body')} WHERE id = ${2}`).count)
tell(
  'nearest',
  await sql`SELECT id FROM docs ORDER BY embedding <=> ${'[0.1,0.2,0.3,0.4]'}, id LIMIT ${3}`,
)
tell(
  'described',
  (await sql`SELECT id, title FROM docs WHERE id = ${1}`.describe()).columns.map(
    ({ name }) => name,
  ),
)
tell('simple', await sql`SELECT 1 AS a; SELECT 2 AS b`.simple())
tell('unsafe', await sql.unsafe('SELECT title FROM docs WHERE id = $1', [2]))
tell('raw', await sql`SELECT 1 AS a`.values())
// Many at once, on two connections.
tell(
  'pipelined',
  await Promise.all(Array.from({ length: 40 }, (_, n) => sql`SELECT ${n}::int AS n`)),
)
await attempt('syntax', () => sql`SELEC 1`)
await attempt('missing', () => sql`SELECT nothing FROM docs WHERE id = ${1}`)
await attempt('transaction', () =>
  sql.begin(async (one) => {
    await one`INSERT INTO notes VALUES (3, 'x')`
    await attempt('savepoint', () =>
      one.savepoint((two) => two`INSERT INTO notes VALUES (3, 'twice')`),
    )
    tell('inside', await one`SELECT id FROM notes ORDER BY id`)
    throw Object.assign(new Error('taken back'), { code: 'own' })
  }),
)
tell('after', await sql`SELECT id FROM notes ORDER BY id`)
tell(
  'kept',
  await sql.begin((one) => [
    one`INSERT INTO notes VALUES (4, 'p')`,
    one`SELECT count(*)::int AS n FROM notes`,
  ]),
)
tell('read only', await sql.begin('read only', (one) => one`SHOW transaction_read_only`))
const parts = []
await sql`SELECT generate_series(1, 25) AS n`.cursor(10, (part) => void parts.push(part.length))
tell('parts', parts)
const seen = []
for await (const [row] of sql`SELECT id FROM docs ORDER BY id`.cursor())
  if (seen.push(row.id) === 4) break
tell('left early', seen)
await sql`SELECT id FROM docs ORDER BY id`.forEach(({ id }) => void seen.push(id))
tell('each', seen)
await pipeline(
  Readable.from(['10\tten\n', '11\televen\n']),
  await sql`COPY notes FROM STDIN`.writable(),
)
let out = ''
for await (const part of await sql`COPY (SELECT * FROM notes WHERE id > 9 ORDER BY id) TO STDOUT`.readable())
  out += part
tell('copied', out)
await sql`DROP TABLE IF EXISTS nothing_here`
tell('notices', notices)
await sql.end()
