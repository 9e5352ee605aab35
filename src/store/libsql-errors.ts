// Owns what people are told when libsql fails. It must never put the driver's text into a message.

import { VgateError } from '../core/errors.js'

/** Name of the file in the data directory. */
export const STORE_FILE = 'vgate.db'
/** What people call it. */
export const EMBEDDED = `the store (${STORE_FILE})`

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

/** A driver's error about `what` as VGATE_STORE_UNAVAILABLE; the driver's text stays in `cause`. */
export function libsqlError(error: unknown, what = EMBEDDED): VgateError {
  if (error instanceof VgateError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  // Extended codes such as SQLITE_IOERR_FSYNC begin with the plain one.
  const plain = Object.keys(CAUSES).find((name) => code === name || code.startsWith(`${name}_`))
  const [happened, hint] = (plain === undefined ? undefined : CAUSES[plain]) ?? [
    'failed',
    'see the log of the gateway',
  ]
  return new VgateError('VGATE_STORE_UNAVAILABLE', `${what} ${happened}`, { hint, cause: error })
}
