// Owns what becomes of CREATE … IF NOT EXISTS where the object is there: the gateway answers it. In its place stands
// upstream what does nothing and tells whether the session takes notices, so that PostgreSQL itself supplies the order,
// the failed transaction and the status.

import type { BindMessage } from './frontend.js'
import type { Prepared } from './objects.js'
import type { Outbox } from './outbox.js'
import type { Pipeline } from './pipeline.js'
import type { Run } from './run.js'
import type { Existing, ParsedStatement } from './statement.js'
import { BodyReader, cstr, fieldsMessage, i16, i32, message } from './wire.js'

/** Shorter than any statement that it stands for. */
const STAND_IN = 'SHOW client_min_messages'
/** Levels at which the server itself would not send a notice. */
const SILENT: ReadonlySet<string> = new Set(['warning', 'error', 'fatal', 'panic'])

/** True where it changes the catalogue that others see when it runs as this. */
export function changesSchema(
  statement: ParsedStatement | undefined,
  run: Run | undefined,
): boolean {
  const found = run?.found
  return (
    statement?.effects.ddl === true && found?.existing === undefined && found?.temporary !== true
  )
}

/**
 * The message, or what of it stands from `from` up to `to`, with the stand-in for each of its statements whose object is
 * there. Every other character keeps its place.
 */
export function standingIn(
  text: string,
  statements: readonly ParsedStatement[],
  runs: readonly Run[],
  [from, to] = [0, text.length],
): string {
  let sent = ''
  let at = from
  for (const [index, { place }] of statements.entries()) {
    if (runs[index]?.found.existing === undefined) continue
    if (place === undefined) throw new Error('a statement of no place is not answered')
    const length = [...text.slice(place.from, place.to)].length
    sent += text.slice(at, place.from) + STAND_IN.padEnd(length)
    at = place.to
  }
  return sent + text.slice(at, to)
}

/** Binds the stand-in in place of the client's statement, with the client's own parameters. */
export function bindStandIn(
  pipeline: Pipeline,
  name: string,
  prepared: Prepared,
  bind: BindMessage,
): Buffer {
  const own = cstr(name)
  const unseen = { changes: {}, swallow: true } as const
  pipeline.send(message('C', 'S', own), { kind: 'close', ...unseen })
  const types = prepared.types.map((type) => i32(type))
  pipeline.send(message('P', own, cstr(STAND_IN), i16(types.length), ...types), {
    kind: 'parse',
    ...unseen,
  })
  const values = bind.values.flatMap((value) =>
    value === null ? [i32(-1)] : [i32(value.length), value],
  )
  const formats = bind.formats.map((format) => i16(format))
  const parameters = [i16(formats.length), ...formats, i16(bind.values.length), ...values]
  return message('B', cstr(bind.portal), own, ...parameters, i16(0))
}

/** Takes what the database answers to the stand-in; what the client is given, once that is known. */
export class ExistingReply {
  readonly #existing: Existing
  #level = ''

  constructor(existing: Existing) {
    this.#existing = existing
  }

  /** One message. The end and the notice before it; nothing to give yet; or `false` where it does not fit. */
  take(
    type: string,
    bytes: Buffer,
  ): { readonly notice?: Buffer; readonly done: Buffer } | undefined | false {
    const reader = new BodyReader(bytes)
    if (type === 'T') return undefined
    if (type === 'D' && reader.count() === 1) {
      this.#level = reader.value()?.toString('utf8') ?? ''
      return undefined
    }
    if (type !== 'C' || this.#level === '') return false
    const { tag, sqlstate, message: text } = this.#existing
    const done = message('C', cstr(tag))
    if (SILENT.has(this.#level)) return { done }
    const notice = new Map([
      ['S', 'NOTICE'],
      ['V', 'NOTICE'],
      ['C', sqlstate],
      ['M', text],
    ])
    return { notice: fieldsMessage('N', notice), done }
  }
}

/** The answers to all stand-ins of a session. */
export class StandInReplies {
  readonly #client: Outbox
  readonly #replies = new WeakMap<Run, ExistingReply>()

  constructor(client: Outbox) {
    this.#client = client
  }

  /** What the client is given in place of a message about a stand-in; `true` where it is given nothing yet. */
  take(type: string, bytes: Buffer, run: Run, existing: Existing): Buffer | boolean {
    const reply = this.#replies.get(run) ?? new ExistingReply(existing)
    this.#replies.set(run, reply)
    const given = reply.take(type, bytes)
    if (given === undefined || given === false) return given === undefined
    if (given.notice !== undefined) this.#client.add(given.notice)
    return given.done
  }
}
