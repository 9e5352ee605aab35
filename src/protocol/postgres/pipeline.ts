// Owns the state that both directions of one session share: what was sent upstream and awaits its reply,
// segments between Syncs, names, and the two outboxes. Must never forward a message without knowing its reply.

import type { AdapterContext, AdapterHost, Delivery } from '../../core/adapter.js'
import type { Hidden } from './error-text.js'
import type { Expectation } from './expectation.js'
import { failing, type RefusedForm } from './failing.js'
import { NameTable } from './names.js'
import type { NameChanges, Portal, Prepared } from './objects.js'
import { Outbox } from './outbox.js'
import { Proved } from './proved.js'
import type { Run } from './run.js'
import type { Savepoints } from './savepoints.js'
import { SearchPath } from './search-path.js'
import { type ErrorReply, message } from './wire.js'

interface Waiting {
  readonly segment: number
  readonly expectation: Expectation
}

/** Messages that may wait for their answers before the next is sent: whatever looks through them stays quick. */
const WAITING_MAX = 4096

const SYNC = message('S')
const FLUSH = message('H')
const OWN_READY: Expectation = { kind: 'ready', sync: true, own: true }

/** State of one session after its login. */
export class Pipeline {
  readonly #host: AdapterHost
  readonly #context: AdapterContext
  readonly #upstream: Outbox
  readonly client: Outbox
  readonly #deliveries: Delivery[] = []
  readonly #open = new Map<Run, number>()
  #waiting: Waiting[] = []
  #crowded = false
  #flushed = true
  readonly statements = new NameTable<Prepared>(({ text }) => text.length)
  readonly portals = new NameTable<Portal>(({ values, declared, prepared }) =>
    values.reduce(
      (sum, one) => sum + (one.known ? (one.value?.length ?? 0) : 0),
      declared === undefined ? 0 : prepared.text.length,
    ),
  )
  readonly savepoints = new NameTable<Savepoints>(() => 0)
  #serial = 0
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
  /** How often something of the client's was sent to run. */
  executed = 0
  /** How often it may have become another schema for this session: its changes, and what takes them back. */
  changes = 0
  catalogueStale = false
  /** Nothing more is sent before everything is answered (a Query is under way). */
  barrier = false
  /** A limited Execute is under way; `rewritten`: it stands for a Query and ends with a Sync of ours. */
  limited: { readonly rewritten: boolean } | undefined
  copying: 'none' | 'wait' | 'in' = 'none'
  /** Something has failed since the last ReadyForQuery. */
  failed = false
  /** A Sync of `letGo` is not answered yet. */
  lettingGo = false
  readonly proved: Proved = new Proved(this)
  readonly path = new SearchPath(this)
  /** As `keepsPipelinesOpen` (simple.ts). */
  keepsOpen = false
  /** The last segment in which something of ours was executed. */
  ledIn = 0
  /** The segment whose guard (guards.ts) is not answered yet: the next segment must wait for it. */
  guarding: number | undefined
  /** Takes back what was taken since the guarded message. */
  requeue: () => void = () => {}
  /** What goes on once a Sync of `recover` is answered. */
  recovered: (() => void) | undefined

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

  /** A statement that changes the schema is being sent. */
  changingSchema(): void {
    this.ddlSince ??= this.segment
    this.path.touch()
  }

  /** Something that may move the search path is being sent, by code that may do other things as well. */
  moving(): void {
    this.path.touch()
    this.proved.forget()
  }

  /** What stands in front of the next Query, and nothing of the client's, keeps its transaction open. */
  get leads(): boolean {
    return this.keepsOpen && this.ledIn === this.segment && this.proved.fresh
  }

  /** Every earlier segment is answered. */
  get segmentAlone(): boolean {
    return this.finished >= this.segment - 1
  }

  /** So much awaits its answer that nothing more is sent until half of it has come. */
  get crowded(): boolean {
    const most = this.#crowded ? WAITING_MAX / 2 : WAITING_MAX
    this.#crowded = this.#waiting.length >= most
    return this.#crowded
  }

  /** A number for what is made next: portals and savepoints are told apart by their order. */
  nextSerial(): number {
    this.#serial += 1
    return this.#serial
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
    const { statements, portals, savepoints } = expectation.changes
    for (const change of statements ?? []) this.statements.assume(change, segment)
    for (const change of portals ?? []) this.portals.assume(change, segment)
    for (const change of savepoints ?? []) this.savepoints.assume(change, segment)
  }

