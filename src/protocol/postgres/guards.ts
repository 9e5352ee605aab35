// Owns the proof, in a session's own server, that a statement runs with the catalogue it was judged with (ADR 0023):
// a guard stands in front of it, in the same transaction, and fails where it would not. Must never let a statement
// go ahead whose guard has not been sent.

import type { AdapterContext } from '../../core/adapter.js'
import { VERSIONS_QUERY } from './catalogue-queries.js'
import { GUARD_PREFIX, guardKey, guardText, namesKey, versionsOf } from './guard-text.js'
import type { Prepared } from './objects.js'
import type { AskOwn } from './own-catalogue.js'
import type { Pipeline } from './pipeline.js'
import { takesBack } from './search-path.js'
import type { CatalogueUses, ParsedStatement, Row } from './statement.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

const OWN = '/* vgate: what does this transaction see of its own changes? */'
/** Guards kept prepared for one session; the one that was used longest ago goes. */
const GUARDS_MAX = 100
const TIMESTAMPTZ = 1184
const OID_ARRAY = 1028
const PORTAL = `${GUARD_PREFIX}portal`

/** Errors of a guard that say: something that it names is not what it was. Any other is the statement's own. */
const CHANGED: ReadonlySet<string> = new Set([
  '22012', // it was analysed again
  '26000', // somebody took the guard away
  '42P01', // a relation has gone
  '3F000', // a schema has gone
  '42809', // it is of another kind
])

interface Guard {
  readonly name: string
  /** When the server analysed it, as it answered. */
  stamp: Buffer
  /** The transaction in which that was: until it ends the stamp tells nothing. */
  since: number
  /** Bind with the stamp, and Execute. */
  bytes: Buffer
}

/** How a statement may go on. */
export type Secured = 'same' | 'changed' | { readonly reply: ErrorReply }

interface DatabaseError {
  readonly sqlstate: string
  readonly message: string
}

type Outcome =
  | 'skipped'
  | { readonly values: readonly (Buffer | null)[][] }
  | { readonly error: DatabaseError; readonly fresh?: boolean }

/** A name of the gateway's own in a client's hand. */
export const RESERVED: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '42602',
  message: `names that begin with "${GUARD_PREFIX}" are the gateway's own`,
}

/** Definitions change faster than they can be read. */
export const UNSETTLED: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '40001',
  message: 'what this statement uses was redefined while it was judged',
  hint: 'run the transaction again',
}

/** The guards of one session. */
export class Guards {
  readonly #pipeline: Pipeline
  readonly #context: AdapterContext
  readonly #reload: (then: (same: boolean) => void) => void
  readonly #known = new Map<string, Guard>()
  #versions: string | undefined
  /** An answer is awaited before anything else is taken. */
  waiting = false

  /** `reload` reads the catalogue anew and tells whether it is the one that was judged with. */
  constructor(
    pipeline: Pipeline,
    context: AdapterContext,
    reload: (then: (same: boolean) => void) => void,
  ) {
    this.#pipeline = pipeline
    this.#context = context
    this.#reload = reload
  }

  /**
   * Before judging: what the statement uses is what it was judged with, and stays so to the end of the transaction,
   * or `front` will prove it. `changed`: judge again, with a catalogue read from now on.
   */
  secure(uses: CatalogueUses | undefined, then: (secured: Secured) => void): void {
    const known = uses !== undefined && this.#known.has(guardKey(uses))
    if (known && this.#pipeline.proved.fresh) return then('same')
    this.prove(uses, then)
  }

  /** As `secure`, but proved now: after a wait, or where a guard in front would take too much back. */
  prove(uses: CatalogueUses | undefined, then: (secured: Secured) => void): void {
    if (uses === undefined || this.#unneeded(uses)) return then('same')
    const key = guardKey(uses)
    const guard = this.#known.get(key)
    const { ddlSince, proved } = this.#pipeline
    if (guard === undefined || guard.since === proved.transactions || ddlSince !== undefined) {
      return this.#establish(key, uses, then)
    }
    this.#await(bindGuard(guard.name, null), '2DC3', (outcome) => {
      if (outcome === 'skipped') return then('same')
      if ('error' in outcome) return this.#failed(key, outcome, then)
      const stamp = outcome.values[0]?.[0]
      if (!stamp?.equals(guard.stamp)) return this.#establish(key, uses, then)
      this.#pipeline.proved.add(key)
      then('same')
    })
  }

