// Owns the state that both directions of one session share: what was sent upstream and awaits its reply,
// segments between Syncs, names, and the two outboxes. Must never forward a message without knowing its reply.

import type { AdapterContext, AdapterHost, Delivery, JudgeRequest } from '../../core/adapter.js'
import type { Hidden } from './error-text.js'
import { type NameChange, NameTable } from './names.js'
import { Outbox } from './outbox.js'
import type { Run } from './run.js'
import type { Parameter, ParsedStatement, StatementEffects } from './statement.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

/** A statement that the client has parsed. */
export interface Prepared {
  readonly name: string
  readonly text: string
  /** Undefined for an empty query. */
  readonly statement: ParsedStatement | undefined
  /** Type OIDs as Parse gave them, then as ParameterDescription did. */
  types: readonly number[]
  readonly segment: number
}

/** A portal that the client has bound. */
export interface Portal {
  readonly name: string
  readonly prepared: Prepared
  /** Undefined for an empty query. A portal that is run again after its end gets a new one. */
  run: Run | undefined
  /** Parameters as recorded, and as the analysis saw them. */
  readonly parameters: readonly (string | null)[]
  readonly values: readonly Parameter[]
  /** What tells its request from any other. */
  readonly exact: () => string
  readonly whole: NonNullable<JudgeRequest['whole']>
  readonly segment: number
  /** A Describe of it has been sent. */
  describing: boolean
  completed: boolean
}

export interface NameChanges {
  readonly statements?: readonly NameChange<Prepared>[]
  readonly portals?: readonly NameChange<Portal>[]
}

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
      readonly copy: StatementEffects['copy']
    }
  | {
      readonly kind: 'query'
      readonly runs: readonly Run[]
      readonly statements: readonly ParsedStatement[]
      at: number
      failed: boolean
    }
  | {
      readonly kind: 'refused'
      readonly simple: boolean
      readonly reply: ErrorReply
      readonly codes: readonly string[]
    }
  /** `own`: behind a Sync that the client knows nothing of. */
  | { readonly kind: 'ready'; readonly sync: boolean; readonly own?: true }

interface Waiting {
  readonly segment: number
  readonly expectation: Expectation
}

/** A text that no grammar accepts: what stands upstream in place of a refused statement. */
export const REFUSED_TEXT = 'vgate refused this statement'
const SYNC = message('S')
const FLUSH = message('H')

export type RefusedForm = 'Q' | 'P' | 'B' | 'E' | 'DS' | 'DP' | 'F'

/** State of one session after its login. */
export class Pipeline {
  readonly #host: AdapterHost
  readonly #context: AdapterContext
  readonly #upstream: Outbox
  readonly client: Outbox
  readonly #deliveries: Delivery[] = []
  readonly #open = new Map<Run, number>()
  #waiting: Waiting[] = []
  #flushed = true
  readonly statements = new NameTable<Prepared>(({ text }) => text.length)
  readonly portals = new NameTable<Portal>(({ values }) =>
    values.reduce((sum, one) => sum + (one.known ? (one.value?.length ?? 0) : 0), 0),
  )
  /** Number of the segment that the client is in; a Query is one of its own. */
  segment = 1
  /** The last segment whose ReadyForQuery came. */
  finished = 0
  status: 'I' | 'T' | 'E' = 'I'
  /** The database discards everything until Sync. */
  skipping = false
  /** Something was sent since the last ReadyForQuery. */
  unitOpen = false
  /** Something ran in this unit: others may wait for its locks. */
  unitRan = false
  /** Something with masks ran in this unit: texts of the database may carry values. `inside`: those of code that it runs by itself. */
  unitMasked: Hidden = false
  /** The open transaction has changed the catalogue, since this segment. */
  ddlSince: number | undefined
  catalogueStale = false
  /** Nothing more is sent before everything is answered (a Query is under way). */
  barrier = false
  /** A limited Execute is under way; `rewritten`: it stands for a Query and ends with a Sync of ours. */
  limited: { readonly rewritten: boolean } | undefined
  copying: 'none' | 'wait' | 'in' = 'none'
  /** A Sync of `letGo` is not answered yet. */
  lettingGo = false

