// Owns Query and FunctionCall, and the rule about schema changes for both protocols. Must never send more than the
// runs that were permitted.

import { changesSchema, standingIn } from './existing.js'
import type { Expectation } from './expectation.js'
import { readQuery } from './frontend.js'
import { type Guards, UNSETTLED } from './guards.js'
import type { Judging } from './judging.js'
import { ABORTED } from './name-replies.js'
import { namesNow, stepsOf } from './named-objects.js'
import type { Portal } from './objects.js'
import { type Judged, type Permits, wholeOf } from './permits.js'
import type { Pipeline } from './pipeline.js'
import { partsOf, type QueryPart } from './query-parts.js'
import type { Run } from './run.js'
import type { ParsedStatement } from './statement.js'
import type { Step } from './step.js'
import { Tally } from './tally.js'
import { unclassified } from './unclassified.js'
import { notSupported } from './unenforceable.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

export const NOT_UTF8: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '22021',
  message: 'invalid byte sequence for encoding "UTF8"',
}

/**
 * Whether a server of this version does not end the transaction of a lone statement in a Query where anything was
 * executed in front of it. PostgreSQL 18 takes it for a part of a pipeline, whose Sync then leaves the transaction
 * behind: the next statement fails with `unexpected state STARTED` (seen with 18.4; 17.10 does neither).
 */
export function keepsPipelinesOpen(version: string | undefined): boolean {
  return !(Number.parseInt(version ?? '', 10) < 18)
}

/**
 * Stands behind a lone statement whose transaction PostgreSQL 18 would not end (`keepsPipelinesOpen`): it ends that of
 * several. Does nothing, in any transaction and on any server; nobody listens on such a channel.
 */
const ENDER = Buffer.from('\n;UNLISTEN "vgate_nothing"\0')

/** A Query with ENDER behind its text; a comment that ends the text ends with its line. */
function withEnder(query: Buffer): Buffer {
  return message('Q', query.subarray(5, -1), ENDER)
}

/** Takes Query and FunctionCall. */
export class SimpleQueries {
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  readonly #guards: Guards
  readonly #permits: Permits

  constructor(pipeline: Pipeline, judging: Judging, guards: Guards, permits: Permits) {
    this.#pipeline = pipeline
    this.#judging = judging
    this.#guards = guards
    this.#permits = permits
  }

