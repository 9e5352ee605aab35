// Owns the database's messages: each is held against what must come next, rows go through their run, errors
// through the exchange. Anything unexpected ends the connection: a hostile database is an attacker too.

import { VgateError } from '../../core/errors.js'
import { type Asked, nextPart, wholeTag } from './asked.js'
import { readRowDescription } from './columns.js'
import { limitReply, sanitised, withholds } from './error-text.js'
import { StandInReplies } from './existing.js'
import type { Expectation } from './expectation.js'
import type { NameChanges } from './objects.js'
import { checkPinned } from './pinned.js'
import type { Pipeline } from './pipeline.js'
import { takeReply } from './proved.js'
import type { Run } from './run.js'
import type { ParsedStatement } from './statement.js'
import {
  BodyReader,
  cstr,
  errorFields,
  errorResponse,
  fieldsMessage,
  i32,
  message,
  violation,
} from './wire.js'

type Query = Extract<Expectation, { kind: 'query' }>
type Execute = Extract<Expectation, { kind: 'execute' }>
type Describe = Extract<Expectation, { kind: 'describe' }>

/** Handles what the database sends after the login. */
export class Replies {
  readonly #pipeline: Pipeline
  readonly #lost: (error: VgateError) => void
  readonly #limit: (run: Run, then: (told: string) => void) => void
  readonly #notified: (bytes: Buffer) => void
  readonly #standIns: StandInReplies

  /**
   * `lost` is called when the database ended the session with a FATAL of its own, already passed on; `limit` opens a
   * request for a read that reached what a second person may lift; `notified` takes what other sessions send.
   */
  constructor(
    pipeline: Pipeline,
    lost: (error: VgateError) => void,
    limit: (run: Run, then: (told: string) => void) => void,
    notified: (bytes: Buffer) => void,
  ) {
    this.#notified = notified
    this.#pipeline = pipeline
    this.#standIns = new StandInReplies(pipeline.client)
    this.#lost = lost
    this.#limit = limit
  }

  /** One message of the database. Throws a VgateError where it does not fit: the connection is cut. */
  take(type: string, bytes: Buffer): void {
    if (type === 'A') return this.#notified(bytes)
    if (type === 'S') return this.#parameterStatus(bytes)
    if (type === 'N') return this.#notice(bytes)
    if (type === 'E') return this.#error(bytes)
    const { head } = this.#pipeline
    if (head === undefined) throw violation(`the database sent ${type} unasked`)
    if (!this.#expected(type, bytes, head))
      throw violation(`the database answered ${head.kind} with ${type}`)
  }

  #pass(bytes: Buffer): true {
    this.#pipeline.client.add(bytes)
    return true
  }

