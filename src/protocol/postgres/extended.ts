// Owns Parse, Bind, Describe and Close: what the client prepares and binds. Must never forward a Bind that was not
// judged with its values.

import { bindStandIn } from './existing.js'
import type { RefusedForm } from './failing.js'
import { type BindMessage, formatAt, readBind, readName, readParse } from './frontend.js'
import { GUARD_PREFIX } from './guard-text.js'
import { type Guards, RESERVED } from './guards.js'
import type { Judging } from './judging.js'
import { findPortal, findStatement } from './lookups.js'
import { FULL, MULTIPLE, miscounted, missing } from './name-replies.js'
import { namesNow, stepOf } from './named-objects.js'
import type { NameChanges, Portal, Prepared } from './objects.js'
import type { Permits } from './permits.js'
import type { Pipeline } from './pipeline.js'
import { refuseMessage } from './refusing.js'
import type { Run } from './run.js'
import { NOT_UTF8, type SimpleQueries } from './simple.js'
import type { ParsedStatement } from './statement.js'
import { Tally } from './tally.js'
import { recordedParameter, toParameter, wholeValue } from './values.js'
import type { ErrorReply } from './wire.js'

/** Takes the messages of the extended protocol that come before Execute. */
export class ExtendedQueries {
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  readonly #guards: Guards
  readonly #simple: SimpleQueries
  readonly #permits: Permits
  readonly #standIn: string

  /** `standIn` is a name that no client knows. */
  constructor(
    pipeline: Pipeline,
    judging: Judging,
    guards: Guards,
    permits: Permits,
    simple: SimpleQueries,
    standIn: string,
  ) {
    this.#standIn = standIn
    this.#pipeline = pipeline
    this.#judging = judging
    this.#guards = guards
    this.#simple = simple
    this.#permits = permits
  }

