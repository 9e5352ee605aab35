// Owns Execute: a portal's run from its permit to its last row. Must never run a portal that is over without a new
// judgement.

import { AFTER_CHANGE } from './after-change.js'
import { readOn } from './cursor-reads.js'
import { changesSchema } from './existing.js'
import { readExecute } from './frontend.js'
import { type Guards, type Secured, UNSETTLED } from './guards.js'
import type { Judging } from './judging.js'
import { findPortal } from './lookups.js'
import { missing } from './name-replies.js'
import { type Found, namesNow, stepOf } from './named-objects.js'
import type { NameChanges, Portal } from './objects.js'
import { type Permits, wholeOf } from './permits.js'
import type { Pipeline } from './pipeline.js'
import { refuseMessage } from './refusing.js'
import type { Run } from './run.js'
import type { ParsedStatement } from './statement.js'
import type { Whole } from './told.js'
import { cstr, type ErrorReply, i32, message } from './wire.js'

/** The database would run one statement with the columns of another. */
const CHANGED: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '0A000',
  message:
    'not supported yet: the name in this statement stands for something else than at its Bind',
  hint: 'bind it again',
}

/** As PostgreSQL says of a portal that has run and holds no rows. */
function cannotRun(portal: string): ErrorReply {
  return { severity: 'ERROR', sqlstate: '55000', message: `portal "${portal}" cannot be run` }
}

/** Its run is over: completed, or ended by an error or by a transaction that the portal outlives. */
function isOver(portal: Portal): boolean {
  return portal.completed || portal.run?.finished === true
}

/** A cursor WITH HOLD whose run the end of an earlier segment, perhaps of its transaction, may be about to end. */
function mayEndSoon(portal: Portal, pipeline: Pipeline): boolean {
  return portal.held !== 'no' && !isOver(portal) && !pipeline.segmentAlone
}

/**
 * Something has run since its Bind, and what it names the server looks up as it runs, perhaps along another path by now; or
 * this transaction has changed the schema, and what was there may be gone.
 */
function isOvertaken(portal: Portal, { ddlSince, changes, executed }: Pipeline): boolean {
  const { run, begun, prepared } = portal
  if (begun || run === undefined) return false
  const { planned, pathless } = prepared.statement?.effects ?? {}
  if (executed !== portal.executed && planned !== true && pathless !== true) return true
  const changed = ddlSince !== undefined && changes !== portal.changes
  return changed && prepared.statement?.portalReady !== true
}

/** Takes Execute. */
export class Executions {
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

  execute(bytes: Buffer): boolean {
    const { portal: name, max } = readExecute(bytes)
    const portal = findPortal(this.#pipeline, name)
    if (portal === 'later' || this.#pipeline.ddlUnsettled) return false
    if (portal === undefined) {
      this.#pipeline.refuse('E', missing('P', name))
      return true
    }
    const { statement } = portal.prepared
    if (statement === undefined) this.#forward(bytes, portal, max, {})
    else if (mayEndSoon(portal, this.#pipeline)) return false
    else if (isOver(portal) && portal.run?.found.existing !== undefined)
      this.#pipeline.refuse('E', cannotRun(portal.name))
    else if (isOvertaken(portal, this.#pipeline))
      refuseMessage(this.#judging, this.#pipeline, 'E', {
        text: statement.text,
        why: AFTER_CHANGE.reason,
        hint: 'bind it again',
      })
    else if (isOver(portal)) {
      // As in `Requests`: what is with the host cannot be taken back, and the path is settled first.
      if (this.#pipeline.guarding === undefined && !this.#pipeline.path.unsettled)
        return this.#judge(bytes, portal, statement, max)
      this.#pipeline.flushUpstream()
      return false
    }
    // What has begun under its name goes on, whatever the name stands for now.
    else if (statement.named !== undefined) this.#forward(bytes, portal, max, {})
    else {
      const step = this.#step(portal, statement)
      if (step === 'later') return false
      this.#forward(bytes, portal, max, 'reply' in step ? {} : step.changes)
    }
    return true
  }

  #step(portal: Portal, statement: ParsedStatement): Found {
    if (portal.declared !== undefined) return readOn(portal, statement) ?? { reply: CHANGED }
    const { values, exact } = portal
    const parameters = (): Whole['parameters'] => portal.whole().parameters
    const step = stepOf(statement, namesNow(this.#pipeline), { values, exact, parameters })
    if (step === 'later' || 'reply' in step || step.counted !== undefined) return step
    return { ...step, counted: { tally: portal.tally, promise: () => 0 } }
  }

  /** A portal whose run is over, or that has none yet: what it may do now is judged. */
  #judge(bytes: Buffer, portal: Portal, statement: ParsedStatement, max: number): boolean {
    const step = this.#step(portal, statement)
    if (step === 'later') return false
    if ('reply' in step) {
      this.#pipeline.refuse('E', step.reply)
      return true
    }
    if (portal.declared === undefined && step.target !== portal.target) {
      this.#pipeline.refuse('E', CHANGED)
      return true
    }
    const { parameters } = portal
    const { secret, text } = step.statement
    const whole = (): Whole =>
      secret === true ? { ...portal.whole(), text } : wholeOf([step], portal.whole())
    const exact = (): string => this.#permits.exact(portal.exact(), [], step.exact)
    const request = { form: 'extended', parameters, text, exact, whole }
    this.#permits.judgeRuns([step], portal.values, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('E', result.reply)
      // Proved before it is sent, and not by a guard in front: one that fails would take its portal with it.
      this.#guards.prove(result.uses, (secured) => {
        if (secured !== 'same') return this.#unproved(result.runs, secured)
        portal.run = result.runs[0]
        portal.completed = false
        portal.describing = false
        this.#permits.opened(portal.run)
        this.#forward(bytes, portal, max, step.changes)
      })
    })
    return true
  }

  #unproved(runs: readonly Run[], secured: Exclude<Secured, 'same'>): void {
    const reply = secured === 'changed' ? UNSETTLED : secured.reply
    const { sqlstate, message: text } = reply
    for (const run of runs) this.#pipeline.over(run, { error: { sqlstate, message: text } })
    this.#pipeline.refuse('E', reply)
  }

  #forward(bytes: Buffer, portal: Portal, max: number, changes: NameChanges): void {
    const pipeline = this.#pipeline
    if (pipeline.skipping) return
    const { run } = portal
    const effects = portal.prepared.statement?.effects
    const standsIn = run?.found.existing !== undefined
    if (run !== undefined && !portal.describing && !standsIn) {
      portal.describing = true
      const describe = message('D', 'P', cstr(portal.name))
      pipeline.send(describe, { kind: 'describe', portal, swallow: true, parameters: false })
    }
    portal.begun = true
    if (changesSchema(portal.prepared.statement, run)) pipeline.changingSchema()
    if (run?.found.movesPath === true) pipeline.moving()
    pipeline.executed += 1
    if (portal.prepared.statement !== undefined) this.#guards.passing(portal.prepared.statement)
    const sent = run?.most(max)
    const asked = standsIn ? message('E', cstr(portal.name), i32(0)) : bytes
    const limited = sent !== undefined
    pipeline.send(limited ? message('E', cstr(portal.name), i32(sent)) : asked, {
      kind: 'execute',
      portal,
      run,
      changes,
      limited,
      ...(sent === undefined ? {} : { asked: { rows: sent, of: max, before: 0 } }),
      copy: effects?.copy,
    })
    if (effects?.copy === 'in') pipeline.copying = 'wait'
    if (limited) pipeline.limited = { rewritten: false }
    if (limited || effects?.copy === 'in') pipeline.flushUpstream()
  }
}
