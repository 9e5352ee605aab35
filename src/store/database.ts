// Owns the embedded database file: opening, pragmas, the lock against a second gateway, migrations and the
// translation of its errors. It must never hand a driver's error to a caller.

import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { Kysely, SqliteDialect } from 'kysely'
import Database from 'libsql'
import { VgateError } from '../core/errors.js'
import { MIGRATIONS, type Tables } from './schema.js'

/** Name of the file in the data directory. */
export const STORE_FILE = 'vgate.db'
/** Locked while a gateway uses the directory; always empty. */
const LOCK_FILE = 'vgate.lock'

const CAUSES: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  SQLITE_BUSY: ['is in use by another process', 'one gateway at a time may use a data directory'],
  SQLITE_LOCKED: ['is in use by another process', 'one gateway at a time may use a data directory'],
  SQLITE_FULL: [
    'cannot be written: the disk is full',
    'make room on the disk of the data directory',
  ],
  SQLITE_IOERR: ['cannot be read or written', 'check the disk of the data directory'],
  SQLITE_READONLY: ['cannot be written', 'check who owns the data directory'],
  SQLITE_CANTOPEN: ['cannot be opened', 'check who owns the data directory'],
  SQLITE_CORRUPT: ['is damaged', 'restore vgate.db from a backup'],
  SQLITE_NOTADB: ['is not a database', 'restore vgate.db from a backup'],
}

/** A driver's error as VGATE_STORE_UNAVAILABLE; the driver's text stays in `cause`. */
export function storeError(error: unknown): VgateError {
  if (error instanceof VgateError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  // Extended codes such as SQLITE_IOERR_FSYNC begin with the plain one.
  const plain = Object.keys(CAUSES).find((name) => code === name || code.startsWith(`${name}_`))
  const [what, hint] = (plain === undefined ? undefined : CAUSES[plain]) ?? [
    'failed',
    'see the log of the gateway',
  ]
  return new VgateError('VGATE_STORE_UNAVAILABLE', `the store (${STORE_FILE}) ${what}`, {
    hint,
    cause: error,
  })
}

/**
 * Takes the lock of a data directory, so that two gateways never share one. It is a transaction on a file of its
 * own, by `exec` alone: closing lets it go at once, and so does the death of the process, however it dies.
 */
function lock(directory: string): Database.Database {
  const held = new Database(ownedFile(directory, LOCK_FILE))
  try {
    held.exec('PRAGMA busy_timeout = 0')
    held.exec('BEGIN EXCLUSIVE')
    return held
  } catch (error) {
    held.close()
    throw error
  }
}

/** Made here, so that it never exists with wider rights than 0600. */
function ownedFile(directory: string, name: string): string {
  const path = join(directory, name)
  if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
  chmodSync(path, 0o600)
  return path
}

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
    if (found > MIGRATIONS.length) {
      throw new VgateError(
        'VGATE_STORE_UNAVAILABLE',
        `the store (${STORE_FILE}) was written by a newer vgate (schema ${found}, known ${MIGRATIONS.length})`,
        { hint: 'start the newer version, or another data directory' },
      )
    }
    for (let version = found; version < MIGRATIONS.length; version++) {
      for (const statement of MIGRATIONS[version] ?? []) raw.exec(statement)
      raw.prepare('INSERT INTO schema_version (version) VALUES (?)').run(version + 1)
    }
    raw.exec('COMMIT')
  } catch (error) {
    raw.exec('ROLLBACK')
    throw error
  }
}

export interface OpenDatabase {
  readonly db: Kysely<Tables>
  /** Closes the file and lets the directory go. */
  close(): Promise<void>
}

/** Opens the file in `directory` (0600), locks it and brings its tables up to date. Throws VGATE_STORE_UNAVAILABLE. */
export function openDatabase(directory: string): OpenDatabase {
  const opened: Database.Database[] = []
  try {
    opened.push(lock(directory))
    const raw = new Database(ownedFile(directory, STORE_FILE))
    opened.push(raw)
    prepare(raw)
    migrate(raw)
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: raw }) })
    const closeAll = () => {
      for (const one of opened.toReversed()) if (one.open) one.close()
    }
    return { db, close: () => db.destroy().then(closeAll) }
  } catch (error) {
    for (const one of opened) one.close()
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw missing
      ? new VgateError('VGATE_STORE_UNAVAILABLE', `the data directory ${directory} does not exist`)
      : storeError(error)
  }
}