  /** A Query waits until all before it is answered: its own answer tells what the session is then. */
  query(bytes: Buffer): boolean {
    if (!this.#settled()) return false
    const text = readQuery(bytes)
    if (text === undefined) {
      this.#refused('', 'the statement is not UTF-8', '', NOT_UTF8)
      return true
    }
    this.#judging.parse(text, (outcome) => {
      if (!('ok' in outcome)) return this.#refused(outcome.text, outcome.reason, outcome.hint ?? '')
      if (outcome.ok) return this.#statements(bytes, text, outcome.statements)
      const { message: syntax, position } = outcome
      const reply: ErrorReply = { severity: 'ERROR', sqlstate: '42601', message: syntax, position }
      this.#refused(outcome.text, outcome.reason, '', reply)
    })
    return true
  }

  functionCall(): boolean {
    if (!this.#settled()) return false
    const why = 'the function call protocol is refused'
    const operation = unclassified('FunctionCall', why, 'use SELECT function(…)')
    const request = {
      phase: 'execute',
      operations: [operation],
      text: 'FunctionCall',
      form: 'functioncall',
    } as const
    this.#judging.judge(request, (ruling) => {
      const fallback: ErrorReply = { severity: 'ERROR', sqlstate: '42501', message: why }
      this.#pipeline.refuse(
        'F',
        ruling.verdict === 'deny' ? this.#judging.reply(ruling.refusal) : fallback,
      )
    })
    return true
  }

  #settled(): boolean {
    if (this.#pipeline.idle) return true
    this.#pipeline.flushUpstream()
    return false
  }

  #refused(text: string, why: string, hint: string, reply?: ErrorReply): void {
    const operation = unclassified(text, why, hint, reply)
    const request = { phase: 'execute', operations: [operation], text, form: 'simple' } as const
    this.#judging.judge(request, (ruling) => {
      const fallback: ErrorReply = { severity: 'ERROR', sqlstate: '42501', message: why, hint }
      this.#pipeline.refuse(
        'Q',
        reply ?? (ruling.verdict === 'deny' ? this.#judging.reply(ruling.refusal) : fallback),
      )
    })
  }

  #statements(bytes: Buffer, text: string, statements: readonly ParsedStatement[]): void {
    if (statements.length === 0) {
      this.#forward(bytes, [], { runs: [], uses: undefined })
      return
    }
    const recorded = statements.map((statement) => statement.text).join(';\n')
    const came = { values: [], exact: (source: string) => this.#permits.exact(source, []) }
    const steps = stepsOf(statements, namesNow(this.#pipeline), came)
    if (steps === 'later') throw new Error('a Query waits until all names are settled')
    if ('reply' in steps) {
      const reply = this.#pipeline.status === 'E' ? ABORTED : steps.reply
      this.#refused(recorded, reply.message, reply.hint ?? '', reply)
      return
    }
    this.prepared(statements, 'simple', (refusal) => {
      if (refusal !== undefined) return this.#pipeline.refuse('Q', refusal)
      this.#run(bytes, text, statements, steps)
    })
  }

  /** Judges what PREPARE would make, as Parse is: nothing of it runs yet. Answers the reply that refuses. */
  prepared(
    statements: readonly ParsedStatement[],
    form: 'simple' | 'extended',
    then: (refusal: ErrorReply | undefined) => void,
  ): void {
    const made = statements.flatMap(({ named }) => (named?.kind === 'prepare' ? [named.inner] : []))
    if (made.length === 0) return then(undefined)
    this.#judging.classify(made, undefined, (found) => {
      const operations = found.map(({ operation }) => operation)
      const text = made.map((one) => one.text).join(';\n')
      this.#judging.judge({ phase: 'prepare', operations, text, form }, (ruling) =>
        then(ruling.verdict === 'deny' ? this.#judging.reply(ruling.refusal) : undefined),
      )
    })
  }

  #run(
    bytes: Buffer,
    text: string,
    statements: readonly ParsedStatement[],
    steps: readonly Step[],
  ): void {
    const extra = steps.flatMap((step) => step.exact)
    const shown = steps.map(({ statement }) => statement.text).join(';\n')
    const secret = steps.some(({ statement }) => statement.secret)
    const request = {
      form: 'simple',
      text: shown,
      exact: () => this.#permits.exact(text, [], extra),
      whole: () => (secret ? { text: shown } : wholeOf(steps, { text })),
    }
    this.#permits.judgeRuns(steps, undefined, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('Q', result.reply)
      const [run] = result.runs
      const [step] = steps
      const parts = partsOf(text, statements, steps, result.runs)
      if (parts.length > 1) return this.#inParts(parts)
      if (run?.limited !== true || step === undefined || steps.length > 1)
        return this.#forward(this.#sent(bytes, text, steps, result.runs), steps, result)
      this.#guards.front(result.uses)
      this.#limited(text, step, run)
    })
  }

  #forward(
    bytes: Buffer,
    steps: readonly Step[],
    { runs, uses }: Extract<Judged, { readonly runs: readonly Run[] }>,
    more: Pick<Extract<Expectation, { readonly kind: 'query' }>, 'next' | 'drop'> = {},
  ): void {
    const pipeline = this.#pipeline
    this.#guards.front(uses)
    const ended = steps.length === 1 && pipeline.leads
    for (const run of runs) this.#permits.opened(run)
    if (steps.some(({ statement }, index) => changesSchema(statement, runs[index])))
      pipeline.changingSchema()
    for (const { statement } of steps) this.#guards.passing(statement)
    pipeline.executed += 1
    pipeline.send(ended ? withEnder(bytes) : bytes, {
      ...{ kind: 'query', runs, steps, at: 0, failed: false },
      ...(ended ? { ended } : {}),
      ...more,
    })
    pipeline.closeSegment()
    if (steps[0]?.statement.effects.copy === 'in') pipeline.copying = 'wait'
  }

  #sent(bytes: Buffer, text: string, steps: readonly Step[], runs: readonly Run[]): Buffer {
    if (runs.every(({ found }) => found.existing === undefined)) return bytes
    const statements = steps.map(({ statement }) => statement)
    return message('Q', cstr(standingIn(text, statements, runs)))
  }

  /** What a part changes of the schema the judgement of those behind it does not know. */
  #inParts(parts: readonly QueryPart[]): void {
    const changes = ({ steps, runs }: QueryPart): boolean =>
      steps.some(({ statement }, index) => changesSchema(statement, runs[index]))
    if (!parts.slice(0, -1).some(changes)) return this.#forwardParts(parts)
    this.#drop(parts)
    const what = 'a statement behind a schema change in one message'
    this.#pipeline.refuse(
      'Q',
      notSupported(what, 'send what stands behind it as a message of its own'),
    )
  }

  /** Each part is guarded and sent when the one before it is done; the client sees one message. */
  #forwardParts([part, ...rest]: readonly QueryPart[]): void {
    if (part === undefined) return
    const { text, steps, runs } = part
    const uses = this.#permits.usesOf(steps, runs)
    // Proved before it is sent, and not by a guard in front: what is before it has run and must not be taken again.
    this.#guards.prove(uses, (secured) => {
      if (secured === 'same') {
        const drop = (): void => this.#drop(rest)
        const more = rest.length === 0 ? {} : { next: () => this.#forwardParts(rest), drop }
        return this.#forward(message('Q', cstr(text)), steps, { runs, uses }, more)
      }
      this.#drop([part, ...rest])
      this.#pipeline.refuse('Q', secured === 'changed' ? UNSETTLED : secured.reply)
    })
  }

  #drop(parts: readonly QueryPart[]): void {
    const error = { sqlstate: '25P02', message: 'not run: the message ended before it' }
    for (const run of parts.flatMap(({ runs }) => runs)) this.#pipeline.over(run, { error })
  }

  /** A Query with a limit runs as a portal of no more than proves it, so that the database itself can be made to fail it. */
  #limited(text: string, { statement, binary }: Step, run: Run): void {
    const pipeline = this.#pipeline
    this.#permits.opened(run)
    const prepared = { name: '', text, statement, types: [], segment: pipeline.segment }
    const portal: Portal = {
      name: '',
      prepared,
      run,
      parameters: [],
      values: [],
      exact: () => this.#permits.exact(text, []),
      whole: () => ({ text }),
      segment: pipeline.segment,
      serial: pipeline.nextSerial(),
      executed: pipeline.executed,
      changes: pipeline.changes,
      begun: true,
      describing: true,
      completed: false,
      tally: new Tally(),
      basis: undefined,
      held: 'no',
      turned: false,
    }
    // The unnamed names belong to nobody afterwards, as after any Query.
    const statements = [{ name: '', value: undefined }]
    const portals = [{ name: '', value: undefined }]
    const empty = cstr('')
    const formats = binary === true ? [i16(1), i16(1)] : [i16(0)]
    pipeline.send(message('P', empty, cstr(text), i16(0)), {
      kind: 'parse',
      changes: { statements },
      swallow: true,
    })
    pipeline.send(message('B', empty, empty, i16(0), i16(0), ...formats), {
      kind: 'bind',
      changes: { portals },
      swallow: true,
    })
    pipeline.send(message('D', 'P', empty), {
      kind: 'describe',
      portal,
      swallow: false,
      parameters: false,
    })
    const max = run.most(0) ?? 0x7fffffff
    pipeline.send(message('E', empty, i32(max)), {
      kind: 'execute',
      portal,
      run,
      changes: {},
      limited: true,
      asked: { rows: max, of: 0, before: 0 },
      copy: undefined,
    })
    pipeline.limited = { rewritten: true }
    pipeline.flushUpstream()
  }
}
