// Owns Query and FunctionCall, and what simple and extended requests share on the way to a permit: the rules
// about schema changes, COPY and row limits. Must never send more than the runs that were permitted.

import { createHash } from 'node:crypto'
import type { AdapterContext, JudgeRequest, PreviewQuery } from '../../core/adapter.js'
import type { Obligations } from '../../core/decision.js'
import { isOperation } from '../../core/operation.js'
import { asOneRequest } from '../../core/request-totals.js'
import { unenforceable, unguardable } from './enforceable.js'
import { readQuery } from './frontend.js'
import { usesOf } from './guard-text.js'
import { type Guards, UNSETTLED } from './guards.js'
import { type Judging, refusalReply, unclassified } from './judging.js'
import type { Pipeline, Portal } from './pipeline.js'
import { Run } from './run.js'
import type { CatalogueUses, Classification, Parameter, ParsedStatement } from './statement.js'
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

/** A permit, and what it hangs on; or what refuses. */
export type Judged =
  | { readonly runs: readonly Run[]; readonly uses: CatalogueUses | undefined }
  | { readonly reply: ErrorReply }

interface Found {
  readonly found: readonly Classification[]
  uses: CatalogueUses | undefined
}

/** How often a statement is judged anew because its definitions change meanwhile. */
const TRIES = 5

/** Keys of all statements of one request. */
function mergedKeys(found: readonly Classification[]): Pick<JudgeRequest, 'keys'> {
  const keys: Record<string, string[]> = {}
  for (const one of found) {
    for (const [collection, values] of Object.entries(one.keys ?? {})) {
      keys[collection] = [...(keys[collection] ?? []), ...values]
    }
  }
  return Object.keys(keys).length === 0 ? {} : { keys }
}

/** Takes Query and FunctionCall, and judges runs for both protocols. */
export class SimpleQueries {
  readonly #context: AdapterContext
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  readonly #guards: Guards

