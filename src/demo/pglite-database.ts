// Owns the demo's database: PGlite with pgvector, its tables and its documents, in memory.

import { z } from 'zod'
import { readDocuments } from './documents.js'
import { vectorLiteral } from './embed.js'
import type { Execute } from './pglite-backend.js'

export interface DemoDatabase {
  readonly execute: Execute
  close(): Promise<void>
}

/** What is used of PGlite. */
interface Pglite {
  exec(text: string): Promise<unknown>
  query(text: string, parameters: readonly unknown[], options: { blob: Blob }): Promise<unknown>
  execProtocolRawStream(
    bytes: Uint8Array,
    options: { syncToFs: boolean; onRawData: (chunk: Uint8Array) => void },
  ): Promise<void>
  close(): Promise<void>
}
interface PgliteClass {
  create(options: { extensions: Readonly<Record<string, unknown>> }): Promise<Pglite>
}

// The packages' own types need the browser's library to compile, so the compiler is not told their names.
const load = (name: string): Promise<unknown> => import(name)
const pgliteModule = z.object({
  PGlite: z.custom<PgliteClass>((value) => typeof value === 'function'),
})
const vectorModule = z.object({ vector: z.unknown() })

/** Copies of the documents in `archive`: enough that an export of it takes a while. */
const ARCHIVED_YEARS = 12

const TABLES = (dimensions: number): string => `
CREATE EXTENSION vector;
CREATE TABLE docs (
  id integer PRIMARY KEY,
  subject text NOT NULL,
  email text NOT NULL,
  body text NOT NULL,
  tags text NOT NULL,
  embedding vector(${dimensions}) NOT NULL
);
CREATE TABLE notes (id integer PRIMARY KEY, author text NOT NULL, body text NOT NULL, written date NOT NULL);
CREATE TABLE salaries (id integer PRIMARY KEY, employee text NOT NULL, email text NOT NULL, yearly integer NOT NULL);
CREATE TABLE labels (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc integer NOT NULL, label text NOT NULL, source text NOT NULL);
CREATE TABLE archive (year integer NOT NULL, doc integer NOT NULL, subject text NOT NULL, body text NOT NULL);
INSERT INTO labels (doc, label, source)
  SELECT 1 + n % 2500, (ARRAY['question', 'news', 'offer'])[1 + n % 3], CASE WHEN n <= 18204 THEN 'model-1' ELSE 'by hand' END
  FROM generate_series(1, 20000) AS n;
INSERT INTO notes VALUES
  (1, 'alice', 'the corpus is public e-mail from 2002; every address in it is invented', '2026-01-12'),
  (2, 'bob', 'ask before deleting: the nightly job writes here too', '2026-02-03'),
  (3, 'carol', 'query vectors come from the small vocabulary', '2026-02-17');
INSERT INTO salaries VALUES
  (1, 'Robin Ashdown', 'robin.ashdown@example.org', 68000),
  (2, 'Noor Fenwick', 'noor.fenwick@example.org', 74500),
  (3, 'Kim Larkin', 'kim.larkin@example.org', 91200);
`

const copyField = (text: string): string =>
  text
    .replaceAll('\\', '\\\\')
    .replaceAll('\t', '\\t')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')

/** Starts it with the documents loaded and the HNSW index built (a few seconds). */
export async function openDemoDatabase(): Promise<DemoDatabase> {
  const { PGlite } = pgliteModule.parse({ ...Object(await load('@electric-sql/pglite')) })
  const { vector } = vectorModule.parse({ ...Object(await load('@electric-sql/pglite-pgvector')) })
  const database = await PGlite.create({ extensions: { vector } })
  const documents = readDocuments()
  await database.exec(TABLES(documents[0]?.embedding.length ?? 0))
  const lines = documents.map(({ id, subject, email, body, tags, embedding }) =>
    [String(id), subject, email, body, tags, vectorLiteral(embedding)].map(copyField).join('\t'),
  )
  await database.query("COPY docs FROM '/dev/blob'", [], {
    blob: new Blob([`${lines.join('\n')}\n`]),
  })
  await database.exec(
    `CREATE INDEX docs_embedding ON docs USING hnsw (embedding vector_cosine_ops);
     INSERT INTO archive SELECT year, id, subject, body FROM docs CROSS JOIN generate_series(2003, 2003 + ${ARCHIVED_YEARS} - 1) AS year;
     ANALYZE;`,
  )
  return {
    execute: (bytes, onRawData) =>
      database.execProtocolRawStream(bytes, { syncToFs: false, onRawData }),
    close: () => database.close(),
  }
}
