// Owns how a Query of several transactions is sent: in parts, because a guard stands in front of a message and holds to
// the end of its transaction. To the client they are one message. Must never send a part behind one that failed.

import type { Run } from './run.js'
import type { ParsedStatement, StatementEffects } from './statement.js'
import type { Step } from './step.js'

/** Up to here the text that stands before a part is kept as blanks, so that places in errors stay what they are. */
const PADDED_CHARACTERS = 64 * 1024

/** Consecutive statements that are sent as one message. */
export interface QueryPart {
  readonly text: string
  readonly steps: readonly Step[]
  readonly runs: readonly Run[]
}

/** Cuts a Query behind what begins or ends a transaction, where anything behind it uses the catalogue. */
export function partsOf(
  text: string,
  statements: readonly ParsedStatement[],
  steps: readonly Step[],
  runs: readonly Run[],
): readonly QueryPart[] {
  const last = steps.findLastIndex(
    ({ statement }, index) =>
      runs[index]?.found.uses !== undefined || statement.named?.kind === 'prepare',
  )
  const cuts = statements.flatMap(({ effects }, index) =>
    index < last && ends(effects) ? [index + 1] : [],
  )
  return [0, ...cuts].map((from, index) => {
    const to = cuts[index] ?? steps.length
    const [start = 0, end = text.length] = [statements[from]?.start, statements[to]?.start]
    return {
      text: `${blanks(text.slice(0, start))}${text.slice(start, end)}`,
      steps: steps.slice(from, to),
      runs: runs.slice(from, to),
    }
  })
}

/** Behind it another snapshot, or other locks, hold. BEGIN alone changes neither. */
function ends({ transaction, modes }: StatementEffects): boolean {
  if (transaction === 'begin') return modes === true
  return transaction !== undefined && transaction !== 'savepoint'
}

function blanks(before: string): string {
  if (before.length > PADDED_CHARACTERS) return ''
  return before.replace(/[\ud800-\udbff][\udc00-\udfff]|[^\n]/g, ' ')
}
