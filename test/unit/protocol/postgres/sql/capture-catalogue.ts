// Makes the fixture: the catalogue rows of PGlite with pgvector and the corpus's tables. Run it by hand with
// `npx vitest run` switched to it, or from a shell: it is no test.

import { writeFileSync } from 'node:fs'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { readCatalogueRows } from '../../../../../src/protocol/postgres/catalogue-load.js'

/** Reads the catalogue of a fresh database made by this SQL. */
export async function capture(
  setup: string,
): Promise<Awaited<ReturnType<typeof readCatalogueRows>>> {
  const database = await PGlite.create({ extensions: { vector } })
  await database.exec(`CREATE EXTENSION vector; ${setup}`)
  const rows = await readCatalogueRows(async (statement) => {
    const result = await database.query<(string | null)[]>(statement, [], { rowMode: 'array' })
    return result.rows
  })
  await database.close()
  return rows
}

/** Writes the rows to a file, one row a line. */
export function save(path: string, rows: Awaited<ReturnType<typeof readCatalogueRows>>): void {
  const parts = Object.entries(rows).map(
    ([name, list]) =>
      `${JSON.stringify(name)}: [\n${list.map((row: readonly (string | null)[]) => JSON.stringify(row)).join(',\n')}\n]`,
  )
  writeFileSync(path, `{\n${parts.join(',\n')}\n}\n`)
}
