// Owns the refusal of one message of the extended protocol that was not understood: judged, so that it is recorded,
// and answered. Must never let it pass.

import type { RefusedForm } from './failing.js'
import type { Judging } from './judging.js'
import type { Pipeline } from './pipeline.js'
import { unclassified } from './unclassified.js'
import type { ErrorReply } from './wire.js'

/** Refuses in this form. `reply` stands in place of what policy would say. */
export function refuseMessage(
  judging: Judging,
  pipeline: Pipeline,
  form: RefusedForm,
  said: {
    readonly text: string
    readonly why: string
    readonly hint?: string
    readonly reply?: ErrorReply
    readonly name?: string
  },
): void {
  const operation = unclassified(said.text, said.why, said.hint, said.reply)
  const request = {
    phase: 'prepare',
    operations: [operation],
    text: said.text,
    form: 'extended',
  } as const
  judging.judge(request, (ruling) => {
    const fallback: ErrorReply = { severity: 'ERROR', sqlstate: '42501', message: said.why }
    const given = ruling.verdict === 'deny' ? judging.reply(ruling.refusal) : fallback
    pipeline.refuse(form, said.reply ?? given, said.name)
  })
}
