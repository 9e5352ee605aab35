// Owns PGlite as a server for tests: the newest PostgreSQL and pgvector that tests have, behind the demo's front.

import { z } from 'zod'
import { startFront } from '../../src/demo/pglite-front.js'

interface Pglite {
  exec(text: string): Promise<unknown>
  query(
    text: string,
    parameters: readonly unknown[],
    options: { rowMode: 'array' },
  ): Promise<{ rows: unknown[][] }>
  execProtocolRawStream(
    bytes: Uint8Array,
    options: { syncToFs: boolean; onRawData: (chunk: Uint8Array) => void },
  ): Promise<void>
  close(): Promise<void>
}

export interface PgliteServer {
  readonly host: string
  readonly port: number
  readonly superuser: string
  readonly password: string
  /** Rows of a query, not through the front. */
  rows(text: string): Promise<unknown[][]>
  stop(): Promise<void>
}

// The packages' own types need the browser's library to compile, so the compiler is not told their names.
const load = (name: string): Promise<unknown> => import(name)

/** A fresh database with pgvector and this SQL. */
export async function startPglite(sql: string): Promise<PgliteServer> {
  const { PGlite } = z
    .object({
      PGlite: z.custom<{ create(options: unknown): Promise<Pglite> }>(
        (value) => typeof value === 'function',
      ),
    })
    .parse({ ...Object(await load('@electric-sql/pglite')) })
  const { vector } = z
    .object({ vector: z.unknown() })
    .parse({ ...Object(await load('@electric-sql/pglite-pgvector')) })
  const database = await PGlite.create({ extensions: { vector } })
  await database.exec(`CREATE EXTENSION vector; ${sql}`)
  const password = 'of a test'
  const front = await startFront(
    (bytes, onRawData) => database.execProtocolRawStream(bytes, { syncToFs: false, onRawData }),
    { username: 'postgres', databaseName: 'postgres', password },
  )
  return {
    host: '127.0.0.1',
    port: front.port,
    superuser: 'postgres',
    password,
    rows: async (text) => (await database.query(text, [], { rowMode: 'array' })).rows,
    stop: async () => {
      await front.close()
      await database.close()
    },
  }
}
