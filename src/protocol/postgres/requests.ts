// Owns the client's messages after its login, in order: what is held back, what passes, what is refused in
// form. Simple queries are `simple.ts`'s. Must never forward what has not been ruled on.

import type { AdapterHost } from '../../core/adapter.js'
import { copyData } from './copy-data.js'
import {
  type BindMessage,
  formatAt,
  readBind,
  readExecute,
  readName,
  readParse,
} from './frontend.js'
import { GUARD_PREFIX, namesKey } from './guard-text.js'
import { type Guards, RESERVED } from './guards.js'
import { type Judging, refusalReply, unclassified } from './judging.js'
import { changesOf } from './name-changes.js'
import { FULL, MULTIPLE, missing } from './name-replies.js'
import type { NameTable } from './names.js'
import type { NameChanges, Pipeline, Portal, Prepared, RefusedForm } from './pipeline.js'
import type { Run } from './run.js'
import { NOT_UTF8, type SimpleQueries } from './simple.js'
import type { ParsedStatement } from './statement.js'
import { recordedParameter, toParameter, wholeValue } from './values.js'
import { cstr, type ErrorReply, i32, message, violation } from './wire.js'

/** Takes the client's messages one by one. */
export class Requests {
  readonly #host: AdapterHost
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  readonly #guards: Guards
  readonly #simple: SimpleQueries

  constructor(
    host: AdapterHost,
    pipeline: Pipeline,
    judging: Judging,
    guards: Guards,
    simple: SimpleQueries,
  ) {
    this.#host = host
    this.#pipeline = pipeline
    this.#judging = judging
    this.#guards = guards
    this.#simple = simple
  }

  /** Handles the next message of the queue. False: not yet; ask again when something was answered. */
  take(type: string, bytes: Buffer): boolean {
    const pipeline = this.#pipeline
    if (this.#judging.waiting || this.#guards.waiting || pipeline.recovered) return false
    // What is behind a guard that fails is taken again: nothing of the next segment may have overtaken it.
    if (pipeline.guarding !== undefined && pipeline.guarding < pipeline.segment) return false
    if (pipeline.copying === 'in') {
      if (type === 'X') return this.#terminate(bytes)
      copyData(pipeline, type, bytes)
      return true
    }
    if (pipeline.copying === 'wait' || pipeline.barrier || pipeline.limited !== undefined)
      return false
    if (type === 'X') return this.#terminate(bytes)
    if (type === 'S') {
      pipeline.sync(bytes)
      return true
    }
    // What the database will not look at is not judged either. Copy data outside a copy is ignored, as it does.
    if (pipeline.skipping || 'dcf'.includes(type)) return true
    return this.#dispatch(type, bytes)
  }

  #dispatch(type: string, bytes: Buffer): boolean {
    switch (type) {
      case 'Q':
        return this.#simple.query(bytes)
      case 'F':
        return this.#simple.functionCall()
      case 'P':
        return this.#parse(bytes)
      case 'B':
        return this.#bind(bytes)
      case 'D':
        return this.#describe(bytes)
      case 'E':
        return this.#execute(bytes)
      case 'C':
        return this.#close(bytes)
      case 'H':
        this.#pipeline.flushUpstream()
        return true
      default:
        throw violation(`message type ${JSON.stringify(type)} may not come here`)
    }
  }

