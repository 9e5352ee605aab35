// Owns what the client is told about the names of its statements and portals, in PostgreSQL's own words and codes.

import type { ErrorReply } from './wire.js'

/** A statement (`S`) or portal (`P`) of that name does not exist. */
export const missing = (what: 'S' | 'P', name: string): ErrorReply =>
  what === 'S'
    ? {
        severity: 'ERROR',
        sqlstate: '26000',
        message: `prepared statement "${name}" does not exist`,
      }
    : { severity: 'ERROR', sqlstate: '34000', message: `portal "${name}" does not exist` }

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