  confirm(changes: NameChanges): void {
    for (const change of changes.statements ?? []) this.statements.confirm(change)
    for (const change of changes.portals ?? []) this.portals.confirm(change)
    for (const change of changes.savepoints ?? []) this.savepoints.confirm(change)
  }

  /** Sync: of the client, or of ours behind a rewritten Query. */
  sync(bytes: Buffer = SYNC): void {
    this.path.closing()
    this.#sync(bytes, { kind: 'ready', sync: true })
  }

  /**
   * Something waits for a person, perhaps for long: what was only parsed gives its locks back. The client is told
   * nothing of the Sync. What has run or is bound stays in its transaction.
   */
  letGo(): void {
    const holdsLocks = this.status === 'I' && this.unitOpen && !this.skipping && !this.lettingGo
    if (!holdsLocks || this.unitRan || this.portals.someFresh(({ held }) => held !== 'kept')) return
    this.lettingGo = true
    this.syncOwn()
  }

  /** A Sync that the client knows nothing of. */
  syncOwn(): void {
    this.#sync(SYNC, OWN_READY)
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
    const none = `vgate_${this.#context.randomBytes(12).toString('hex')}`
    const { bytes, expectation } = failing(form, reply, { name, none })
    this.send(bytes, expectation)
    if (!expectation.simple) return
    this.expect({ kind: 'ready', sync: false })
    this.closeSegment()
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
    // What the failed transaction leaves of its portals is the database's to say.
    this.portals.forgetAssumptions()
    this.savepoints.forgetAssumptions()
    for (const { expectation, segment } of this.#waiting) this.#assume(expectation, segment)
    for (const { expectation } of dropped) if (expectation.kind === 'guard') expectation.skipped()
    return dropped.map(({ expectation }) => expectation)
  }

  /** A guard failed: what was sent since is skipped, and taken again when the database is in sync. */
  again(): void {
    this.recover({ sqlstate: '40001', message: 'not run: a definition changed' }, () => {})
    this.requeue()
  }

  /** Up to the Sync that stands behind, or one of ours, everything has failed, unseen by the client. */
  recover(error: { readonly sqlstate: string; readonly message: string }, then: () => void): void {
    this.recovered = then
    this.failed = true
    this.copying = 'none'
    this.limited = undefined
    for (const dropped of this.dropSegment()) {
      if ('run' in dropped) this.over(dropped.run, { error })
      if ('runs' in dropped) for (const run of dropped.runs) this.over(run, { error })
    }
    this.failOpen(error)
    const [next] = this.#waiting
    if (next === undefined) this.syncOwn()
    else this.#waiting[0] = { segment: next.segment, expectation: OWN_READY }
  }

  /** ReadyForQuery. */
  ready(status: 'I' | 'T' | 'E'): void {
    this.finished = this.#waiting[0]?.segment ?? this.finished
    this.shift()
    this.status = status
    const { failed } = this
    this.failed = false
    if (this.idle) {
      this.unitOpen = false
      this.unitRan = false
    }
    const recovered = this.recovered
    this.recovered = undefined
    this.#settle(status, failed)
    recovered?.()
  }

  #settle(status: 'I' | 'T' | 'E', failed: boolean): void {
    if (status !== 'I') return
    this.proved.ended()
    this.path.ended()
    this.transactionOver(!failed)
    if (this.idle) this.unitMasked = false
    if (this.ddlSince !== undefined && this.ddlSince <= this.finished) {
      this.ddlSince = undefined
      this.catalogueStale = true
    }
    for (const [run, segment] of [...this.#open]) if (segment <= this.finished) this.over(run, {})
  }

  /** A transaction has ended, and its portals with it; cursors WITH HOLD stay where it was committed. */
  transactionOver(committed: boolean): void {
    this.portals.retain((portal) => {
      if (portal.held === 'asked' && committed) portal.held = 'kept'
      return portal.held === 'kept'
    })
    this.savepoints.retain(() => false)
  }

  /** A run was permitted: however the connection ends, it ends too. */
  permitted(run: Run): void {
    this.#open.set(run, Number.POSITIVE_INFINITY)
  }

  /** A run was permitted and is being sent. */
  opened(run: Run): void {
    run.open()
    this.#open.set(run, this.segment)
    this.unitRan = true
    this.proved.ran()
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
