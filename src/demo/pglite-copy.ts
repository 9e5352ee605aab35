// Owns what keeps PGlite from wedging: it never comes back from COPY FROM STDIN, so such a statement is replaced by one
// that fails in its place. Comments and quoted text are not looked into.

import { type Message, message, query, strings } from './pglite-wire.js'

const COPY_IN = /\bcopy\b[^;]*\bfrom\s+stdin\b/i
const NOISE = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|\$([a-z_]*)\$[\s\S]*?\$\1\$/gi
const COPY_REFUSED =
  "DO $vgate$BEGIN RAISE EXCEPTION 'COPY FROM STDIN is not supported by the demo database' USING ERRCODE = '0A000'; END$vgate$"

/** What really runs in place of this Query or Parse; other messages as they are. */
export function withoutCopyIn(next: Message): Message {
  const words = next.type === 'Q' || next.type === 'P' ? strings(next.payload) : []
  const text = (next.type === 'P' ? words[1] : words[0]) ?? ''
  if (!COPY_IN.test(text.replace(NOISE, ' '))) return next
  const bytes =
    next.type === 'Q'
      ? query(COPY_REFUSED)
      : message('P', words[0] ?? '', COPY_REFUSED, Buffer.alloc(2))
  return { type: next.type, payload: bytes.subarray(5), bytes }
}
