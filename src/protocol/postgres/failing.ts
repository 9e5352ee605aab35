// Owns the messages that stand upstream in place of refused ones: they must fail without effect, so that PostgreSQL itself
// supplies the rollback, the skipping until Sync and the status. Must never make one that could succeed.

import type { Expectation } from './expectation.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

/** A text that no grammar accepts. */
export const REFUSED_TEXT = 'vgate refused this statement'

/** The kinds of messages that are refused; Describe and Close of statements and of portals. */
export type RefusedForm = 'Q' | 'P' | 'B' | 'E' | 'DS' | 'DP' | 'F'

/**
 * A message that fails, whose error will be exchanged for `reply`. `name` is the one that a Parse would have made; `none` is
 * one that nobody knows.
 */
export function failing(
  form: RefusedForm,
  reply: ErrorReply,
  { name, none }: { readonly name: string; readonly none: string },
): { readonly bytes: Buffer; readonly expectation: Extract<Expectation, { kind: 'refused' }> } {
  const nobody = cstr(none)
  const refused = (bytes: Buffer, codes: readonly string[], simple = false) =>
    ({ bytes, expectation: { kind: 'refused', simple, reply, codes } }) as const
  switch (form) {
    case 'P':
      return refused(message('P', cstr(name), cstr(REFUSED_TEXT), i16(0)), ['42601'])
    case 'B':
      return refused(message('B', cstr(''), nobody, i16(0), i16(0), i16(0)), ['26000'])
    case 'E':
      return refused(message('E', nobody, i32(0)), ['34000'])
    case 'DS':
      return refused(message('D', 'S', nobody), ['26000'])
    case 'DP':
      return refused(message('D', 'P', nobody), ['34000'])
    case 'Q':
      return refused(message('Q', cstr(REFUSED_TEXT)), ['42601'], true)
    case 'F':
      return refused(message('F', i32(0), i16(0), i16(0), i16(0)), ['42883', '25P02'], true)
  }
}
