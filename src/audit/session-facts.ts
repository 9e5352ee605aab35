// Owns what can be looked for in a recording: which operations were judged how on which collections, which keys were
// written or deleted and with what outcome, and the words of its statements. It reads records one after another and
// trusts none of them: a member that is not as it should be is as good as absent.

import type { StoredRecord } from './records.js'
import { isObject, type Judged, judgedOf, keysOf, rowsOf, text } from './session-record.js'

/**
 * `done`: the database said so. `nothing`: it ran and touched no row. `failed`, `rolled_back`: without effect. `running`
 * and `uncommitted`: so far. `unknown`: the recording does not tell, for instance behind ROLLBACK TO.
 */
export type TouchOutcome =
  | 'done'
  | 'nothing'
  | 'failed'
  | 'rolled_back'
  | 'running'
  | 'uncommitted'
  | 'unknown'

/** One key that an operation wrote or deleted, or, without a key, rows that nothing names. */
export interface Touch {
  /** Number of the record that judged the operation. */
  readonly record: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly collection: string
  readonly key?: string
  readonly action: string
  readonly outcome: TouchOutcome
  /** Rows that the whole operation touched, as the database counted them. */
  readonly rows?: number
  /** The approval it ran under. */
  readonly request?: string
  /** Without a key: the statement, where it is recorded. */
  readonly predicate?: string
}

/** How often an action was judged so on a collection; the collection is empty where there is none. */
export interface Use {
  readonly collection: string
  readonly operation: string
  readonly decision: string
  readonly count: number
}

/** Characters of statements and parameters that are kept for the full text; what is beyond is not found by it. */
export const MAX_TEXT = 256 * 1024
/** Touches of one transaction that wait for its end; more are given out as `unknown`. */
const MAX_WAITING = 50_000
const MAX_PREDICATE = 2_000

interface Running extends Judged {
  readonly seq: number
  readonly at: number
  readonly named: Map<string, Set<string>>
  /** Operations of the request that are not over. */
  left: number
  failed: boolean
  lost: boolean
  rows: number | undefined
}

type Waiting = Omit<Touch, 'outcome'> & { readonly outcome: 'done' | 'nothing' | 'unknown' }

interface Transaction {
  open: boolean
  /** A rollback was of the whole or of a part: nobody can tell which. */
  unsure: boolean
  waiting: Waiting[]
}

/** Reads a session's records, in order. */
export class SessionFacts {
  readonly #running = new Map<string, Running>()
  readonly #transactions = new Map<string, Transaction>()
  readonly #uses = new Map<
    string,
    { collection: string; operation: string; decision: string; count: number }
  >()
  readonly #texts = new Set<string>()
  #textLength = 0
  #settled: Touch[] = []
  /** Number of the last record read. */
  records = 0
  /** Some statements are left out of `texts`. */
  textCut = false

