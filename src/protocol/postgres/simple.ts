// Owns Query and FunctionCall, and what simple and extended requests share on the way to a permit: the rules
// about schema changes, COPY and row limits. Must never send more than the runs that were permitted.

import { createHash } from 'node:crypto'
import type { AdapterContext, JudgeRequest, PreviewQuery } from '../../core/adapter.js'
import type { Obligations } from '../../core/decision.js'
import { isOperation } from '../../core/operation.js'
import { asOneRequest } from '../../core/request-totals.js'
import { AFTER_CHANGE, changesSchema, standingIn } from './existing.js'
import { readQuery } from './frontend.js'
import { type Judging, refusalReply } from './judging.js'
import { ABORTED } from './name-replies.js'
import { namesNow, stepsOf } from './named-objects.js'
import type { Portal } from './objects.js'
import type { Pipeline } from './pipeline.js'
import { Run } from './run.js'
import type { Classification, Parameter, ParsedStatement } from './statement.js'
import type { Step } from './step.js'
import { Tally } from './tally.js'
import { toldWhole, type Whole } from './told.js'
import { unclassified } from './unclassified.js'
import { unenforceable } from './unenforceable.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

export const NOT_UTF8: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '22021',
  message: 'invalid byte sequence for encoding "UTF8"',
}

interface Trouble {
  readonly reason: string
  readonly hint: string
}

/** A parameter as Bind brought it. */
export interface BoundParameter {
  readonly type: number
  readonly format: number
  readonly value: Buffer | null
}

type Judged = { readonly runs: readonly Run[] } | { readonly reply: ErrorReply }

/** The whole text of a request, with what stands behind its names. */
export function wholeOf(steps: readonly Step[], said: Whole): Whole {
  const behind = steps.flatMap((step) => (step.behind === undefined ? [] : [step.behind()]))
  return toldWhole(behind, said)
}

/** Keys of all statements of one request. */
function mergedKeys(found: readonly Classification[]): Pick<JudgeRequest, 'keys' | 'keyedBy'> {
  const keys: Record<string, string[]> = {}
  const keyedBy: Record<string, string> = {}
  for (const one of found) {
    for (const [collection, values] of Object.entries(one.keys ?? {})) {
      const column = one.keyedBy?.[collection] ?? ''
      // Values of two columns are not the same keys.
      const first = !Object.hasOwn(keys, collection)
      keyedBy[collection] = first || keyedBy[collection] === column ? column : ''
      keys[collection] = [...(keys[collection] ?? []), ...values]
    }
  }
  return Object.keys(keys).length === 0 ? {} : { keys, keyedBy }
}

/** Takes Query and FunctionCall, and judges runs for both protocols. */
export class SimpleQueries {
  readonly #context: AdapterContext
  readonly #pipeline: Pipeline
  readonly #judging: Judging

