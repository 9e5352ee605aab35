// Owns what a tool asks that is not run itself: the statements of a file, each told with its columns and rows.

import { readFileSync } from 'node:fs'
import pg from 'pg'
import { parse } from 'yaml'
import { attempt } from './transcript.mjs'

const [, , file = ''] = process.argv
const client = new pg.Client({ ssl: false })
await client.connect()
/** Without what differs between two databases of one server. */
const cell = (value) => {
  if (value === process.env.PGDATABASE) return 'the database'
  return /^\d{5,}$/.test(String(value)) ? 'a number' : value
}
const shown = ({ command, fields = [], rows }) => [
  command,
  fields.map(({ name, dataTypeID }) => [name, dataTypeID < 16384 && dataTypeID]),
  rows.map((row) => row.map(cell)),
]
for (const { from, sql, values } of parse(readFileSync(file, 'utf8')))
  await attempt(from, async () => {
    const found = await client.query({ text: sql, rowMode: 'array', ...(values && { values }) })
    return Array.isArray(found) ? found.map(shown) : shown(found)
  })
await client.end()