  constructor(host: AdapterHost, context: AdapterContext) {
    this.#host = host
    this.#context = context
    this.#upstream = new Outbox((bytes) => host.toUpstream(bytes))
    this.client = new Outbox((bytes) => host.toClient(bytes))
  }

  get idle(): boolean {
    return this.#waiting.length === 0
  }

  /** Nothing runs and no transaction is open: side queries see what the next statement will see. */
  get resting(): boolean {
    return this.idle && this.status === 'I' && !this.unitOpen
  }

  /** A transaction is open, or something has run in an implicit one: others may wait for its locks. */
  get inTransaction(): boolean {
    return this.status !== 'I' || this.unitRan
  }

  get head(): Expectation | undefined {
    return this.#waiting[0]?.expectation
  }

  /** True while an earlier segment's schema change is not answered yet. */
  get ddlUnsettled(): boolean {
    return (
      this.ddlSince !== undefined && this.ddlSince < this.segment && this.ddlSince > this.finished
    )
  }

  /** Bytes that need no reply of their own (copy data, Flush). */
  sendPlain(bytes: Buffer): void {
    this.#upstream.add(bytes)
  }

  /** Sends a message and remembers what must come back. Does nothing while the database skips. */
  send(bytes: Buffer, expectation: Expectation): void {
    if (this.skipping) return
    this.#upstream.add(bytes)
    this.unitOpen = true
    this.#flushed = false
    this.#waiting.push({ segment: this.segment, expectation })
    this.#assume(expectation, this.segment)
  }

  /** An expectation for a message that is already on its way. */
  expect(expectation: Expectation): void {
    this.#waiting.push({ segment: this.segment, expectation })
  }

  shift(): void {
    this.#waiting.shift()
    if (this.#waiting.length === 0) this.barrier = false
  }

  #assume(expectation: Expectation, segment: number): void {
    if (!('changes' in expectation)) return
    for (const change of expectation.changes.statements ?? [])
      this.statements.assume(change, segment)
    for (const change of expectation.changes.portals ?? []) this.portals.assume(change, segment)
  }

  confirm(changes: NameChanges): void {
    for (const change of changes.statements ?? []) this.statements.confirm(change)
    for (const change of changes.portals ?? []) this.portals.confirm(change)
  }

  /** Sync: of the client, or of ours behind a rewritten Query. */
  sync(bytes: Buffer = SYNC): void {
    this.#sync(bytes, { kind: 'ready', sync: true })
  }

  /**
   * Something waits for a person, perhaps for long: what was only parsed gives its locks back. The client is told
   * nothing of the Sync. What has run or is bound stays in its transaction.
   */
  letGo(): void {
    const holdsLocks = this.status === 'I' && this.unitOpen && !this.skipping && !this.lettingGo
    if (!holdsLocks || this.unitRan || this.portals.names().length > 0) return
    this.lettingGo = true
    this.#sync(SYNC, { kind: 'ready', sync: true, own: true })
  }

