// Owns what the client is told about the names of its statements and portals, in PostgreSQL's own words and codes.

import type { ErrorReply } from './wire.js'

/** A statement (`S`) or portal (`P`) of that name does not exist; SQL calls a portal a cursor. */
export const missing = (what: 'S' | 'P', name: string, called = 'portal'): ErrorReply =>
  what === 'S'
    ? {
        severity: 'ERROR',
        sqlstate: '26000',
        message: `prepared statement "${name}" does not exist`,
      }
    : { severity: 'ERROR', sqlstate: '34000', message: `${called} "${name}" does not exist` }

/** In a transaction that has failed the database looks at nothing but its end. */
export const ABORTED: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '25P02',
  message: 'current transaction is aborted, commands ignored until end of transaction block',
}

export const MULTIPLE: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '42601',
  message: 'cannot insert multiple commands into a prepared statement',
}

/** The gateway's own limit: a database would go on until its memory ends. */
export const FULL: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '53400',
  message: 'too many prepared statements or portals are open on this connection',
  hint: 'close some (DEALLOCATE, the end of the transaction), or use the unnamed one',
}