  parse(bytes: Buffer): boolean {
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
    if (statement.named !== undefined) return this.#parseNamed(bytes, prepared, statement)
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
          return this.#pipeline.refuse(
            'P',
            this.#judging.replyTo(ruling.refusal, [statement]),
            prepared.name,
          )
        }
        prepared.names = this.#guards.planOf(found.uses)
        this.#forwardParse(bytes, prepared)
      })
    })
  }

  /** Whatever names an object of the session is judged where it runs; only what PREPARE would make is judged here. */
  #parseNamed(bytes: Buffer, prepared: Prepared, statement: ParsedStatement): void {
    this.#simple.prepared([statement], 'extended', (refusal) => {
      if (refusal !== undefined) this.#pipeline.refuse('P', refusal, prepared.name)
      else this.#forwardParse(bytes, prepared)
    })
  }

  #forwardParse(bytes: Buffer, prepared: Prepared): void {
    const changes: NameChanges = { statements: [{ name: prepared.name, value: prepared }] }
    this.#pipeline.send(bytes, { kind: 'parse', changes, swallow: false })
  }

  bind(bytes: Buffer): boolean {
    if (this.#pipeline.ddlUnsettled) return false
    const bind = readBind(bytes)
    const prepared = findStatement(this.#pipeline, bind.statement)
    if (prepared === 'later') return false
    if (prepared === undefined) this.#pipeline.refuse('B', missing('S', bind.statement))
    else if (bind.portal.startsWith(GUARD_PREFIX)) this.#pipeline.refuse('B', RESERVED)
    else if (bind.portal !== '' && this.#pipeline.portals.full) this.#pipeline.refuse('B', FULL)
    else if (prepared.statement === undefined)
      this.#forwardBind(bytes, bind.portal, prepared, undefined, {
        recorded: [],
        values: [],
        exact: () => '',
        tally: new Tally(),
        whole: () => ({ text: '' }),
      })
    else return this.#judgeBind(bytes, bind, prepared, prepared.statement)
    return true
  }

  #judgeBind(
    bytes: Buffer,
    bind: BindMessage,
    prepared: Prepared,
    statement: ParsedStatement,
  ): boolean {
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
    const exact = (): string => this.#permits.exact(prepared.text, typed)
    const whole: Portal['whole'] = () => ({
      text: statement.secret === true ? statement.text : prepared.text,
      parameters: typed.map(({ value, type, format }) =>
        wholeValue(type, catalogue.isVectorType(type), format, value),
      ),
    })
    const tally = new Tally()
    const instead = (): Buffer => bindStandIn(this.#pipeline, this.#standIn, prepared, bind)
    const given = { recorded, values: parameters, exact, whole, tally }
    if (statement.named !== undefined) {
      const step = stepOf(statement, namesNow(this.#pipeline), { values: parameters, exact })
      if (step === 'later') return false
      const target = 'reply' in step ? undefined : step.target
      const bound = target === undefined ? given : { ...given, target }
      this.#forwardBind(bytes, bind.portal, prepared, undefined, bound)
      return true
    }
    const request = { form: 'extended', parameters: recorded, text: statement.text, exact, whole }
    const step = {
      ...(prepared.sql === true ? { target: prepared } : {}),
      ...{ statement, changes: {}, exact: [], counted: { tally, promise: () => 0 } },
    }
    this.#permits.judgeRuns([step], parameters, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('B', result.reply)
      const [run] = result.runs
      const answered = run?.found.existing !== undefined
      const { length } = prepared.types
      // PostgreSQL's own words would name the stand-in.
      if (answered && length !== bind.values.length) {
        this.#pipeline.over(run, { error: { sqlstate: '08P01', message: 'not bound' } })
        return this.#pipeline.refuse('B', miscounted(bind, length))
      }
      this.#guards.front(result.uses)
      const planned = answered ? prepared : this.#guards.plan(prepared, result.uses)
      const sent = answered ? instead() : bytes
      this.#forwardBind(sent, bind.portal, planned, run, given)
    })
    return true
  }

  #forwardBind(
    bytes: Buffer,
    name: string,
    prepared: Prepared,
    run: Run | undefined,
    given: Pick<Portal, 'values' | 'exact' | 'whole' | 'target' | 'tally'> & {
      readonly recorded: Portal['parameters']
    },
  ): void {
    const { recorded, ...kept } = given
    this.#permits.opened(run)
    const portal: Portal = {
      name,
      prepared,
      run,
      parameters: recorded,
      ...kept,
      segment: this.#pipeline.segment,
      serial: this.#pipeline.nextSerial(),
      executed: this.#pipeline.executed,
      changes: this.#pipeline.changes,
      begun: false,
      describing: false,
      completed: prepared.statement?.named !== undefined,
      basis: run?.found,
      held: 'no',
      turned: false,
    }
    const changes: NameChanges = { portals: [{ name, value: portal }] }
    this.#pipeline.send(bytes, {
      kind: 'bind',
      changes,
      swallow: false,
      ...(run === undefined ? {} : { run }),
    })
  }

  describe(bytes: Buffer): boolean {
    const { what, name } = readName(bytes)
    if (what === 'S') {
      const prepared = findStatement(this.#pipeline, name)
      if (prepared === 'later') return false
      if (prepared === undefined) this.#pipeline.refuse('DS', missing('S', name))
      else this.#describeStatement(bytes, prepared)
      return true
    }
    const portal = findPortal(this.#pipeline, name)
    if (portal === 'later') return false
    if (portal === undefined) this.#pipeline.refuse('DP', missing('P', name))
    else {
      portal.describing = true
      this.#pipeline.send(bytes, { kind: 'describe', portal, swallow: false, parameters: false })
    }
    return true
  }

  #describeStatement(bytes: Buffer, prepared: Prepared): void {
    // The server may plan it anew for this; what the protocol prepared is parsed again where that matters.
    if (prepared.sql === true && prepared.names !== '' && this.#judging.manyPlaces)
      prepared.names = undefined
    this.#pipeline.send(bytes, { kind: 'describe', prepared, swallow: false, parameters: false })
  }

  close(bytes: Buffer): boolean {
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

  #refused(
    form: RefusedForm,
    text: string,
    why: string,
    options: { reply?: ErrorReply; hint?: string; name?: string },
  ): void {
    refuseMessage(this.#judging, this.#pipeline, form, { text, why, ...options })
  }
}