  #sync(bytes: Buffer, expectation: Expectation): void {
    this.skipping = false
    this.#upstream.add(bytes)
    this.#flushed = true
    this.unitOpen = true
    this.#waiting.push({ segment: this.segment, expectation })
    this.segment += 1
  }

  /** Makes the database answer what it has been sent. */
  flushUpstream(): void {
    if (this.#flushed) return
    this.#flushed = true
    this.#upstream.add(FLUSH)
  }

  /**
   * Sends, in place of a refused message, one that must fail without effect, so that PostgreSQL itself supplies
   * the rollback, the skipping until Sync and the status; its error will be exchanged for `reply`.
   */
  refuse(form: RefusedForm, reply: ErrorReply, name = ''): void {
    if (this.skipping) return
    const none = cstr(`vgate_${this.#context.randomBytes(12).toString('hex')}`)
    const refused = (codes: readonly string[], simple = false): Expectation => ({
      kind: 'refused',
      simple,
      reply,
      codes,
    })
    if (form === 'P')
      this.send(message('P', cstr(name), cstr(REFUSED_TEXT), i16(0)), refused(['42601']))
    else if (form === 'B')
      this.send(message('B', cstr(''), none, i16(0), i16(0), i16(0)), refused(['26000']))
    else if (form === 'E') this.send(message('E', none, i32(0)), refused(['34000']))
    else if (form === 'DS') this.send(message('D', 'S', none), refused(['26000']))
    else if (form === 'DP') this.send(message('D', 'P', none), refused(['34000']))
    else {
      const query = message('Q', cstr(REFUSED_TEXT))
      const call = message('F', i32(0), i16(0), i16(0), i16(0))
      this.send(
        form === 'Q' ? query : call,
        refused(form === 'Q' ? ['42601'] : ['42883', '25P02'], true),
      )
      this.expect({ kind: 'ready', sync: false })
      this.closeSegment()
    }
  }

  /** A message that brings its own ReadyForQuery has been sent: nothing goes before it is answered. */
  closeSegment(): void {
    this.segment += 1
    this.barrier = true
    this.#flushed = true
    // It ends the unnamed statement and portal.
    this.statements.confirm({ name: '', value: undefined })
    this.portals.confirm({ name: '', value: undefined })
  }

  /** An error of an extended message: everything up to its Sync is skipped. Answers what will not be answered. */
  dropSegment(): Expectation[] {
    const end = this.#waiting.findIndex(
      ({ expectation }) => expectation.kind === 'ready' && expectation.sync,
    )
    const dropped = this.#waiting.slice(0, end < 0 ? undefined : end)
    this.#waiting = end < 0 ? [] : this.#waiting.slice(end)
    const ready = this.#waiting[0]?.expectation
    // Behind a Sync of ours the client's own is still to come: up to that it expects nothing more.
    this.skipping = ready?.kind !== 'ready' || ready.own === true
    this.barrier = false
    this.statements.forgetAssumptions()
    this.portals.forgetAssumptions()
    this.portals.clear()
    for (const { expectation, segment } of this.#waiting) this.#assume(expectation, segment)
    return dropped.map(({ expectation }) => expectation)
  }

  /** ReadyForQuery. */
  ready(status: 'I' | 'T' | 'E'): void {
    this.finished = this.#waiting[0]?.segment ?? this.finished
    this.shift()
    this.status = status
    if (this.idle) {
      this.unitOpen = false
      this.unitRan = false
    }
    if (status !== 'I') return
    this.portals.clear()
    if (this.idle) this.unitMasked = false
    if (this.ddlSince !== undefined && this.ddlSince <= this.finished) {
      this.ddlSince = undefined
      this.catalogueStale = true
    }
    for (const [run, segment] of [...this.#open]) if (segment <= this.finished) this.over(run, {})
  }

  /** A run was permitted and is being sent. */
  opened(run: Run): void {
    this.#open.set(run, this.segment)
    this.unitRan = true
    if (run.masks) this.unitMasked = 'all'
    else if (run.obligations.hides === true) this.unitMasked ||= 'inside'
  }

  /** A run is over: its last delivery is recorded before what follows is given. */
  over(run: Run | undefined, end: Pick<Delivery, 'tag' | 'error' | 'abandoned'>): void {
    if (run === undefined) return
    this.#open.delete(run)
    const delivery = run.finish(end)
    if (delivery !== undefined) this.#deliveries.push(delivery)
  }

  /** An extended message failed: every run up to its segment is over. */
  failOpen(error: { readonly sqlstate: string; readonly message: string }): void {
    const last = this.#waiting[0]?.segment ?? this.segment
    for (const [run, segment] of [...this.#open]) if (segment <= last) this.over(run, { error })
  }

  /** Every run is over (the connection ends). */
  abandon(error: { readonly sqlstate: string; readonly message: string }): void {
    for (const run of [...this.#open.keys()]) this.over(run, { error, abandoned: true })
  }

  flushToUpstream(): void {
    this.#upstream.flush()
  }

  /** Records what the client is about to be given, then gives it. Throws when it cannot be recorded. */
  flushToClient(): void {
    this.record()
    this.client.flush()
  }

  /** Records what has come of every run so far. Throws when it cannot be recorded. */
  record(): void {
    for (const run of this.#open.keys()) {
      const delivery = run.batch()
      if (delivery !== undefined) this.#deliveries.push(delivery)
    }
    for (;;) {
      const delivery = this.#deliveries.shift()
      if (delivery === undefined) break
      this.#host.delivered(delivery)
    }
  }
}
