// Owns the full text over sessions: FTS5 on libsql, tsvector on PostgreSQL. A document is a session: the words of its
// statements, and marks, which stand for facts that are filtered by (a collection with an operation and a decision, a
// person, a target), so that any combination is one look into one inverted index. It must never hand a caller's text
// to a query language.

import { createHash } from 'node:crypto'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from './schema.js'

/** What the databases below the store speak differently. */
export type Dialect = 'libsql' | 'postgres'

export interface TextQuery {
  /** Of each of these lists at least one mark. */
  readonly marks: readonly (readonly string[])[]
  /** All of these; each is words in a row, as `wordsOf` gives them. */
  readonly phrases: readonly string[]
}

/** A fact as one word of letters; letters alone, so that every parser takes it as one. */
export function markOf(...fact: readonly (string | null)[]): string {
  const digest = createHash('sha256').update(JSON.stringify(fact)).digest()
  return [...digest.subarray(0, 10)]
    .map((byte) => String.fromCharCode(97 + (byte >> 4), 97 + (byte & 15)))
    .join('')
}

/** Words as both databases index them: letters and digits in lower case without accents, all else is between them. */
export function wordsOf(text: string): string {
  return (
    text
      .normalize('NFKD')
      .replace(/\p{M}/gu, '')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  ).join(' ')
}

/** Makes the table, where it is not there. It is no migration: it is derived, and each database has its own. */
export async function ensureFullText(db: Kysely<Tables>, dialect: Dialect): Promise<void> {
  if (dialect === 'libsql') {
    await sql`CREATE VIRTUAL TABLE IF NOT EXISTS session_text
      USING fts5(words, marks, tokenize = "unicode61 remove_diacritics 0")`.execute(db)
    return
  }
  await sql`CREATE TABLE IF NOT EXISTS session_text (rowid BIGINT PRIMARY KEY, document TSVECTOR NOT NULL)`.execute(
    db,
  )
  await sql`CREATE INDEX IF NOT EXISTS session_text_document ON session_text USING gin (document)`.execute(
    db,
  )
}

/** Puts a session's document in place of the one before. */
export async function putDocument(
  db: Kysely<Tables>,
  dialect: Dialect,
  no: number,
  document: { readonly words: string; readonly marks: readonly string[] },
): Promise<void> {
  await dropDocument(db, no)
  const marks = document.marks.join(' ')
  if (dialect === 'libsql') {
    await sql`INSERT INTO session_text (rowid, words, marks) VALUES (${no}, ${document.words}, ${marks})`.execute(
      db,
    )
    return
  }
  await sql`INSERT INTO session_text (rowid, document) VALUES (CAST(${no} AS BIGINT),
    setweight(to_tsvector('simple', CAST(${marks} AS TEXT)), 'A')
      || to_tsvector('simple', CAST(${document.words} AS TEXT)))`.execute(db)
}

/** Takes a session's document away. */
export async function dropDocument(db: Kysely<Tables>, no: number): Promise<void> {
  await sql`DELETE FROM session_text WHERE rowid = ${no}`.execute(db)
}

/** Numbers of sessions whose documents match, newest first, out of those that `within` selects. */
export async function matchDocuments(
  db: Kysely<Tables>,
  dialect: Dialect,
  query: TextQuery,
  bounds: { readonly from: number; readonly below: number; readonly limit: number },
  within?: RawBuilder<unknown>,
): Promise<number[]> {
  const { from, below, limit } = bounds
  const matches =
    dialect === 'libsql'
      ? sql`session_text MATCH ${libsqlQuery(query)}`
      : sql`document @@ to_tsquery('simple', CAST(${postgresQuery(query)} AS TEXT))`
  // The sign keeps libsql from asking the full text once for each number.
  const chosen = within === undefined ? sql`` : sql`AND +rowid IN (${within})`
  const { rows } = await sql<{ no: number }>`SELECT rowid AS no FROM session_text
    WHERE ${matches} AND rowid >= ${from} AND rowid < ${below} ${chosen}
    ORDER BY rowid DESC LIMIT ${limit}`.execute(db)
  return rows.map((row) => Number(row.no))
}

/** Every word stands in quotation marks and consists of letters and digits: nothing of it can be an operator. */
function libsqlQuery({ marks, phrases }: TextQuery): string {
  return [
    ...marks.map((group) => `(${group.map((mark) => `marks : "${mark}"`).join(' OR ')})`),
    ...phrases.map((phrase) => `words : "${phrase}"`),
  ].join(' AND ')
}

function postgresQuery({ marks, phrases }: TextQuery): string {
  return [
    ...marks.map((group) => `(${group.map((mark) => `'${mark}':A`).join(' | ')})`),
    ...phrases.map((phrase) => {
      const words = phrase.split(' ').map((word) => `'${word}':D`)
      return `(${words.join(' <-> ')})`
    }),
  ].join(' & ')
}