  #parameterStatus(bytes: Buffer): void {
    const reader = new BodyReader(bytes)
    checkPinned(reader.cstring(), reader.cstring())
    reader.done()
    this.#pass(bytes)
  }

  #notice(bytes: Buffer): void {
    const fields = errorFields(bytes)
    const masked = this.#pipeline.unitMasked
    this.#pass(withholds(fields, masked) ? fieldsMessage('N', sanitised(fields, masked)) : bytes)
  }

  #expected(type: string, bytes: Buffer, head: Expectation): boolean {
    switch (head.kind) {
      case 'parse':
      case 'bind':
      case 'close':
        return this.#named(type, bytes, head)
      case 'describe':
        return this.#describe(type, bytes, head)
      case 'execute':
        return this.#execute(type, bytes, head)
      case 'query':
        return this.#query(type, bytes, head)
      case 'guard':
        return this.#guard(type, bytes, head)
      case 'ready':
        return type === 'Z' && this.#ready(bytes, head.own)
      case 'refused':
        return false // it did not fail: fail closed
    }
  }

  #guard(type: string, bytes: Buffer, head: Extract<Expectation, { kind: 'guard' }>): boolean {
    if (!takeReply(head, type, bytes)) return false
    if (head.replies !== '') return true
    this.#pipeline.shift()
    head.done()
    return true
  }

  #named(
    type: string,
    bytes: Buffer,
    head: Extract<Expectation, { kind: 'parse' | 'bind' | 'close' }>,
  ): boolean {
    if (type !== { parse: '1', bind: '2', close: '3' }[head.kind]) return false
    this.#pipeline.shift()
    this.#pipeline.confirm(head.changes)
    return head.swallow || this.#pass(bytes)
  }

  #describe(type: string, bytes: Buffer, head: Describe): boolean {
    if (type === 't' && head.prepared !== undefined && !head.parameters) {
      const reader = new BodyReader(bytes)
      head.prepared.types = Array.from({ length: reader.count() }, () => reader.uint32())
      reader.done()
      head.parameters = true
      return this.#pass(bytes)
    }
    if ((type !== 'T' && type !== 'n') || (head.prepared !== undefined && !head.parameters))
      return false
    const run = head.portal?.run
    if (type === 'T' && run?.found.existing === undefined) run?.describe(readRowDescription(bytes))
    this.#pipeline.shift()
    // A statement of the client's own would have no rows.
    const standsIn = type === 'T' && run?.found.existing !== undefined
    return head.swallow || this.#pass(standsIn ? message('n') : bytes)
  }

  #row(run: Run, bytes: Buffer, limited: boolean): true {
    // The row past a limit proves it and goes nowhere, and neither does what comes behind it.
    if (run.exceeded !== undefined) return true
    if (limited && run.limit !== undefined && run.rowCount >= run.limit.rows) {
      run.exceeded = 'rows'
      return true
    }
    const given = run.row(bytes)
    if (given === undefined) return true
    this.#pass(given)
    if (run.full) this.#pipeline.flushToClient()
    return true
  }

  #execute(type: string, bytes: Buffer, head: Execute): boolean {
    const { run } = head
    if (run === undefined) {
      if (type !== 'I') return false
      this.#pipeline.shift()
      return this.#pass(bytes)
    }
    const { existing } = run.found
    if (existing !== undefined) {
      const given = this.#standIns.take(type, bytes, run, existing)
      return typeof given === 'boolean' ? given : this.#executed('C', given, head, run)
    }
    if (type === 'D') return this.#row(run, bytes, head.limited)
    if (type === 'C' || type === 's') return this.#executed(type, bytes, head, run)
    return this.#copy(type, bytes, head.copy, run)
  }

  #executed(type: 'C' | 's', bytes: Buffer, head: Execute, run: Run): boolean {
    if (head.copy === 'in' && this.#pipeline.copying !== 'none') return false
    this.#pipeline.shift()
    if (run.exceeded !== undefined) {
      this.#exceeded(run)
      return true
    }
    if (type === 's') {
      const next = head.asked && nextPart(head.asked, run)
      if (next !== undefined) return this.#askNext(head, next)
      if (this.#pipeline.limited?.rewritten === true) return false
      this.#settleLimited()
      return this.#pass(bytes)
    }
    const whole = wholeTag(bytes, head.asked)
    head.portal.completed = true
    this.#done(whole, run, head.portal.prepared.statement, head.changes)
    this.#settleLimited()
    return this.#pass(whole)
  }

  #askNext(head: Execute, asked: Asked): true {
    const execute = message('E', cstr(head.portal.name), i32(asked.rows))
    this.#pipeline.send(execute, { ...head, asked })
    this.#pipeline.flushUpstream()
    return true
  }

  /** The database is made to fail the read; where a second person may lift the limit, that is asked first. */
  #exceeded(run: Run): void {
    const refuse = (told?: string): void => {
      this.#pipeline.refuse('E', limitReply(run, told))
      this.#pipeline.flushUpstream()
    }
    const { limit } = run
    if (run.exceeded === 'rows' && limit?.because === 'hold' && limit.terms !== undefined)
      this.#limit(run, refuse)
    else refuse()
  }

  /** The limited Execute is answered: what was held back may go on. */
  #settleLimited(): void {
    const { limited } = this.#pipeline
    this.#pipeline.limited = undefined
    if (limited?.rewritten !== true) return
    this.#pipeline.sync()
    this.#pipeline.barrier = true
  }

  #copy(type: string, bytes: Buffer, copy: 'in' | 'out' | undefined, run: Run): boolean {
    if (copy === 'in') {
      if (type !== 'G' || this.#pipeline.copying !== 'wait') return false
      this.#pipeline.copying = 'in'
      return this.#pass(bytes)
    }
    if (copy !== 'out') return false
    if (type === 'd') {
      run.copied(bytes)
      this.#pass(bytes)
      if (run.full) this.#pipeline.flushToClient()
      return true
    }
    if (type === 'H') run.copyBegins(bytes)
    return (type === 'H' || type === 'c') && this.#pass(bytes)
  }

  #query(type: string, bytes: Buffer, head: Query): boolean {
    if (type === 'Z') {
      if (!head.failed && head.at < head.runs.length) return false
      if (head.failed) head.drop?.()
      else if (head.exceeded !== undefined) {
        this.#settled(bytes)
        // What ran of it only read, or fails with its transaction now.
        this.#pipeline.refuse('Q', limitReply(head.exceeded))
        return true
      }
      if (head.failed || head.next === undefined) return this.#ready(bytes)
      this.#settled(bytes)
      head.next()
      return true
    }
    if (head.failed) return false
    if (head.held !== undefined) return this.#ended(type, bytes, head, head.held)
    if (type === 'I') return head.runs.length === 0 && this.#pass(bytes)
    const run = head.runs[head.at]
    const effects = head.steps[head.at]?.statement.effects
    if (run === undefined || effects === undefined) return false
    if (head.exceeded !== undefined) return this.#withheld(type, head, run)
    const { existing } = run.found
    if (existing !== undefined) {
      const given = this.#standIns.take(type, bytes, run, existing)
      return typeof given === 'boolean' ? given : this.#completed(given, head, run)
    }
    if (type === 'T') {
      if (run.described) return false
      run.describe(readRowDescription(bytes))
      return this.#pass(bytes)
    }
    if (type === 'D') {
      this.#row(run, bytes, false)
      if (run.exceeded !== undefined) head.exceeded = run
      return true
    }
    if (type === 'C') return this.#completed(bytes, head, run)
    return this.#copy(type, bytes, effects.copy, run)
  }

  /** Behind the row that went past the limit of a message of several statements nothing of it is given. */
  #withheld(type: string, head: Query, run: Run): boolean {
    if (type === 'T' || type === 'D') return true
    if (type !== 'C') return false
    const { sqlstate, message: text } = limitReply(head.exceeded ?? run)
    this.#pipeline.over(run, { error: { sqlstate, message: text } })
    this.#pipeline.confirm(head.steps[head.at]?.changes ?? {})
    head.at += 1
    return true
  }

  #completed(bytes: Buffer, head: Query, run: Run): boolean {
    if (this.#pipeline.copying === 'in') return false
    if (head.ended !== true) return this.#complete(bytes, head, run)
    head.held = Buffer.from(bytes)
    return true
  }

  /** ENDER is done, and the transaction of what stands before it committed. */
  #ended(type: string, bytes: Buffer, head: Query, held: Buffer): boolean {
    const run = head.runs[head.at]
    if (type !== 'C' || run === undefined || new BodyReader(bytes).cstring() !== 'UNLISTEN')
      return false
    head.held = undefined
    return this.#complete(held, head, run)
  }

  #complete(bytes: Buffer, head: Query, run: Run): true {
    const done = head.steps[head.at]
    head.at += 1
    const next = head.steps[head.at]?.statement
    this.#pipeline.copying = next?.effects.copy === 'in' ? 'wait' : this.#pipeline.copying
    this.#done(bytes, run, done?.statement, done?.changes ?? {})
    return this.#pass(bytes)
  }

  /** CommandComplete: the run is over, and what it does to names and transactions is so. */
  #done(
    bytes: Buffer,
    run: Run,
    statement: ParsedStatement | undefined,
    changes: NameChanges,
  ): void {
    const tag = new BodyReader(bytes).cstring()
    this.#pipeline.over(run, { tag })
    this.#pipeline.confirm(changes)
    const { transaction } = statement?.effects ?? {}
    // COMMIT of a failed transaction says ROLLBACK.
    if (transaction === 'commit' || transaction === 'rollback')
      this.#pipeline.transactionOver(tag === 'COMMIT')
  }

  #ready(bytes: Buffer, own = false): true {
    this.#settled(bytes)
    if (!own) return this.#pass(bytes)
    this.#pipeline.lettingGo = false
    return true
  }

  #settled(bytes: Buffer): void {
    const status = String.fromCharCode(new BodyReader(bytes).byte())
    if (bytes.length !== 6 || (status !== 'I' && status !== 'T' && status !== 'E')) {
      throw violation('the database sent a malformed ReadyForQuery')
    }
    this.#pipeline.copying = 'none'
    this.#pipeline.ready(status)
  }

  #error(bytes: Buffer): void {
    const fields = errorFields(bytes)
    const severity = fields.get('V') ?? fields.get('S') ?? ''
    const sqlstate = fields.get('C') ?? 'XX000'
    const { head } = this.#pipeline
    const exchanged =
      head?.kind === 'refused' && head.codes.includes(sqlstate) ? head.reply : undefined
    const shown = sanitised(fields, this.#pipeline.unitMasked)
    if (severity === 'FATAL' || severity === 'PANIC') {
      this.#pass(fieldsMessage('E', shown))
      this.#lost(
        new VgateError('VGATE_UPSTREAM_FAILED', `the database ended the session (${sqlstate})`),
      )
      return
    }
    if (head === undefined) throw violation('the database sent an error unasked')
    if (head.kind === 'guard' && head.failed({ sqlstate, message: shown.get('M') ?? '' })) return
    this.#pass(exchanged === undefined ? fieldsMessage('E', shown) : errorResponse(exchanged))
    const error = exchanged ?? { sqlstate, message: shown.get('M') ?? '' }
    this.#failed(head, { sqlstate: error.sqlstate, message: error.message })
  }

  #failed(head: Expectation, error: { readonly sqlstate: string; readonly message: string }): void {
    this.#pipeline.copying = 'none'
    this.#pipeline.failed = true
    if (head.kind === 'ready') return // Sync itself failed (a deferred constraint): ReadyForQuery follows
    if (head.kind === 'query') {
      head.failed = true
      for (const run of head.runs) this.#pipeline.over(run, { error })
      return
    }
    if (head.kind === 'refused' && head.simple) {
      this.#pipeline.shift()
      return
    }
    const all = this.#pipeline.dropSegment()
    for (const dropped of all) {
      if (dropped.kind === 'execute' || dropped.kind === 'bind')
        this.#pipeline.over(dropped.run, { error })
      if (dropped.kind === 'query')
        for (const run of dropped.runs) this.#pipeline.over(run, { error })
    }
    this.#pipeline.failOpen(error)
    this.#settleLimited()
    if (head.kind !== 'guard') return
    this.#pipeline.guarding = undefined
    // A Query behind a failed guard is skipped together with its own Sync.
    if (all.some(({ kind }) => kind === 'query')) this.#pipeline.sync()
  }
}
