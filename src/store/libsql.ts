// Owns the embedded database file: opening, pragmas, migrations. It must never hand a driver's error to a caller.

import { Kysely, SqliteDialect } from 'kysely'
import Database from 'libsql'
import { claimDirectory, ownedFile } from './directory-lock.js'
import { EMBEDDED, libsqlError, STORE_FILE } from './libsql-errors.js'
import { pendingMigrations, type Tables } from './schema.js'
import type { Run, StoreDatabase } from './store.js'

function prepare(raw: Database.Database): void {
  raw.exec('PRAGMA busy_timeout = 0')
  raw.exec('PRAGMA journal_mode = WAL')
  raw.exec('PRAGMA synchronous = FULL')
  raw.exec('PRAGMA foreign_keys = ON')
}

function migrate(raw: Database.Database): void {
  raw.exec('BEGIN EXCLUSIVE')
  try {
    raw.exec('CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)')
    const row: unknown = raw.prepare('SELECT max(version) AS version FROM schema_version').get()
    const found = (row as { version: number | null } | undefined)?.version ?? 0
    for (const { version, statements } of pendingMigrations(found, EMBEDDED)) {
      for (const statement of statements) raw.exec(statement)
      raw.prepare('INSERT INTO schema_version (version) VALUES (?)').run(version)
    }
    raw.exec('COMMIT')
  } catch (error) {
    raw.exec('ROLLBACK')
    throw error
  }
}

/** Opens the file in `directory` (0600), locks it and brings its tables up to date. Throws VGATE_STORE_UNAVAILABLE. */
export function openLibsql(directory: string): StoreDatabase {
  const held = claimDirectory(directory, EMBEDDED)
  const opened: Database.Database[] = [held]
  try {
    const raw = new Database(ownedFile(directory, STORE_FILE))
    opened.push(raw)
    prepare(raw)
    migrate(raw)
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: raw }) })
    const run: Run = async (query) => {
      try {
        return await query(db)
      } catch (error) {
        throw libsqlError(error)
      }
    }
    const closeAll = () => {
      for (const one of opened.toReversed()) if (one.open) one.close()
    }
    return {
      run,
      // One connection takes one statement after the other: each is alone.
      alone: (_principal, query) => run(query),
      close: () => run(() => db.destroy().then(closeAll)),
    }
  } catch (error) {
    for (const one of opened) one.close()
    throw libsqlError(error)
  }
}
