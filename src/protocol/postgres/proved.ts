// Owns how long something is proved in a session's transactions: locks that the server holds end with the
// transaction, which the client's messages end before their answers tell. Never answers "proved" where it is not known.

import { BodyReader, violation } from './wire.js'

/** Rows that one question of the gateway's own may bring: the definitions of all tables. */
const OWN_ROWS_BYTES = 64 * 1024 * 1024

/** Several messages at once that stand in front of a statement: types that are still to come, rows that came. */
export interface GuardReplies {
  readonly kind: 'guard'
  /** `*`: any number of rows. */
  replies: string
  /** Bytes of rows that came. */
  size?: number
  readonly values: (Buffer | null)[][]
  readonly done: () => void
  /** An earlier error skipped it. */
  readonly skipped: () => void
  /** False: the error is the statement's own. */
  readonly failed: (error: { readonly sqlstate: string; readonly message: string }) => boolean
}

/** One message of several that a guard awaits; false where it is none of them. */
export function takeReply(guard: GuardReplies, type: string, bytes: Buffer): boolean {
  const [next, after] = guard.replies
  const more = next === '*' && type === 'D'
  if (!more && type !== (next === '*' ? after : next)) return false
  if (!more) guard.replies = guard.replies.slice(next === '*' ? 2 : 1)
  if (type !== 'D') return true
  guard.size = (guard.size ?? 0) + bytes.length
  if (guard.size > OWN_ROWS_BYTES) throw violation('the database sent too much')
  const reader = new BodyReader(bytes)
  guard.values.push(Array.from({ length: reader.count() }, () => copied(reader.value())))
  reader.done()
  return true
}

const copied = (value: Buffer | null): Buffer | null => (value === null ? null : Buffer.from(value))

/** Where a session stands, as its pipeline knows it. */
interface Standing {
  readonly status: 'I' | 'T' | 'E'
  /** The client's segment, and the last one whose ReadyForQuery came. */
  readonly segment: number
  readonly finished: number
}

/** What holds to the end of a segment, or of the open transaction. */
export class Proved {
  readonly #standing: Standing
  readonly #until = new Map<string, number | 'transaction'>()
  /** Something ran in this segment; a transaction was begun or ended in this one. */
  #ranIn = 0
  #controlIn = 0
  /** Transactions that have ended. */
  transactions = 0

  constructor(standing: Standing) {
    this.#standing = standing
  }

  /** No transaction is open, and nothing has run in this segment: an error now takes nothing back. */
  get fresh(): boolean {
    return this.#isKnown('I') && this.#ranIn !== this.#standing.segment
  }

  /** A transaction is open, and only its own statements end it: what a procedure does stays inside. */
  get enclosed(): boolean {
    return this.#isKnown('T') || this.#isKnown('E')
  }

  /** The transaction has failed: nothing runs before its end. */
  get failed(): boolean {
    return this.#isKnown('E')
  }

  /** Nothing that is under way can have changed the last status. */
  #isKnown(status: 'I' | 'T' | 'E'): boolean {
    return this.#standing.status === status && this.#controlIn <= this.#standing.finished
  }

  has(key: string): boolean {
    const until = this.#until.get(key)
    return until === this.#standing.segment || (until === 'transaction' && this.#isKnown('T'))
  }

  add(key: string): void {
    this.#until.set(key, this.#isKnown('T') ? 'transaction' : this.#standing.segment)
  }

  /** Something runs in this segment. */
  ran(): void {
    this.#ranIn = this.#standing.segment
  }

  /** What was proved may not hold any more. */
  forget(): void {
    this.#until.clear()
  }

  /** A statement that begins or ends a transaction, or a part of one, is being sent: locks may go with it. */
  control(): void {
    this.#until.clear()
    this.#controlIn = this.#standing.segment
  }

  /** ReadyForQuery says that no transaction is open. */
  ended(): void {
    this.transactions += 1
    for (const [key, until] of this.#until)
      if (until === 'transaction' || until <= this.#standing.finished) this.#until.delete(key)
  }
}
