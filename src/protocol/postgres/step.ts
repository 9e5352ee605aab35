// Owns the shape of a statement at its place in a session: what it is there, and what becomes of the session's names.

import type { Reading } from './cursor-reads.js'
import type { NameChanges, Portal, Prepared } from './objects.js'
import type { Parameter, ParsedStatement } from './statement.js'
import type { Tally } from './tally.js'
import type { Whole } from './told.js'

/** A statement at its place, ready to be judged. */
export interface Step {
  readonly statement: ParsedStatement
  /** What becomes of names when it has run. */
  readonly changes: NameChanges
  /** The object that its name stands for. */
  readonly target?: Prepared | Portal
  /** The cursor that it opens. */
  readonly opens?: Portal
  /** What it does with a portal that it reads. */
  readonly reading?: Reading
  /** The portal that its rows count for, and how many may come, asked when it is sent. */
  readonly counted?: { readonly tally: Tally; readonly promise: () => number }
  /** What its request is, beyond its own text. */
  readonly exact: readonly string[]
  /** The text behind its name, with nothing left out but secrets. */
  readonly behind?: () => Whole
  /** Its rows come in binary although nobody asks for it. */
  readonly binary?: boolean
}

/** How a statement came. */
export interface Came {
  readonly values: readonly Parameter[]
  readonly exact: (text: string) => string
  /** Its parameters with nothing left out. */
  readonly parameters?: () => Whole['parameters']
}
