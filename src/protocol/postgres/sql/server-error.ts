// Owns which refusals are no matter of policy: names that the database does not have. It answers in PostgreSQL's own
// words, because clients look for them (an ORM asks for a table to learn whether it is there).

import type { ServerError } from '../../../core/operation.js'

const FORMS: readonly {
  readonly reason: RegExp
  readonly error: (name: string, of: string | undefined) => ServerError
}[] = [
  {
    reason: /^unknown relation "(.+)" is not in FROM$/,
    error: (name) => ({
      sqlstate: '42P01',
      message: `missing FROM-clause entry for table "${name}"`,
    }),
  },
  {
    reason: /^unknown relation "(.+)"$/,
    error: (name) => ({ sqlstate: '42P01', message: `relation "${name}" does not exist` }),
  },
  {
    reason: /^unknown column ([^"].*)$/,
    error: (name) => ({ sqlstate: '42703', message: `column ${name} does not exist` }),
  },
  {
    reason: /^unknown column "(.+?)"(?: of "(.+)")?$/,
    error: (name, of) => ({
      sqlstate: '42703',
      message:
        of === undefined
          ? `column "${name}" does not exist`
          : `column "${name}" of relation "${of}" does not exist`,
    }),
  },
]

/** What PostgreSQL would say to a statement that is refused for this reason; undefined where it would have run it. */
export function serverErrorOf(reason: string): ServerError | undefined {
  for (const form of FORMS) {
    const match = form.reason.exec(reason)
    if (match?.[1] !== undefined) return form.error(match[1], match[2])
  }
  return undefined
}