  #terminate(bytes: Buffer): true {
    this.#pipeline.sendPlain(bytes)
    this.#pipeline.flushToUpstream()
    this.#host.close()
    return true
  }

  /** A name's meaning, or `later` where an earlier segment has yet to settle it. */
  #find<T extends { readonly segment: number }>(
    table: NameTable<T>,
    name: string,
  ): T | undefined | 'later' {
    const { value, assumedIn } = table.lookup(name)
    const unsettled = (segment: number): boolean =>
      segment < this.#pipeline.segment && segment > this.#pipeline.finished
    return assumedIn !== undefined && unsettled(assumedIn) ? 'later' : value
  }

  #findPortal(name: string): Portal | undefined | 'later' {
    const { segment, finished } = this.#pipeline
    const found = this.#find(this.#pipeline.portals, name)
    // The end of its segment may end the transaction and with it the portal.
    const unsettled =
      found !== undefined &&
      found !== 'later' &&
      found.segment < segment &&
      found.segment > finished
    return unsettled ? 'later' : found
  }

  #refused(
    form: RefusedForm,
    text: string,
    why: string,
    options: { reply?: ErrorReply; hint?: string; name?: string },
  ): void {
    const operation = unclassified(text, why, options.hint, options.reply)
    const request = { phase: 'prepare', operations: [operation], text, form: 'extended' } as const
    this.#judging.judge(request, (ruling) => {
      const fallback: ErrorReply = { severity: 'ERROR', sqlstate: '42501', message: why }
      const given = ruling.verdict === 'deny' ? refusalReply(ruling.refusal) : fallback
      this.#pipeline.refuse(form, options.reply ?? given, options.name)
    })
  }

  #parse(bytes: Buffer): boolean {
    if (this.#pipeline.ddlUnsettled) return false
    const { name, text, types } = readParse(bytes)
    if (text === undefined) {
      this.#refused('P', '', 'the statement is not UTF-8', { reply: NOT_UTF8, name })
      return true
    }
    const unnameable = name.startsWith(GUARD_PREFIX) ? RESERVED : FULL
    if (unnameable === RESERVED || (name !== '' && this.#pipeline.statements.full)) {
      this.#pipeline.refuse('P', unnameable, name)
      return true
    }
    this.#judging.parse(text, (outcome) => {
      if (!('ok' in outcome)) return this.#refused('P', outcome.text, outcome.reason, { name })
      if (!outcome.ok) {
        const { message: syntax, position } = outcome
        const reply: ErrorReply = {
          severity: 'ERROR',
          sqlstate: '42601',
          message: syntax,
          position,
        }
        return this.#refused('P', outcome.text, outcome.reason, { reply, name })
      }
      const [statement, second] = outcome.statements
      if (second !== undefined) {
        const all = outcome.statements.map((each) => each.text).join(';\n')
        return this.#refused('P', all, MULTIPLE.message, { reply: MULTIPLE, name })
      }
      const prepared: Prepared = { name, text, statement, types, segment: this.#pipeline.segment }
      if (statement === undefined) return this.#forwardParse(bytes, prepared)
      this.#judgeParse(bytes, prepared, statement)
    })
    return true
  }

  #judgeParse(bytes: Buffer, prepared: Prepared, statement: ParsedStatement): void {
    const why = this.#simple.ddlTrouble([statement])
    if (why !== undefined) {
      this.#refused('P', statement.text, why.reason, { hint: why.hint, name: prepared.name })
      return
    }
    this.#judging.classify([statement], undefined, ([found]) => {
      if (found === undefined) throw new Error('one classification for one statement')
      const request = {
        phase: 'prepare',
        operations: [found.operation],
        text: statement.text,
        form: 'extended',
      } as const
      this.#judging.judge(request, (ruling) => {
        if (ruling.verdict === 'deny') {
          return this.#pipeline.refuse('P', refusalReply(ruling.refusal), prepared.name)
        }
        prepared.names = namesKey(found.uses)
        this.#forwardParse(bytes, prepared)
      })
    })
  }

  #forwardParse(bytes: Buffer, prepared: Prepared): void {
    const changes: NameChanges = { statements: [{ name: prepared.name, value: prepared }] }
    this.#pipeline.send(bytes, { kind: 'parse', changes, swallow: false })
  }

  #bind(bytes: Buffer): boolean {
    if (this.#pipeline.ddlUnsettled) return false
    const bind = readBind(bytes)
    const prepared = this.#find(this.#pipeline.statements, bind.statement)
    if (prepared === 'later') return false
    if (prepared === undefined) this.#pipeline.refuse('B', missing('S', bind.statement))
    else if (bind.portal.startsWith(GUARD_PREFIX)) this.#pipeline.refuse('B', RESERVED)
    else if (bind.portal !== '' && this.#pipeline.portals.full) this.#pipeline.refuse('B', FULL)
    else if (prepared.statement === undefined)
      this.#forwardBind(bytes, bind.portal, prepared, undefined, {
        recorded: [],
        values: [],
        exact: () => '',
        whole: () => ({ text: '' }),
      })
    else this.#judgeBind(bytes, bind, prepared, prepared.statement)
    return true
  }

  #judgeBind(
    bytes: Buffer,
    bind: BindMessage,
    prepared: Prepared,
    statement: ParsedStatement,
  ): void {
    const why = this.#simple.ddlTrouble([statement])
    if (why !== undefined) {
      this.#refused('B', statement.text, why.reason, { hint: why.hint })
      return
    }
    const typed = bind.values.map((value, index) => ({
      value,
      type: prepared.types[index] ?? 0,
      format: formatAt(bind.formats, index),
    }))
    const parameters = typed.map(({ value, type, format }) => toParameter(type, format, value))
    const { catalogue } = this.#judging
    const recorded = typed.map(({ value, type, format }) =>
      recordedParameter(type, catalogue.isVectorType(type), format, value),
    )
    const exact = (): string => this.#simple.exact(prepared.text, typed)
    const whole: Portal['whole'] = () => ({
      text: statement.secret === true ? statement.text : prepared.text,
      parameters: typed.map(({ value, type, format }) =>
        wholeValue(type, catalogue.isVectorType(type), format, value),
      ),
    })
    const request = { form: 'extended', parameters: recorded, text: statement.text, exact, whole }
    this.#simple.judgeRuns([statement], parameters, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('B', result.reply)
      this.#guards.front(result.uses)
      this.#guards.plan(prepared, result.uses)
      const given = { recorded, values: parameters, exact, whole }
      this.#forwardBind(bytes, bind.portal, prepared, result.runs[0], given)
    })
  }

  #forwardBind(
    bytes: Buffer,
    name: string,
    prepared: Prepared,
    run: Run | undefined,
    given: Pick<Portal, 'values' | 'exact' | 'whole'> & { readonly recorded: Portal['parameters'] },
  ): void {
    const { recorded, ...kept } = given
    const portal: Portal = {
      name,
      prepared,
      run,
      parameters: recorded,
      ...kept,
      segment: this.#pipeline.segment,
      describing: false,
      completed: false,
    }
    const changes: NameChanges = { portals: [{ name, value: portal }] }
    this.#simple.opened(run)
    this.#pipeline.send(bytes, {
      kind: 'bind',
      changes,
      swallow: false,
      ...(run === undefined ? {} : { run }),
    })
  }

  #describe(bytes: Buffer): boolean {
    const { what, name } = readName(bytes)
    if (what === 'S') {
      const prepared = this.#find(this.#pipeline.statements, name)
      if (prepared === 'later') return false
      if (prepared === undefined) this.#pipeline.refuse('DS', missing('S', name))
      else
        this.#pipeline.send(bytes, {
          kind: 'describe',
          prepared,
          swallow: false,
          parameters: false,
        })
      return true
    }
    const portal = this.#findPortal(name)
    if (portal === 'later') return false
    if (portal === undefined) this.#pipeline.refuse('DP', missing('P', name))
    else {
      portal.describing = true
      this.#pipeline.send(bytes, { kind: 'describe', portal, swallow: false, parameters: false })
    }
    return true
  }

  #close(bytes: Buffer): boolean {
    const { what, name } = readName(bytes)
    if (name.startsWith(GUARD_PREFIX)) {
      this.#pipeline.refuse('DS', RESERVED)
      return true
    }
    const changes: NameChanges =
      what === 'S'
        ? { statements: [{ name, value: undefined }] }
        : { portals: [{ name, value: undefined }] }
    this.#pipeline.send(bytes, { kind: 'close', changes, swallow: false })
    return true
  }

  #execute(bytes: Buffer): boolean {
    const { portal: name, max } = readExecute(bytes)
    const portal = this.#findPortal(name)
    if (portal === 'later' || this.#pipeline.ddlUnsettled) return false
    if (portal === undefined) this.#pipeline.refuse('E', missing('P', name))
    else if (!portal.completed && portal.run?.finished !== true)
      this.#forwardExecute(bytes, portal, max)
    else this.#executeAgain(bytes, portal, max)
    return true
  }

  /** A portal whose run is over (completed, or ended by an error that the portal outlives): what it may still do is judged as a new request. */
  #executeAgain(bytes: Buffer, portal: Portal, max: number): void {
    const { statement } = portal.prepared
    if (statement === undefined) {
      this.#forwardExecute(bytes, portal, max)
      return
    }
    const { parameters, exact, whole } = portal
    const request = { form: 'extended', parameters, text: statement.text, exact, whole }
    this.#simple.judgeRuns([statement], portal.values, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('E', result.reply)
      portal.run = result.runs[0]
      portal.completed = false
      portal.describing = false
      this.#simple.opened(portal.run)
      this.#forwardExecute(bytes, portal, max)
    })
  }

  #forwardExecute(bytes: Buffer, portal: Portal, max: number): void {
    const pipeline = this.#pipeline
    if (pipeline.skipping) return
    const { run } = portal
    const effects = portal.prepared.statement?.effects
    if (run !== undefined && !portal.describing) {
      portal.describing = true
      const describe = message('D', 'P', cstr(portal.name))
      pipeline.send(describe, { kind: 'describe', portal, swallow: true, parameters: false })
    }
    if (effects?.ddl === true) pipeline.ddlSince ??= pipeline.segment
    if (portal.prepared.statement !== undefined) this.#guards.passing(portal.prepared.statement)
    const sent = run?.most(max)
    const limited = sent !== undefined
    const changes = changesOf(portal, pipeline)
    pipeline.send(limited ? message('E', cstr(portal.name), i32(sent)) : bytes, {
      kind: 'execute',
      portal,
      run,
      changes,
      limited,
      copy: effects?.copy,
    })
    if (effects?.copy === 'in') pipeline.copying = 'wait'
    if (limited) pipeline.limited = { rewritten: false }
    if (limited || effects?.copy === 'in') pipeline.flushUpstream()
  }
}
