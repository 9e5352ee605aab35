// Owns a database for fuzzing that answers what it is sent, mostly as the protocol says, and sometimes not.

import { REFUSED_TEXT } from '../../src/protocol/postgres/pipeline.js'
import { message } from '../support/raw-postgres-messages.js'
import type { Chance } from './random.js'

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255])
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const error = (code: string): Buffer =>
  message('E', text('SERROR'), text('VERROR'), text(`C${code}`), text('Mno'), Buffer.from([0]))
const text = (value: string): Buffer => Buffer.from(`${value}\0`)

/** What a text is answered with, statement by statement; undefined for a syntax error. */
export type Answers = (text: string) => readonly ('rows' | 'tag' | 'in' | 'out')[] | undefined

/** Answers to the messages of a gateway. */
export class FuzzedDatabase {
  readonly #chance: Chance
  /** How seldom it breaks the protocol: once in so many answers. */
  readonly #lies: number
  readonly #answers: Answers
  #rest: Buffer = Buffer.alloc(0)
  /** Texts of Query, and names of portals that were executed. */
  readonly ran: string[] = []
  #skipping = false
  #status = 'I'

  constructor(chance: Chance, lies: number, answers: Answers) {
    this.#chance = chance
    this.#lies = lies
    this.#answers = answers
  }

  /** What comes back for these bytes. Throws where they are no whole known messages: a gateway never sends such. */
  answer(bytes: Buffer): Buffer {
    this.#rest = Buffer.concat([this.#rest, bytes])
    const answers: Buffer[] = []
    while (this.#rest.length >= 5) {
      const length = this.#rest.readUInt32BE(1) + 1
      if (this.#rest.length < length) break
      const type = String.fromCharCode(this.#rest[0] ?? 0)
      if (!'QPBEDCSHFdcfX'.includes(type))
        throw new Error(`the database was sent a message of type ${JSON.stringify(type)}`)
      const [first = '', second = ''] = this.#rest.toString('utf8', 5, length).split('\0')
      if (type === 'Q' || type === 'E') this.ran.push(first)
      answers.push(this.#one(type, first, second))
      this.#rest = this.#rest.subarray(length)
    }
    return Buffer.concat(answers)
  }

  #one(type: string, first: string, second: string): Buffer {
    const chance = this.#chance
    if (chance.once(this.#lies)) return this.#lie()
    if (type === 'S') {
      this.#skipping = false
      return this.#ready()
    }
    if (this.#skipping || 'HdcfX'.includes(type)) return Buffer.alloc(0)
    if (type === 'F') return Buffer.concat([error('42883'), this.#ready()])
    const failed = this.#fails(type, first, second)
    if (failed !== undefined) {
      this.#skipping = type !== 'Q'
      return this.#skipping ? error(failed) : Buffer.concat([error(failed), this.#ready()])
    }
    if (type === 'P') return message('1')
    if (type === 'B') return message('2')
    if (type === 'C') return message('3')
    if (type === 'D') return this.#described(first)
    if (type === 'Q') return this.#query(first)
    const rows = first.startsWith('vgate_guard_') ? 1 : chance.below(3)
    return Buffer.concat([...this.#rows(rows), this.#complete()])
  }

  /** What the gateway sends in place of a refused message must fail; anything else may. */
  #fails(type: string, first: string, second: string): string | undefined {
    const ours = (name: string): boolean => /^vgate_(?!guard_)/.test(name)
    if (first.includes(REFUSED_TEXT) || second.includes(REFUSED_TEXT)) return '42601'
    if (type === 'B' && ours(second)) return '26000'
    if (type === 'E' && ours(first)) return '34000'
    if (type === 'D' && ours(first.slice(1))) return first.startsWith('S') ? '26000' : '34000'
    return this.#chance.once(15) ? '22012' : undefined
  }

  #described(of: string): Buffer {
    const result = this.#chance.once(3) ? message('n') : this.#columns()
    return of.startsWith('S') ? Buffer.concat([message('t', int16(1), int32(23)), result]) : result
  }

  #query(text: string): Buffer {
    const parts = (this.#answers(text) ?? []).map((kind) => {
      if (kind === 'in')
        return Buffer.concat([message('G', int16(0).subarray(0, 1), int16(0)), this.#complete()])
      if (kind === 'out')
        return Buffer.concat([message('H', int16(0).subarray(0, 1), int16(0)), this.#complete()])
      if (kind === 'tag') return this.#complete()
      return Buffer.concat([
        this.#columns(),
        ...this.#rows(this.#chance.below(3)),
        this.#complete(),
      ])
    })
    return Buffer.concat([...(parts.length === 0 ? [message('I')] : parts), this.#ready()])
  }

  #complete(): Buffer {
    return message('C', text(this.#chance.of(['SELECT 1', 'UPDATE 1', 'COMMIT', 'UNLISTEN'])))
  }

  #rows(count: number): Buffer[] {
    return Array.from({ length: count }, () => this.#row())
  }

  #ready(): Buffer {
    this.#status = this.#chance.once(4) ? this.#chance.of(['I', 'T', 'E']) : this.#status
    return message('Z', Buffer.from(this.#status))
  }

  #columns(): Buffer {
    const column = [text('id'), int32(16384), int16(1), int32(23), int16(4), int32(-1), int16(0)]
    return message('T', int16(1), ...column)
  }

  #row(): Buffer {
    return message('D', int16(1), int32(1), Buffer.from('1'))
  }

  #lie(): Buffer {
    const chance = this.#chance
    const type = chance.of([...'123CDEGHINRSTWZcdnstvAK'])
    return chance.of([
      message(type, chance.bytes(24)),
      chance.broken(this.#columns()),
      chance.broken(this.#row()),
      chance.bytes(16),
    ])
  }
}
