// Owns the sending of a corpus item over a raw connection, and what was seen of it. The same driver runs
// straight against PostgreSQL for the control run.

import type { CorpusItem, Step } from './corpus.js'
import { stepsOf } from './corpus.js'
import type { Control } from './corpus-control.js'
import { errorFields, RawPostgres, type Reply } from './raw-postgres.js'
import {
  GSSENC_REQUEST,
  PROTOCOL_3_0,
  queryOfBytes,
  SSL_REQUEST,
  startup,
} from './raw-postgres-messages.js'

/** Where an item is sent and as whom. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

/** A simple query with its own replies, and what the database logged from its sending to its answer. */
export interface Query {
  readonly sql: string
  readonly replies: readonly Reply[]
  readonly log: string
}

/** Who answers what is held, and the database's log since the item began. */
export interface Watch {
  readonly control: Control
  readonly log: () => string
}

/** What was seen of one item. */
export interface Transcript {
  /** The connection it ran on, perhaps over. */
  readonly connection: RawPostgres
  /** Replies after the log-in, or all of them where the item starts up by itself. */
  readonly replies: readonly Reply[]
  /** Each simple query of the item. */
  readonly queries: readonly Query[]
  /** Every byte received. */
  readonly bytes: Buffer
  /** The server ended the connection, unasked. */
  readonly closedByServer: boolean
  /** A wait ran out: neither an answer nor an end, or no hold where one was awaited. */
  readonly timedOut: boolean
}

/**
 * Runs an item to its end. Never throws for what the server does. Where something is held and the item says nothing of
 * it, `watch.control` denies it.
 */
export async function runItem(
  item: CorpusItem,
  endpoint: Endpoint,
  watch?: Watch,
): Promise<Transcript> {
  const starts = item.mode === 'raw-connection' && stepsOf(item).some(startsConnection)
  const connection = starts
    ? await RawPostgres.open(endpoint)
    : await RawPostgres.login({ ...endpoint, timeoutMs: 20_000 })
  const script = new Script(connection, endpoint, watch)
  const steps = stepsOf(item)
  for (const [index, step] of steps.entries()) {
    if (connection.closed) break
    await script.run(step, steps[index + 1])
  }
  await script.finish()
  return script.transcript()
}

function startsConnection(step: string | Step): boolean {
  return (
    typeof step === 'object' &&
    ['startup', 'startup_dup', 'ssl', 'gssenc'].some((name) => name in step)
  )
}

class Script {
  readonly #raw: RawPostgres
  readonly #endpoint: Endpoint
  readonly #from: number
  readonly #queries: Query[] = []
  readonly #control: Control | undefined
  readonly #log: () => string
  /** Where the replies of a query begin whose answer has to wait for steps of the item. */
  #open: number | undefined
  #seenNotices: number
  #request: string | undefined
  #terminated = false
  #timedOut = false

  constructor(raw: RawPostgres, endpoint: Endpoint, watch: Watch | undefined) {
    this.#raw = raw
    this.#endpoint = endpoint
    this.#control = watch?.control
    this.#log = watch?.log ?? (() => '')
    this.#from = raw.replies.length
    this.#seenNotices = this.#from
  }

  async run(step: string | Step, next: string | Step | undefined): Promise<void> {
    const raw = this.#raw
    if (typeof step === 'string') return this.#simple(step)
    if ('m' in step) {
      const from = raw.replies.length
      raw.step(step)
      if (step.m === 'X') {
        this.#terminated = true
        await raw.waitClosed()
      }
      if (typeof next === 'object' && 'await' in next) {
        this.#open = from
        return
      }
      if ('QSF'.includes(step.m)) await this.#answered(step.m === 'Q' ? 'ZGW' : 'Z', from)
      // The end of a COPY is answered only where one had begun.
      if ('cf'.includes(step.m) && raw.replies.at(-1)?.type === 'G') await this.#answered('Z', from)
      return
    }
    if ('bytes_hex' in step) {
      const from = raw.replies.length
      raw.send(queryOfBytes(Buffer.from(step.bytes_hex, 'hex')))
      return this.#answered('Z', from)
    }
    if ('startup' in step) return this.#start(Object.entries(step.startup), step.proto)
    if ('startup_dup' in step) return this.#start(step.startup_dup)
    if ('ssl' in step || 'gssenc' in step) {
      const early = typeof next === 'object' && 'hex_immediately' in next
      const behind = early ? [Buffer.from(next.hex_immediately, 'hex')] : []
      await raw.askBare('ssl' in step ? SSL_REQUEST : GSSENC_REQUEST, ...behind)
      return
    }
    if ('hex' in step) return raw.send(Buffer.from(step.hex, 'hex'))
    if ('text' in step) return raw.send(Buffer.from(step.text, 'utf8'))
    if ('hex_immediately' in step || 'expect_close_or_error_within_s' in step) {
      // The bytes of `hex_immediately` went out together with the request before them.
      return this.#refused()
    }
    return this.#acted(step)
  }

