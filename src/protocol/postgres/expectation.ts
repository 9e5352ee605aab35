// Owns the shapes of what the database must answer: one for each message that was sent to it.

import type { Asked } from './asked.js'
import type { NameChanges, Portal, Prepared } from './objects.js'
import type { GuardReplies } from './proved.js'
import type { Run } from './run.js'
import type { StatementEffects } from './statement.js'
import type { Step } from './step.js'
import type { ErrorReply } from './wire.js'

/** What the database must answer next. `swallow`: the client did not ask, so it is not told. */
export type Expectation =
  | {
      readonly kind: 'parse' | 'bind' | 'close'
      readonly changes: NameChanges
      readonly swallow: boolean
      readonly run?: Run
    }
  | {
      readonly kind: 'describe'
      readonly prepared?: Prepared
      readonly portal?: Portal
      readonly swallow: boolean
      parameters: boolean
    }
  | {
      readonly kind: 'execute'
      readonly portal: Portal
      readonly run: Run | undefined
      readonly changes: NameChanges
      readonly limited: boolean
      /** Of a limited one. */
      readonly asked?: Asked
      readonly copy: StatementEffects['copy']
    }
  | {
      readonly kind: 'query'
      readonly runs: readonly Run[]
      readonly steps: readonly Step[]
      at: number
      failed: boolean
      /** The run that went past its limit: nothing more of the message is given. */
      exceeded?: Run
      /** ENDER stands behind it. */
      readonly ended?: true
      /** Its CommandComplete, until that of ENDER says that it is committed. */
      held?: Buffer | undefined
      /** More of the same message follows: called in place of telling the client that this part is done. */
      readonly next?: () => void
      /** Called where an error takes the rest with it. */
      readonly drop?: () => void
    }
  | {
      readonly kind: 'refused'
      readonly simple: boolean
      readonly reply: ErrorReply
      readonly codes: readonly string[]
    }
  | GuardReplies
  /** `own`: behind a Sync that the client knows nothing of. */
  | { readonly kind: 'ready'; readonly sync: boolean; readonly own?: true }