  get uses(): readonly Use[] {
    return [...this.#uses.values()]
  }

  /** Distinct statements and parameters. */
  get texts(): readonly string[] {
    return [...this.#texts]
  }

  /** Takes the next record. */
  add(record: StoredRecord): void {
    this.records = record.seq
    if (record.type === 'session.opened') this.#opened(record)
    else if (record.type === 'operation.judged') this.#judged(record)
    else if (record.type === 'operation.delivered') this.#delivered(record)
    else if (record.type === 'operation.ended') this.#ended(record)
    else if (record.type === 'connection.closed') this.#closed(text(record['connection']))
    else if (record.type === 'session.closed') this.#closed(undefined)
  }

  /** What became certain since the last call. */
  take(): readonly Touch[] {
    const settled = this.#settled
    this.#settled = []
    return settled
  }

  /** What is not certain yet. `over`: it never will be, because the recording has ended. */
  open(over: boolean): readonly Touch[] {
    const running = [...this.#running.values()].flatMap((one) =>
      touchesOf(one).map((touch) => ({ ...touch, outcome: over ? 'unknown' : 'running' }) as const),
    )
    const waiting = [...this.#transactions.values()].flatMap((one) =>
      one.waiting.map(
        (touch) => ({ ...touch, outcome: over ? 'unknown' : 'uncommitted' }) as const,
      ),
    )
    return [...running, ...waiting]
  }

  #opened(record: StoredRecord): void {
    const grant = record['grant']
    if (!isObject(grant)) return
    for (const member of ['reason', 'ticket']) this.#say(grant[member])
  }

  #judged(record: StoredRecord): void {
    const judged = judgedOf(record)
    for (const { collection, action } of judged.uses)
      this.#count(collection, action, judged.verdict)
    this.#say(judged.text)
    for (const parameter of judged.parameters) this.#say(parameter)
    // A held operation is judged again when it is let through.
    if (judged.verdict !== 'permit') return
    this.#running.set(`${judged.connection}/${judged.op}`, {
      ...judged,
      seq: record.seq,
      at: Date.parse(record.at) || 0,
      named: new Map(Object.entries(judged.keys).map(([name, keys]) => [name, new Set(keys)])),
      left: Math.max(1, judged.operations),
      failed: false,
      lost: false,
      rows: undefined,
    })
  }

  #delivered(record: StoredRecord): void {
    const running = this.#of(record)
    if (running === undefined) return
    for (const [collection, keys] of Object.entries(keysOf(record['keys']))) {
      const named = running.named.get(collection) ?? new Set()
      for (const key of keys) named.add(key)
      running.named.set(collection, named)
    }
    if (isObject(record['error'])) running.failed = true
    if (record['abandoned'] === true) running.lost = true
    const tag = text(record['tag'])
    const rows = rowsOf(tag)
    if (rows !== undefined) running.rows = (running.rows ?? 0) + rows
    if (record['done'] !== true) return
    if (!running.failed) this.#transaction(running, tag)
    running.left -= 1
    if (running.left === 0 || running.failed || running.lost) this.#settle(running)
  }

  #ended(record: StoredRecord): void {
    const running = this.#of(record)
    if (running === undefined) return
    const outcome = record['outcome']
    if (outcome === 'failed' || outcome === 'cancelled') running.failed = true
    else if (outcome !== 'done') running.lost = true
    this.#settle(running)
  }

  #of(record: StoredRecord): Running | undefined {
    return this.#running.get(`${text(record['connection'])}/${String(record['op'])}`)
  }

  #settle(running: Running): void {
    this.#running.delete(`${running.connection}/${running.op}`)
    const touches = touchesOf(running)
    if (running.failed) return this.#give(touches, 'failed')
    const outcome = running.lost ? 'unknown' : running.rows === 0 ? 'nothing' : 'done'
    const transaction = this.#transactions.get(running.connection)
    if (transaction?.open !== true || running.lost) return this.#give(touches, outcome)
    for (const touch of touches) transaction.waiting.push({ ...touch, outcome })
    if (transaction.waiting.length <= MAX_WAITING) return
    this.#give(transaction.waiting, 'unknown')
    transaction.waiting = []
  }

  /** Follows BEGIN, COMMIT and ROLLBACK by the database's own answers: COMMIT of a failed transaction says ROLLBACK. */
  #transaction({ connection, text: statement }: Running, tag: string): void {
    const known = this.#transactions.get(connection) ?? { open: false, unsure: false, waiting: [] }
    this.#transactions.set(connection, known)
    if (tag === 'BEGIN' || tag === 'START TRANSACTION') {
      if (known.unsure) this.#give(known.waiting.splice(0), 'unknown')
      known.open = true
      known.unsure = false
    }
    if (tag !== 'COMMIT' && tag !== 'ROLLBACK') return
    const partly =
      tag === 'ROLLBACK' &&
      !/^\W*(?:rollback|abort|commit|end)\b(?!.*\bto\b)/is.test(statement ?? '')
    if (partly) {
      // To a savepoint, or under `record: metadata`: nobody can tell what of it stands.
      known.waiting = known.waiting.map((touch) => ({ ...touch, outcome: 'unknown' }))
      known.unsure = true
      return
    }
    for (const touch of known.waiting)
      this.#give([touch], tag === 'COMMIT' ? touch.outcome : 'rolled_back')
    known.open = false
    known.unsure = false
    known.waiting = []
  }

  /** A connection is gone, or all are: what is open on it is rolled back, what ran may have run. */
  #closed(connection: string | undefined): void {
    for (const running of [...this.#running.values()]) {
      if (connection !== undefined && running.connection !== connection) continue
      running.lost = true
      this.#settle(running)
    }
    for (const [name, transaction] of [...this.#transactions]) {
      if (connection !== undefined && name !== connection) continue
      this.#give(transaction.waiting, transaction.unsure ? 'unknown' : 'rolled_back')
      this.#transactions.delete(name)
    }
  }

  #give(touches: readonly Omit<Touch, 'outcome'>[], outcome: TouchOutcome): void {
    for (const touch of touches) this.#settled.push({ ...touch, outcome })
  }

  #count(collection: string, operation: string, decision: string): void {
    const name = JSON.stringify([collection, operation, decision])
    const use = this.#uses.get(name) ?? { collection, operation, decision, count: 0 }
    use.count += 1
    this.#uses.set(name, use)
  }

  #say(said: unknown): void {
    if (typeof said !== 'string' || said === '' || this.#texts.has(said)) return
    if (this.#textLength + said.length > MAX_TEXT) {
      this.textCut = true
      return
    }
    this.#textLength += said.length
    this.#texts.add(said)
  }
}

/** The keys that a request named, and for each collection whose rows it named not all, one without a key. */
function touchesOf(running: Running): Omit<Touch, 'outcome'>[] {
  const { seq, at, rows, request } = running
  const base = {
    record: seq,
    at,
    ...(rows === undefined ? {} : { rows }),
    ...(request === undefined ? {} : { request }),
  }
  return running.writes.flatMap(({ collection, action, expected }): Omit<Touch, 'outcome'>[] => {
    const named = running.named.get(collection) ?? new Set<string>()
    const keys = [...named].map((key) => ({ ...base, collection, key, action }))
    // One statement whose answer names as many keys as it counts rows leaves none unnamed.
    const all =
      running.operations === 1 &&
      rows !== undefined &&
      running.writes.length === 1 &&
      named.size >= rows
    const unnamed = running.keysUnknown || expected === undefined || named.size < expected
    if (!unnamed || all) return keys
    const predicate = running.text?.slice(0, MAX_PREDICATE)
    return [
      ...keys,
      { ...base, collection, action, ...(predicate === undefined ? {} : { predicate }) },
    ]
  })
}