  #unneeded(uses: CatalogueUses): boolean {
    const { skipping, proved } = this.#pipeline
    return skipping || proved.failed || proved.has(guardKey(uses))
  }

  /** Prepares the guard, which takes the locks, and compares what is locked with what was judged. */
  #establish(key: string, uses: CatalogueUses, then: (secured: Secured) => void): void {
    // Behind a schema change of its own a guard is not kept: what it knows may be rolled back.
    const passing = this.#pipeline.ddlSince !== undefined
    const known = passing ? undefined : this.#known.get(key)
    const name = known?.name ?? this.#newName()
    const parse = known === undefined ? [parseOf(name, guardText(uses), TIMESTAMPTZ)] : []
    const close = passing ? [message('C', 'S', cstr(name))] : []
    const versions = this.#versions ?? this.#newName()
    const first = this.#versions === undefined ? [parseOf(versions, VERSIONS_QUERY, OID_ARRAY)] : []
    const bytes = Buffer.concat([
      ...parse,
      bindGuard(name, null),
      ...close,
      ...first,
      bindVersions(versions, uses),
    ])
    const guard = `${'1'.repeat(parse.length)}2DC3${'3'.repeat(close.length)}`
    const replies = `${guard}${'1'.repeat(first.length)}2DC3`
    this.#await(bytes, replies, (outcome) => {
      if (outcome === 'skipped') return then('same')
      if ('error' in outcome) return this.#failed(key, outcome, then)
      this.#versions = versions
      const [[stamp] = [], [found, isolation] = []] = outcome.values
      const known = found?.toString() ?? ''
      // In a transaction with one snapshot the versions are those of its beginning: the catalogue itself is asked.
      const frozen = !/^read (?:un)?committed$/.test(isolation?.toString() ?? '')
      const same = stamp instanceof Buffer && (frozen || known === versionsOf(uses.relations))
      const settle = (): void => {
        if (stamp instanceof Buffer && !passing) this.#remember(key, name, stamp)
        this.#pipeline.proved.add(key)
        then('same')
      }
      if (!same) {
        // The catalogue is read on another connection, which shall not wait for what this one holds.
        this.#pipeline.letGo()
        return this.#changed(then)
      }
      if (!frozen) return settle()
      this.#reload((unchanged) => (unchanged ? settle() : this.#changed(then)))
    })
  }

  #remember(key: string, name: string, stamp: Buffer): void {
    this.#known.delete(key)
    const bytes = bindGuard(name, stamp)
    this.#known.set(key, { name, stamp, since: this.#pipeline.proved.transactions, bytes })
    const [oldest] = this.#known
    if (this.#known.size <= GUARDS_MAX || oldest === undefined) return
    this.#known.delete(oldest[0])
    this.#expect(message('C', 'S', cstr(oldest[1].name)), '3', () => {})
  }

  #newName(): string {
    return `${GUARD_PREFIX}${this.#context.randomBytes(12).toString('hex')}`
  }

  /** In front of a statement: nothing where its transaction holds the proof, else a guard that fails without it. */
  front(uses: CatalogueUses | undefined): void {
    if (uses === undefined || this.#unneeded(uses)) return
    const key = guardKey(uses)
    const guard = this.#known.get(key)
    if (guard === undefined || !this.#pipeline.proved.fresh)
      throw new Error('a statement without its guard')
    this.#pipeline.proved.add(key)
    this.#pipeline.guarding = this.#pipeline.segment
    this.#pipeline.ledIn = this.#pipeline.segment
    this.#expect(guard.bytes, '2DC3', (outcome) => {
      this.#pipeline.guarding = undefined
      if (outcome === 'skipped' || !('error' in outcome)) return
      this.#known.delete(key)
      this.#pipeline.path.doubt()
      this.#pipeline.again()
    })
  }

  /**
   * What a plan that is made now hangs on. Of names that more than one schema may have, the server's plan is what they
   * meant when it was made, or described: as long as their guard was not analysed again, that is what they mean.
   */
  planOf(uses: CatalogueUses | undefined): string {
    const names = namesKey(uses)
    const alone = uses?.temporary !== true && (uses?.path.length ?? 0) < 2
    if (uses === undefined || names === '' || alone) return names
    const key = guardKey(uses)
    return `${names}|${key}|${this.#known.get(key)?.stamp.toString('hex') ?? ''}`
  }

  /**
   * Before a Bind: the server's plan keeps what the names meant when it was made. Where that is not what was judged, a new
   * one, which the name stands for once the database says so.
   */
  plan(prepared: Prepared, uses: CatalogueUses | undefined): Prepared {
    const names = prepared.sql === true ? namesKey(uses) : this.planOf(uses)
    // A failed transaction would close it, and not parse it again.
    if (prepared.names === names || this.#pipeline.proved.failed) return prepared
    if (prepared.sql === true) throw new Error('what PREPARE made is not parsed again')
    const { name, text, types } = prepared
    const renewed: Prepared = { ...prepared, names, segment: this.#pipeline.segment }
    const change = (value: Prepared | undefined) => ({
      changes: { statements: [{ name, value }] },
      swallow: true,
    })
    const close = message('C', 'S', cstr(name))
    const parse = message('P', cstr(name), cstr(text), i16(types.length), ...types.map(i32))
    this.#pipeline.send(close, { kind: 'close', ...change(undefined) })
    this.#pipeline.send(parse, { kind: 'parse', ...change(renewed) })
    return renewed
  }

  /** A statement that ends prepared statements or transactions is being sent. */
  passing({ effects }: ParsedStatement): void {
    this.#pipeline.path.passing(effects)
    if (effects.deallocates === '*') this.clear()
    const { transaction, modes, calls } = effects
    const { proved } = this.#pipeline
    if (transaction !== undefined || (calls === true && !proved.enclosed)) proved.control()
    if (takesBack(effects) || modes === true) this.#pipeline.changes += 1
  }

  /** Every prepared statement of the session may be gone. */
  clear(): void {
    this.#known.clear()
    this.#versions = undefined
  }

  /** Asks this in the session's own connection, unseen by the client, and leaves nothing behind there. */
  readonly ask: AskOwn = (queries, then) => {
    this.waiting = true
    const answers: Row[][] = []
    let over = false
    const settle = (outcome: Outcome): void => {
      if (over) return
      if (outcome !== 'skipped' && 'values' in outcome) {
        answers.push(outcome.values.map((row) => row.map((value) => value?.toString() ?? null)))
        if (answers.length < queries.length) return
      }
      over = true
      const go = (): void => {
        this.waiting = false
        if (outcome !== 'skipped') then('error' in outcome ? outcome : answers)
      }
      if (outcome !== 'skipped' && 'error' in outcome) this.#pipeline.recover(outcome.error, go)
      else go()
    }
    for (const query of queries) {
      const name = this.#newName()
      const bind = message('B', cstr(PORTAL), cstr(name), i16(0), i16(0), i16(0))
      const parse = message('P', cstr(name), cstr(`${OWN} ${query}`), i16(0))
      const bytes = [parse, bind, EXECUTE, message('C', 'S', cstr(name))]
      this.#expect(Buffer.concat(bytes), '12*C33', settle)
    }
    this.#pipeline.flushUpstream()
  }

  #await(bytes: Buffer, replies: string, then: (outcome: Outcome) => void): void {
    this.waiting = true
    this.#pipeline.ledIn = this.#pipeline.segment
    const { fresh } = this.#pipeline.proved
    this.#expect(bytes, replies, (outcome) => {
      const go = (): void => {
        this.waiting = false
        then(failed ? { ...outcome, fresh } : outcome)
      }
      const failed = outcome !== 'skipped' && 'error' in outcome
      if (failed) this.#pipeline.recover(outcome.error, go)
      else go()
    })
    this.#pipeline.flushUpstream()
  }

  /** `then` is called once: with what came, with the error, or that an earlier error skipped it all. */
  #expect(bytes: Buffer, replies: string, then: (outcome: Outcome) => void): void {
    const values: (Buffer | null)[][] = []
    let settled = false
    const settle = (outcome: Outcome): void => {
      if (settled) return
      settled = true
      then(outcome)
    }
    this.#pipeline.send(bytes, {
      kind: 'guard',
      replies,
      values,
      done: () => settle({ values }),
      failed: (error) => {
        if (!this.waiting && !CHANGED.has(error.sqlstate)) return false
        settle({ error })
        return true
      },
      skipped: () => settle('skipped'),
    })
  }

  /** Something is not what it was, and where names are looked up may be it. */
  #changed(then: (secured: Secured) => void): void {
    this.#pipeline.path.doubt()
    then('changed')
  }

  /** The transaction is over with it, as it would be with the statement itself. */
  #failed(
    key: string,
    { error, fresh }: Extract<Outcome, { readonly error: DatabaseError }>,
    then: (secured: Secured) => void,
  ): void {
    this.#known.delete(key)
    this.#versions = undefined
    if (!CHANGED.has(error.sqlstate)) then({ reply: { severity: 'ERROR', ...error } })
    else if (fresh === true) this.#changed(then)
    else then({ reply: UNSETTLED })
  }
}

const parseOf = (name: string, text: string, type: number): Buffer =>
  message('P', cstr(name), cstr(text), i16(1), i32(type))

const EXECUTE = Buffer.concat([message('E', cstr(PORTAL), i32(0)), message('C', 'P', cstr(PORTAL))])

/** Bind in binary, both ways, and Execute: a stamp is echoed as it came. */
function bindGuard(name: string, stamp: Buffer | null): Buffer {
  const value = stamp === null ? [i32(-1)] : [i32(stamp.length), stamp]
  const head = [cstr(PORTAL), cstr(name), i16(1), i16(1), i16(1)]
  return Buffer.concat([message('B', ...head, ...value, i16(1), i16(1)), EXECUTE])
}

function bindVersions(name: string, { relations }: CatalogueUses): Buffer {
  const oids = Buffer.from(`{${relations.map(({ oid }) => oid).join(',')}}`)
  const head = [cstr(PORTAL), cstr(name), i16(0), i16(1)]
  return Buffer.concat([message('B', ...head, i32(oids.length), oids, i16(0)), EXECUTE])
}