  constructor(context: AdapterContext, pipeline: Pipeline, judging: Judging, guards: Guards) {
    this.#context = context
    this.#pipeline = pipeline
    this.#judging = judging
    this.#guards = guards
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
      if (changed && !effects.ddl && effects.transaction === undefined) {
        return {
          reason: 'not supported yet: a statement after a schema change in the same transaction',
          hint: 'commit first',
        }
      }
      changed ||= effects.ddl
    }
    return undefined
  }

  #statements(bytes: Buffer, text: string, statements: readonly ParsedStatement[]): void {
    if (statements.length === 0) {
      this.#forward(bytes, [], { runs: [], uses: undefined })
      return
    }
    const why = this.ddlTrouble(statements)
    const recorded = statements.map((statement) => statement.text).join(';\n')
    if (why !== undefined) {
      this.#refused(recorded, why.reason, why.hint)
      return
    }
    const secret = statements.some((statement) => statement.secret)
    this.judgeRuns(
      statements,
      undefined,
      {
        form: 'simple',
        text: recorded,
        exact: () => this.exact(text, []),
        whole: () => ({ text: secret ? recorded : text }),
      },
      (result) => {
        if ('reply' in result) return this.#pipeline.refuse('Q', result.reply)
        const [run] = result.runs
        if (run?.limit === undefined || statements.length > 1)
          return this.#forward(bytes, statements, result)
        this.#guards.front(result.uses)
        this.#limited(text, statements[0], run)
      },
    )
  }

  /** What tells this request from any other: its text, its parameters as they came, and the search path. */
  exact(text: string, parameters: readonly BoundParameter[]): string {
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
    return hash.digest('hex')
  }

  /** Classifies, judges and turns a permit into runs; anything else into the reply that refuses. */
  judgeRuns(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
    request: Pick<JudgeRequest, 'form' | 'text' | 'parameters' | 'exact' | 'whole'>,
    then: (result: Judged) => void,
    tries = TRIES,
  ): void {
    // What can have no guard in front of it is judged with a catalogue of this moment.
    const alone = statements.some(({ effects }) => effects.alone === true)
    if (alone) this.#pipeline.catalogueStale = true
    this.#judging.classify(statements, parameters, (found) => {
      const uses = alone ? undefined : usesOf(found)
      const trouble = unguardable(statements, found)
      if (trouble !== undefined) return then({ reply: trouble })
      this.#guards.secure(
        uses,
        (reloaded) => this.#judging.reload(reloaded),
        (secured) => {
          if (secured === 'same')
            return this.#judgeFound(statements, parameters, { found, uses }, request, then)
          if (secured !== 'changed') return then(secured)
          if (tries === 0) return then({ reply: UNSETTLED })
          this.#judging.reload(() =>
            this.judgeRuns(statements, parameters, request, then, tries - 1),
          )
        },
      )
    })
  }

  #judgeFound(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
    judged: Found,
    request: Pick<JudgeRequest, 'form' | 'text' | 'parameters' | 'exact' | 'whole'>,
    then: (result: Judged) => void,
  ): void {
    const { found } = judged
    const simple = request.form === 'simple'
    this.#judging.judge(
      {
        phase: 'execute',
        operations: asOneRequest(found.map(({ operation }) => operation)),
        ...request,
        ...mergedKeys(found),
        inTransaction: this.#pipeline.inTransaction,
        preview: () => this.#previews(statements, parameters),
        unchanged: () =>
          this.#judging.stillMeans(statements, parameters, found, (now, then) =>
            this.#proveAgain(judged, now, then),
          ),
      },
      (ruling, id) => {
        if (ruling.verdict === 'deny') return then({ reply: refusalReply(ruling.refusal) })
        then(this.#permitted(id, statements, judged, ruling.obligations, simple))
      },
    )
  }

  /** After a wait: what it uses may be defined otherwise by now, as long as that means the same. */
  #proveAgain(
    judged: Found,
    now: readonly Classification[],
    then: (proved: boolean) => void,
  ): void {
    if (judged.uses !== undefined) judged.uses = usesOf(now)
    this.#guards.prove(judged.uses, (same) => this.#judging.reload(same), then)
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
    statements: readonly ParsedStatement[],
    { found, uses }: Found,
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
      )
    })
    const reply = unenforceable(statements, obligations, simple)
    if (reply === undefined) return { runs, uses }
    for (const run of runs) {
      this.#pipeline.over(run, { error: { sqlstate: reply.sqlstate, message: reply.message } })
    }
    return { reply }
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

  #forward(
    bytes: Buffer,
    statements: readonly ParsedStatement[],
    { runs, uses }: Extract<Judged, { readonly runs: readonly Run[] }>,
  ): void {
    const pipeline = this.#pipeline
    this.#guards.front(uses)
    for (const run of runs) this.opened(run)
    if (statements.some(({ effects }) => effects.ddl)) pipeline.ddlSince ??= pipeline.segment
    for (const statement of statements) this.#guards.passing(statement)
    pipeline.send(bytes, { kind: 'query', runs, statements, at: 0, failed: false })
    pipeline.closeSegment()
    if (statements[0]?.effects.copy === 'in') pipeline.copying = 'wait'
  }

  /** A Query with a row limit runs as a portal of one row more, so that the database itself can be made to fail it. */
  #limited(text: string, statement: ParsedStatement | undefined, run: Run): void {
    const pipeline = this.#pipeline
    const { limit } = run
    if (statement === undefined || limit === undefined) return
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
      describing: true,
      completed: false,
    }
    // The unnamed names belong to nobody afterwards, as after any Query.
    const statements = [{ name: '', value: undefined }]
    const portals = [{ name: '', value: undefined }]
    const empty = cstr('')
    pipeline.send(message('P', empty, cstr(text), i16(0)), {
      kind: 'parse',
      changes: { statements },
      swallow: true,
    })
    pipeline.send(message('B', empty, empty, i16(0), i16(0), i16(0)), {
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
    const max = Math.min(limit.rows + 1, 0x7fffffff)
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
