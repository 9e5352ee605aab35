// Owns what a person sees who types into psql and presses Tab: every form of completion that asks the server, at a
// terminal of its own. What psql asks for is not shown, what comes of it is. Not behind SHOW and RESET: of pg_settings
// only rows that are named may be read.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from '@lydell/node-pty'
import { tell } from './transcript.mjs'

const TYPED = [
  'SELECT * FROM do',
  'SELECT * FROM public.',
  'SELECT title FROM docs WHERE ti',
  'SELECT cosine_di',
  'TABLE no',
  'INSERT INTO no',
  'INSERT INTO notes (',
  'UPDATE counted SET bo',
  'UPDATE notes SET body',
  'DELETE FROM co',
  'MERGE INTO do',
  'COPY do',
  'COPY notes (',
  '\\copy do',
  '\\d do',
  '\\d+ pub',
  '\\di docs_',
  '\\dv pg_catalog.pg_vi',
  '\\dn pu',
  '\\dx ve',
  '\\dT hal',
  '\\df vector_di',
  '\\sf vector_di',
  '\\dp no',
  '\\du ',
  'TRUNCATE no',
  'LOCK TABLE do',
  'ANALYZE do',
  'VACUUM no',
  'REINDEX INDEX docs_',
  'CLUSTER do',
  'DROP TABLE no',
  'DROP INDEX docs_',
  'DROP SEQUENCE cou',
  'DROP EXTENSION ve',
  'DROP SCHEMA pub',
  'DROP FUNCTION vector_dim',
  'ALTER TABLE docs ADD COLUMN x half',
  'ALTER TABLE docs ALTER COLUMN ti',
  'ALTER TABLE docs DROP CONSTRAINT ',
  'ALTER TABLE notes RENAME COLUMN bo',
  'ALTER INDEX docs_',
  'CREATE INDEX ON docs USING hn',
  'CREATE INDEX ON docs (em',
  'COMMENT ON COLUMN docs.',
  'GRANT SELECT ON no',
  'GRANT SELECT ON docs TO ',
  'REFRESH MATERIALIZED VIEW ',
  'SET hnsw.ef_',
  'SET search_path TO pu',
  'SET TimeZone TO ',
  'EXPLAIN SELECT * FROM no',
  'PREPARE p AS SELECT * FROM do',
  'SELECT * FROM docs WHERE id IN (SELECT id FROM no',
]

const folder = mkdtempSync(join(tmpdir(), 'vgate-psql-'))
const inputrc = join(folder, 'inputrc')
writeFileSync(
  inputrc,
  `set enable-bracketed-paste off
set completion-query-items 0
set page-completions off
set show-all-if-ambiguous on
set bell-style none
set horizontal-scroll-mode off
`,
)
const [, , program = 'psql'] = process.argv
const psql = spawn(program, ['-X', '-v', 'PROMPT1=ready> ', '-v', 'PROMPT2=ready> '], {
  cols: 400,
  rows: 200,
  env: {
    ...process.env,
    INPUTRC: inputrc,
    TERM: 'dumb',
    PSQL_HISTORY: '/dev/null',
    PGOPTIONS: '-c statement_timeout=60s',
  },
})
let shown = ''
let met = () => {}
psql.onData((text) => {
  shown += text
  met()
})
const ended = new Promise((resolve) => psql.onExit(resolve))

/** Waits until the screen shows it, and gives what came up to there. */
async function until(what) {
  while (!shown.includes(what))
    await new Promise((resolve) => {
      met = resolve
    })
  const at = shown.indexOf(what) + what.length
  const came = shown.slice(0, at)
  shown = shown.slice(at)
  return came
}

await until('ready> ')
for (const [index, text] of TYPED.entries()) {
  // What was completed is thrown away; the end of the next command says that all of it has come.
  psql.write(`${text}\t\x15`)
  psql.write(`\\echo typed ${index} end\r`)
  const came = await until(`\ntyped ${index} end\r\nready> `)
  const names = came
    .replaceAll('\b', '')
    .split(/\r\n|\r|ready> /)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.includes('\\echo') && !line.startsWith('typed '))
  tell(text, names)
}
psql.write('\\q\r')
await ended
rmSync(folder, { recursive: true })
