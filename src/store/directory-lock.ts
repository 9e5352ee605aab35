// Owns the lock of a data directory, so that two gateways never share one, wherever their store is.

import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'libsql'
import { VgateError } from '../core/errors.js'
import { hasCode } from '../core/system-error.js'
import { libsqlError } from './libsql-errors.js'

/** Locked while a gateway uses the directory; always empty. */
const LOCK_FILE = 'vgate.lock'

/**
 * Locks a data directory until `close`; `what` is named when another process has it. It is a transaction on a file of
 * its own, by `exec` alone: closing lets it go at once, and so does the death of the process, however it dies.
 * Throws VGATE_STORE_UNAVAILABLE.
 */
export function claimDirectory(directory: string, what: string): Database.Database {
  let held: Database.Database | undefined
  try {
    held = new Database(ownedFile(directory, LOCK_FILE))
    held.exec('PRAGMA busy_timeout = 0')
    held.exec('BEGIN EXCLUSIVE')
    return held
  } catch (error) {
    held?.close()
    throw hasCode(error, 'ENOENT')
      ? new VgateError('VGATE_STORE_UNAVAILABLE', `the data directory ${directory} does not exist`)
      : libsqlError(error, what)
  }
}

/** The path of a file of the directory; made here, so that it never exists with wider rights than 0600. */
export function ownedFile(directory: string, name: string): string {
  const path = join(directory, name)
  if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
  chmodSync(path, 0o600)
  return path
}
