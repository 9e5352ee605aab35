// Owns the shapes of a session's objects: prepared statements and portals, and how a message changes which there are.

import type { JudgeRequest } from '../../core/adapter.js'
import type { NameChange } from './names.js'
import type { Run } from './run.js'
import type { Savepoints } from './savepoints.js'
import type { Classification, Parameter, ParsedStatement } from './statement.js'
import type { Tally } from './tally.js'

/** A statement that the client has parsed. */
export interface Prepared {
  readonly name: string
  readonly text: string
  /** Undefined for an empty query. */
  readonly statement: ParsedStatement | undefined
  /** Type OIDs as Parse gave them, then as ParameterDescription did. */
  types: readonly number[]
  /** What its names meant when it was sent to be planned; absent where nobody knows. */
  names?: string | undefined
  /** Made by PREPARE. */
  readonly sql?: true
  readonly segment: number
}

/** A portal that the client has bound, or declared as a cursor. */
export interface Portal {
  readonly name: string
  readonly prepared: Prepared
  /** Undefined for an empty query. A portal that is run again after its end gets a new one. */
  run: Run | undefined
  /** Parameters as recorded, and as the analysis saw them. */
  readonly parameters: readonly (string | null)[]
  readonly values: readonly Parameter[]
  /** What tells its request from any other. */
  readonly exact: () => string
  readonly whole: NonNullable<JudgeRequest['whole']>
  readonly segment: number
  /** Higher than that of anything made before it. */
  readonly serial: number
  /** `Pipeline.executed` when it was bound. */
  readonly executed: number
  /** `Pipeline.changes` when it was bound. */
  readonly changes: number
  /** An Execute of it has been sent. */
  begun: boolean
  /** A Describe of it has been sent. */
  describing: boolean
  /** Its run is over, or it has none: what it does next is judged. */
  completed: boolean
  /** Rows that it has given, by Execute and by FETCH. */
  readonly tally: Tally
  /** What it was judged to be when it was opened. */
  basis: Classification | undefined
  /** Made by DECLARE. */
  readonly declared?: { readonly binary: boolean }
  /** WITH HOLD: asked for, then `kept` when its transaction has committed. */
  held: 'no' | 'asked' | 'kept'
  /** It may have gone back: rows may come twice. */
  turned: boolean
  /** What the name in its statement stood for when it was bound. */
  readonly target?: Prepared | Portal
}

export interface NameChanges {
  readonly statements?: readonly NameChange<Prepared>[]
  readonly portals?: readonly NameChange<Portal>[]
  /** Of the transaction, under no name. */
  readonly savepoints?: readonly NameChange<Savepoints>[]
}
