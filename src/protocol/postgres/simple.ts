// Owns Query and FunctionCall, and what simple and extended requests share on the way to a permit: the rules
// about schema changes, COPY and row limits. Must never send more than the runs that were permitted.

import { createHash } from 'node:crypto'
import type { AdapterContext, JudgeRequest, PreviewQuery } from '../../core/adapter.js'
import type { Obligations } from '../../core/decision.js'
import { isOperation } from '../../core/operation.js'
import { asOneRequest } from '../../core/request-totals.js'
import { readQuery } from './frontend.js'
import { type Judging, refusalReply, unclassified } from './judging.js'
import type { Pipeline, Portal } from './pipeline.js'
import { Run } from './run.js'
import { SIZES } from './sizes.js'
import type { Classification, Parameter, ParsedStatement } from './statement.js'
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

const notSupported = (text: string, hint: string): ErrorReply => ({
  severity: 'ERROR',
  sqlstate: '0A000',
  message: `not supported yet: ${text}`,
  hint,
})

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

/** What cannot be carried out although it was permitted. */
function unenforceable(
  statements: readonly ParsedStatement[],
  obligations: readonly Obligations[],
  simple: boolean,
): ErrorReply | undefined {
  for (const [index, statement] of statements.entries()) {
    const { masks, rowLimit } = obligations[index] ?? { masks: [] }
    if (statement.effects.copy === 'out' && (masks.length > 0 || rowLimit !== undefined)) {
      return notSupported('COPY of masked or limited collections', 'use SELECT with a LIMIT')
    }
    if (!simple || rowLimit === undefined) continue
    if (statements.length > 1) {
      return notSupported(
        'a read without a bound among other statements',
        `send it as a statement of its own, or add LIMIT ${rowLimit.rows}`,
      )
    }
    if (!statement.portalReady)
      return notSupported(
        'this read without a bound',
        `add LIMIT ${rowLimit.rows}, or use a plain SELECT`,
      )
  }
  return undefined
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
      this.#forward(bytes, [], [])
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
          return this.#forward(bytes, statements, result.runs)
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
  ): void {
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
          sizes: SIZES,
          unchanged: () => this.#judging.stillMeans(statements, parameters, found),
        },
        (ruling, id) => {
          if (ruling.verdict === 'deny') return then({ reply: refusalReply(ruling.refusal) })
          then(
            this.#permitted(id, statements, found, ruling.obligations, request.form === 'simple'),
          )
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
    statements: readonly ParsedStatement[],
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
      )
    })
    const reply = unenforceable(statements, obligations, simple)
    if (reply === undefined) return { runs }
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

  #forward(bytes: Buffer, statements: readonly ParsedStatement[], runs: readonly Run[]): void {
    const pipeline = this.#pipeline
    for (const run of runs) this.opened(run)
    if (statements.some(({ effects }) => effects.ddl)) pipeline.ddlSince ??= pipeline.segment
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
