// Owns going forward and back in a recording of any size: it reads on from where it stands, keeps the last records
// that it read, and begins again for what lies further back. It never holds more than those.

import { setImmediate as turn } from 'node:timers/promises'
import type { Told } from './story.js'

export type Test = (told: Told) => boolean

export interface Travel {
  readonly signal?: AbortSignal
  /** Called now and then with the number of the record that is read. */
  readonly progress?: (record: number) => void
}

/** What is kept, in records and in characters of their texts. */
const KEPT_RECORDS = 4096
const KEPT_CHARACTERS = 8 * 1024 * 1024
/** Others get their turn after so many records: keys must be heard while it reads. */
const TURN_RECORDS = 512

export class Timeline {
  readonly #open: () => AsyncGenerator<Told>
  readonly #total: () => number
  #reader: AsyncGenerator<Told> | undefined
  /** The last record that the reader gave. */
  #read = 0
  #kept: Told[] = []
  #characters = 0

  /**
   * `open` gives the records from the first one, and goes on when there are more; `total` says how many there are now.
   */
  constructor(open: () => AsyncGenerator<Told>, total: () => number) {
    this.#open = open
    this.#total = total
  }

  /**
   * Up to `count` records behind number `after` that pass, in order: at least one if there is one, fewer where they
   * are large. Rejects with the signal's reason.
   */
  async next(
    after: number,
    count: number,
    test: Test,
    travel: Travel = {},
  ): Promise<readonly Told[]> {
    if (after < this.#firstKept - 1) await this.#restart()
    const found: Told[] = []
    let characters = 0
    const take = (told: Told): void => {
      if (told.record.seq <= after || !test(told)) return
      found.push(told)
      characters += weightOf(told)
    }
    const isFull = (): boolean => found.length >= count || characters > KEPT_CHARACTERS
    for (const told of this.#kept) if (!isFull()) take(told)
    while (!isFull()) {
      const told = await this.#advance(travel, after)
      if (told === undefined) break
      take(told)
    }
    return found
  }

  /**
   * The last `count` records up to number `upTo` that pass, in order. What lies before the records that are kept is
   * read again, unless the way leads forward.
   */
  async last(
    upTo: number,
    count: number,
    test: Test,
    travel: Travel = {},
  ): Promise<readonly Told[]> {
    const known = this.recent(upTo, count, test)
    if (upTo <= this.#read) {
      if (known.length === count || this.#firstKept <= 1) return known
      await this.#restart()
    }
    const found = this.#read === 0 ? [] : [...known]
    let characters = 0
    while (this.#read < upTo) {
      const told = await this.#advance(travel, upTo - KEPT_RECORDS)
      if (told === undefined) break
      if (!test(told)) continue
      found.push(told)
      characters += weightOf(told)
      while (found.length > count || (characters > KEPT_CHARACTERS && found.length > 1)) {
        const dropped = found.shift()
        if (dropped !== undefined) characters -= weightOf(dropped)
      }
    }
    return found
  }

  /** What `last` finds among the records that are kept. */
  recent(upTo: number, count: number, test: Test): readonly Told[] {
    const found: Told[] = []
    for (let index = this.#kept.length - 1; index >= 0 && found.length < count; index -= 1) {
      const told = this.#kept[index]
      if (told !== undefined && told.record.seq <= upTo && test(told)) found.push(told)
    }
    return found.reverse()
  }

  async close(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    await reader?.return(undefined)
  }

  get #firstKept(): number {
    return this.#kept[0]?.record.seq ?? this.#read + 1
  }

  async #restart(): Promise<void> {
    await this.close()
    this.#read = 0
    this.#kept = []
    this.#characters = 0
  }

  /** Reads one record; keeps it unless it lies before `keepFrom`. */
  async #advance(travel: Travel, keepFrom: number): Promise<Told | undefined> {
    // A reader would wait for what is still to come.
    if (this.#read >= this.#total()) return undefined
    this.#reader ??= this.#open()
    const { value, done } = await this.#reader.next()
    if (done === true) return undefined
    const { seq } = value.record
    this.#read = seq
    if (seq >= keepFrom) this.#keep(value)
    else if (this.#kept.length > 0) this.#forget(this.#kept.length)
    if (seq % TURN_RECORDS === 0) {
      travel.progress?.(seq)
      await turn()
      // Between two records: the next call goes on from here.
      travel.signal?.throwIfAborted()
    }
    return value
  }

  #keep(told: Told): void {
    this.#kept.push(told)
    this.#characters += weightOf(told)
    let over = 0
    let characters = this.#characters
    while (
      this.#kept.length - over > 1 &&
      (this.#kept.length - over > KEPT_RECORDS * 2 || characters > KEPT_CHARACTERS * 2)
    ) {
      const told = this.#kept[over]
      if (told !== undefined) characters -= weightOf(told)
      over += 1
    }
    // In halves, because cutting the front of an array off costs its length.
    if (over > 0) this.#forget(Math.min(this.#kept.length - 1, over + (this.#kept.length >> 1)))
  }

  #forget(count: number): void {
    for (const told of this.#kept.slice(0, count)) this.#characters -= weightOf(told)
    this.#kept = this.#kept.slice(count)
  }
}

const weights = new WeakMap<Told, number>()

/** Roughly the characters of a record, without making its text. */
export function weightOf(told: Told): number {
  let weight = weights.get(told)
  if (weight === undefined) {
    weight = sizeOf(told.record)
    weights.set(told, weight)
  }
  return weight
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 4
  let size = 2
  for (const [key, member] of Object.entries(value)) size += key.length + 4 + sizeOf(member)
  return size
}