  constructor(context: AdapterContext, pipeline: Pipeline, judging: Judging) {
    this.#context = context
    this.#pipeline = pipeline
    this.#judging = judging
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
        ruling.verdict === 'deny' ? refusalReply(ruling.refusal) : fallback,
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
        reply ?? (ruling.verdict === 'deny' ? refusalReply(ruling.refusal) : fallback),
      )
    })
  }

  /** Why these statements may not run now because of a schema change that is not committed, or among themselves. */
  ddlTrouble(statements: readonly ParsedStatement[]): Trouble | undefined {
    let changed = this.#pipeline.ddlSince !== undefined
    for (const { effects } of statements) {
      if (changed && !effects.ddl && effects.transaction === undefined) return AFTER_CHANGE
      // Where the object is there, nothing changes: what it is the catalogue tells.
      changed ||= effects.ddl && effects.ifAbsent !== true
    }
    return undefined
  }

  #statements(bytes: Buffer, text: string, statements: readonly ParsedStatement[]): void {
    if (statements.length === 0) {
      this.#forward(bytes, [], [])
      return
    }
    const why = this.ddlTrouble(statements)
    const recorded = statements.map((statement) => statement.text).join(';\n')
    if (why !== undefined) {
      this.#refused(recorded, why.reason, why.hint)
      return
    }
    const came = { values: [], exact: (source: string) => this.exact(source, []) }
    const steps = stepsOf(statements, namesNow(this.#pipeline), came)
    if (steps === 'later') throw new Error('a Query waits until all names are settled')
    if ('reply' in steps) {
      const reply = this.#pipeline.status === 'E' ? ABORTED : steps.reply
      this.#refused(recorded, reply.message, reply.hint ?? '', reply)
      return
    }
    this.prepared(statements, 'simple', (refusal) => {
      if (refusal !== undefined) return this.#pipeline.refuse('Q', refusal)
      this.#run(bytes, text, steps)
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
        then(ruling.verdict === 'deny' ? refusalReply(ruling.refusal) : undefined),
      )
    })
  }

  #run(bytes: Buffer, text: string, steps: readonly Step[]): void {
    const extra = steps.flatMap((step) => step.exact)
    const shown = steps.map(({ statement }) => statement.text).join(';\n')
    const secret = steps.some(({ statement }) => statement.secret)
    const request = {
      form: 'simple',
      text: shown,
      exact: () => this.exact(text, [], extra),
      whole: () => (secret ? { text: shown } : wholeOf(steps, { text })),
    }
    this.judgeRuns(steps, undefined, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('Q', result.reply)
      const [run] = result.runs
      const [step] = steps
      if (run?.limit === undefined || step === undefined || steps.length > 1)
        return this.#forward(this.#sent(bytes, text, steps, result.runs), steps, result.runs)
      this.#limited(text, step, run)
    })
  }

  /**
   * What tells this request from any other: its text, its parameters as they came, the search path, and what the names
   * in it stand for (`extra`).
   */
  exact(
    text: string,
    parameters: readonly BoundParameter[],
    extra: readonly string[] = [],
  ): string {
    const hash = createHash('sha256')
    const add = (part: string | Buffer): void => {
      hash.update(`${Buffer.byteLength(part)}:`).update(part)
    }
    add(text)
    for (const name of this.#judging.path) add(name)
    for (const { type, format, value } of parameters) {
      add(`${type}/${format}/${value === null ? 'null' : 'value'}`)
      add(value ?? '')
    }
    for (const each of extra) add(each)
    return hash.digest('hex')
  }

  /** Classifies, judges and turns a permit into runs; anything else into the reply that refuses. */
  judgeRuns(
    steps: readonly Step[],
    parameters: readonly Parameter[] | undefined,
    request: Pick<JudgeRequest, 'form' | 'text' | 'parameters' | 'exact' | 'whole'>,
    then: (result: Judged) => void,
  ): void {
    const statements = steps.map(({ statement }) => statement)
    this.#judging.classify(statements, parameters, (found) => {
      const operations = asOneRequest(found.map(({ operation }) => operation))
      this.#judging.judge(
        {
          phase: 'execute',
          operations,
          ...request,
          ...mergedKeys(found),
          inTransaction: this.#pipeline.inTransaction,
          preview: () => this.#previews(statements, parameters),
          unchanged: () => this.#judging.stillMeans(statements, parameters, found),
        },
        (ruling, id) => {
          if (ruling.verdict === 'deny') return then({ reply: refusalReply(ruling.refusal) })
          then(this.#permitted(id, steps, found, ruling.obligations, request.form === 'simple'))
        },
      )
    })
  }

  #previews(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
  ): readonly PreviewQuery[] {
    const { catalogue, path } = this.#judging
    return statements.flatMap((one) => one.preview?.(catalogue, path, parameters) ?? [])
  }

  #permitted(
    request: number,
    steps: readonly Step[],
    found: readonly Classification[],
    obligations: readonly Obligations[],
    simple: boolean,
  ): Judged {
    const runs = found.map((one, index) => {
      const { operation } = one
      const obligation = obligations[index]
      // A permit for what was not understood, or without its obligations, is no permit.
      if (!isOperation(operation) || obligation === undefined)
        throw new Error('a permit without obligations')
      return new Run(
        { request, index },
        operation,
        obligation,
        this.#context.masker,
        this.#judging.catalogue,
        one,
        steps[index]?.counted,
      )
    })
    const reply = unenforceable(steps, obligations, simple)
    if (reply === undefined) {
      for (const { opens, reading } of steps) {
        if (opens !== undefined) this.#settleCursor(opens)
        if (reading?.turned === true) reading.portal.turned = true
      }
      return { runs }
    }
    for (const run of runs) {
      this.#pipeline.over(run, { error: { sqlstate: reply.sqlstate, message: reply.message } })
    }
    return { reply }
  }

  /** What a cursor gives stays what it was permitted as, whatever its text means later. */
  #settleCursor(cursor: Portal): void {
    const { catalogue, path } = this.#judging
    const found = cursor.prepared.statement?.classify(catalogue, path, cursor.values)
    cursor.basis = found !== undefined && isOperation(found.operation) ? found : undefined
  }

  /** A permitted run is about to be sent, unless the database skips it after an error meanwhile. */
  opened(run: Run | undefined): void {
    if (run === undefined) return
    if (!this.#pipeline.skipping) {
      this.#pipeline.opened(run)
      return
    }
    this.#pipeline.over(run, {
      error: { sqlstate: '25P02', message: 'skipped after an earlier error' },
    })
  }

  #sent(bytes: Buffer, text: string, steps: readonly Step[], runs: readonly Run[]): Buffer {
    if (runs.every(({ found }) => found.existing === undefined)) return bytes
    const statements = steps.map(({ statement }) => statement)
    return message('Q', cstr(standingIn(text, statements, runs)))
  }

  #forward(bytes: Buffer, steps: readonly Step[], runs: readonly Run[]): void {
    const pipeline = this.#pipeline
    for (const run of runs) this.opened(run)
    if (steps.some(({ statement }, index) => changesSchema(statement, runs[index])))
      pipeline.ddlSince ??= pipeline.segment
    pipeline.send(bytes, { kind: 'query', runs, steps, at: 0, failed: false })
    pipeline.closeSegment()
    if (steps[0]?.statement.effects.copy === 'in') pipeline.copying = 'wait'
  }

  /** A Query with a row limit runs as a portal of one row more, so that the database itself can be made to fail it. */
  #limited(text: string, { statement, binary }: Step, run: Run): void {
    const pipeline = this.#pipeline
    const { limit } = run
    if (limit === undefined) return
    this.opened(run)
    const prepared = { name: '', text, statement, types: [], segment: pipeline.segment }
    const portal: Portal = {
      name: '',
      prepared,
      run,
      parameters: [],
      values: [],
      exact: () => this.exact(text, []),
      whole: () => ({ text }),
      segment: pipeline.segment,
      serial: pipeline.nextSerial(),
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
    const max = Math.min(Math.max(1, limit.rows - run.rowCount + 1), 0x7fffffff)
    pipeline.send(message('E', empty, i32(max)), {
      kind: 'execute',
      portal,
      run,
      changes: {},
      limited: true,
      copy: undefined,
    })
    pipeline.limited = { rewritten: true }
    pipeline.flushUpstream()
  }
}
