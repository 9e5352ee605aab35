// Owns the tour's second part: what alice may not do is refused, in the form of PostgreSQL, and her work goes on.

import type { Answer } from './tour-connection.js'
import type { TourState } from './tour-state.js'
import { type Check, check, type Played, type Step } from './tour-step.js'

/** What PostgreSQL’s own client would print. */
export const shownOf = ({ error, tag }: Answer): string[] =>
  error === undefined
    ? [tag]
    : [
        `ERROR ${error.code}: ${error.message}`,
        ...(error.hint === '' ? [] : [`HINT: ${error.hint}`]),
      ]

/** The check that it was refused as PostgreSQL refuses. */
export const refused = (answer: Answer): Check =>
  check('an error 42501', answer.error?.code === '42501', answer.error ?? answer.tag)

async function salaries(state: TourState): Promise<Played> {
  const answer = await state.alice.query('SELECT * FROM salaries')
  const words = `${answer.error?.message} ${answer.error?.hint}`
  const next = await state.alice.query('SELECT id, author FROM notes ORDER BY id LIMIT 10')
  return {
    shown: [...shownOf(answer), `and the connection goes on: ${next.rows.length} notes`],
    checks: [
      refused(answer),
      check(
        'the table and the default deny named',
        words.includes('salaries') && words.includes('default deny'),
        words,
      ),
      check('whom to ask', words.includes('data-owners'), words),
      check('the next query to work', next.rows.length === 3, next.error ?? next.rows),
    ],
  }
}

async function deletion(state: TourState): Promise<Played> {
  const answer = await state.alice.query('DELETE FROM notes')
  const left = await state.direct('SELECT count(*)::int AS n FROM notes')
  return {
    shown: [...shownOf(answer), `notes left in the database: ${String(left[0]?.['n'])}`],
    checks: [refused(answer), check('all three notes still there', left[0]?.['n'] === 3, left)],
  }
}

async function transaction(state: TourState): Promise<Played> {
  const begun = await state.alice.query('BEGIN')
  const answer = await state.alice.query('DELETE FROM notes WHERE id = 1')
  const aborted = await state.alice.query('SELECT id FROM notes LIMIT 1')
  const ended = await state.alice.query('ROLLBACK')
  const next = await state.alice.query('SELECT id FROM notes ORDER BY id LIMIT 10')
  return {
    shown: [
      ...shownOf(answer),
      ...shownOf(aborted),
      `${ended.tag}, and ${next.rows.length} notes are read`,
    ],
    checks: [
      check('BEGIN to work', begun.error === undefined, begun.error),
      refused(answer),
      check(
        '25P02 until the transaction ends',
        aborted.error?.code === '25P02',
        aborted.error ?? aborted.rows,
      ),
      check('ROLLBACK to work', ended.error === undefined, ended.error),
      check('three notes afterwards', next.rows.length === 3, next.error ?? next.rows),
    ],
  }
}

export const refusalSteps: readonly Step[] = [
  {
    name: 'default deny',
    caption: 'A table that none of her roles names is refused, and the refusal says whom to ask.',
    typed: ['SELECT * FROM salaries'],
    play: salaries,
  },
  {
    name: 'delete',
    caption: 'So is a delete: her role reads.',
    typed: ['DELETE FROM notes'],
    play: deletion,
  },
  {
    name: 'transaction',
    caption:
      'Inside a transaction a refusal does what a server’s error does: the transaction fails, ROLLBACK ends it.',
    typed: ['BEGIN', 'DELETE FROM notes WHERE id = 1', 'SELECT id FROM notes LIMIT 1', 'ROLLBACK'],
    play: transaction,
  },
]
