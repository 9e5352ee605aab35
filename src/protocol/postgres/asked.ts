// Owns how a read that is limited by bytes is asked for in parts, so that little comes that is thrown away. The client
// sees one answer.

import type { Run } from './run.js'
import { BodyReader, cstr, message } from './wire.js'

/** What one Execute asks the database for, as a part of what the client asks for. */
export interface Asked {
  readonly rows: number
  /** What is left of what the client asks for; 0 for all. */
  readonly of: number
  /** Rows that came for the same message of the client before. */
  readonly before: number
}

/** The part after one that was given in full; undefined where the client asked for no more. */
export function nextPart({ rows: given, of: wanted, before }: Asked, run: Run): Asked | undefined {
  if (wanted === given) return undefined
  const of = wanted === 0 ? 0 : wanted - given
  const rows = run.most(of)
  return rows === undefined ? undefined : { rows, of, before: before + given }
}

/** CommandComplete with the rows of all parts: the database counts those of the last. */
export function wholeTag(bytes: Buffer, asked: Asked | undefined): Buffer {
  if (asked === undefined || asked.before === 0) return bytes
  const tag = new BodyReader(bytes).cstring()
  return message('C', cstr(tag.replace(/\d+$/, (last) => String(Number(last) + asked.before))))
}