  /** What other people do while it waits. */
  async #acted(step: Step): Promise<void> {
    const control = this.#control
    // Straight at the database nobody waits: then there is nothing to answer or to take away.
    if (control === undefined || 'upstream_sends' in step) return
    if ('await' in step) {
      if (step.await !== 'approval-requested') throw new Error(`cannot wait for ${step.await}`)
      if ((await this.#notice(this.#open ?? this.#from, '')) === 'timeout') this.#timedOut = true
      return
    }
    if ('revoke_grant' in step) return control.revokeGrant(step.revoke_grant)
    if (this.#request === undefined) throw new Error('nothing was held that could be answered')
    if ('approve' in step)
      return step.approve ? control.approve(this.#request, 1) : control.deny(this.#request)
    if ('approve_concurrently' in step)
      return control.approve(this.#request, step.approve_concurrently)
    throw new Error(`unknown step ${JSON.stringify(step)}`)
  }

  /** A query that was left open for the item's own steps is answered, or the connection over. */
  async finish(): Promise<void> {
    if (this.#open === undefined || this.#raw.closed) return
    if ((await this.#raw.waitFor('Z', this.#open)) === 'timeout') this.#timedOut = true
  }

  transcript(): Transcript {
    const raw = this.#raw
    return {
      connection: raw,
      replies: raw.replies.slice(this.#from),
      queries: this.#queries,
      bytes: raw.received,
      closedByServer: raw.closed && !this.#terminated,
      timedOut: this.#timedOut,
    }
  }

  async #simple(sql: string): Promise<void> {
    const from = this.#raw.replies.length
    const before = this.#log().length
    this.#raw.step({ m: 'Q', sql })
    await this.#answered('ZG', from)
    if (this.#raw.replies.at(-1)?.type === 'G') {
      const behind = this.#raw.replies.length
      this.#raw.step({ m: 'c' })
      await this.#answered('Z', behind)
    }
    const replies = this.#raw.replies.slice(from)
    this.#queries.push({ sql, replies, log: this.#log().slice(before) })
  }

  async #answered(types: string, from: number): Promise<void> {
    for (;;) {
      const end = await this.#notice(from, types)
      if (end === 'timeout') this.#timedOut = true
      if (end !== 'held') return
      if (this.#request !== undefined) await this.#control?.deny(this.#request)
    }
  }

  /** Waits for a reply of these types or for a hold, whichever comes first. */
  async #notice(from: number, types: string): Promise<'held' | 'found' | 'closed' | 'timeout'> {
    for (;;) {
      const fresh = Math.max(from, this.#seenNotices)
      const at = this.#raw.replies.findIndex((one, index) => index >= fresh && requestOf(one))
      const request = requestOf(this.#raw.replies[at])
      if (request !== undefined && this.#control !== undefined) {
        this.#seenNotices = at + 1
        this.#request = request
        await this.#control.held(request)
        return 'held'
      }
      if (this.#raw.replies.slice(from).some(({ type }) => types.includes(type))) return 'found'
      const behind = this.#raw.replies.length
      const end = await this.#raw.waitFor(`${types}N`, behind)
      if (end !== 'found') return end
    }
  }

  /** The corpus' own names (`alice`, `probe`) become those of this end. */
  async #start(parameters: [string, string][], protocol = PROTOCOL_3_0): Promise<void> {
    const named = parameters.map(([name, value]): [string, string] => {
      if (name === 'user') return [name, this.#endpoint.user]
      if (name === 'database' && value === 'probe') return [name, this.#endpoint.database]
      return [name, value]
    })
    this.#raw.send(startup(named, protocol))
    const accepted = await this.#raw.authenticate(this.#endpoint)
    if (!accepted && isFatal(errorsOf(this.#raw.replies).at(-1))) await this.#raw.waitClosed()
  }

  /** Waits for an error or the end; a fatal error is followed by the end. */
  async #refused(): Promise<void> {
    const end = await this.#raw.waitFor('E', this.#from)
    if (end === 'timeout') this.#timedOut = true
    if (end === 'found' && isFatal(errorsOf(this.#raw.replies).at(-1))) await this.#raw.waitClosed()
  }
}

function isFatal(error: Record<string, string> | undefined): boolean {
  return error?.['S'] === 'FATAL' || error?.['S'] === 'PANIC'
}

/** The errors among the replies, by their fields. */
export function errorsOf(replies: readonly Reply[]): Record<string, string>[] {
  return replies.filter((reply) => reply.type === 'E').map((reply) => errorFields(reply.body))
}

/** What a run gave, in a form that two runs can be compared by: rows, completions and SQLSTATEs. */
export function outcomeOf(replies: readonly Reply[]): string {
  return replies
    .filter((reply) => 'DCIE'.includes(reply.type))
    .map((reply) =>
      reply.type === 'E'
        ? `E:${errorFields(reply.body)['C']}`
        : `${reply.type}:${reply.body.toString('hex')}`,
    )
    .join('\n')
}

/** The request that a notice says is waited for. */
function requestOf(reply: Reply | undefined): string | undefined {
  if (reply?.type !== 'N') return undefined
  return /request (req_[0-9a-z]+) waits/.exec(reply.body.toString())?.[1]
}
