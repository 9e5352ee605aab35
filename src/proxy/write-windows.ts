// Owns what one person wrote shortly before: distinct keys and rows by target, collection and kind of write, over all
// sessions. It must never count less than was written; where a key has no name each time counts.

import { createHash } from 'node:crypto'
import type { JudgeRequest } from '../core/adapter.js'
import { type CollectionUse, isOperation } from '../core/operation.js'
import type { RecentUses } from '../policy/risks.js'
import { countedAs, type Recent, type Windows } from '../policy/windows.js'
import type { WriteKind } from '../policy/write-kinds.js'

/** Keys of one window that are told apart; beyond them every key counts as another. */
export const KEYS_MAX = 100_000
/** A longer key is remembered by its digest. Characters. */
const KEY_LENGTH = 64
/** After so many requests windows that are over are let go of. */
const SWEEP_EVERY = 1_000
/** Stretches of the longest window in which writes without names are counted together. */
const STRETCHES = 256

/** The writes of one request, counted with those before it. */
export interface Look {
  /** Of each use that is counted. */
  readonly recent: RecentUses
  /** The request goes on: what it writes counts from now on. */
  count(): void
}

/** Whose writes, and over which time. */
export interface Whose {
  readonly principal: string
  readonly target: string
  /** The window of the roles held. Milliseconds. */
  readonly perMs: number
  readonly windows: Windows
}

/** One kind of write on one collection, as a request asks for it. */
interface Part {
  readonly collection: string
  readonly kind: WriteKind
  /** By action, of which each carries its total over the request. */
  readonly counts: Map<string, number>
  readonly uses: CollectionUse[]
}

/** All windows of a data plane. `now` never goes back. */
export class WriteWindows {
  readonly #now: () => number
  readonly #windows = new Map<string, Window>()
  #counted = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** What the request comes to; nothing is counted yet. Undefined where it writes nothing that is counted. */
  look(whose: Whose, request: JudgeRequest): Look | undefined {
    const parts = partsOf(request)
    if (parts === undefined) return undefined
    const now = this.#now()
    const recent = new Map<CollectionUse, Recent>()
    const counts: (() => void)[] = []
    for (const part of parts) {
      const named = namesOf(part, parts, request)
      const total = [...part.counts.values()].reduce((sum, count) => sum + count, 0)
      const found: Mutable<Recent> = { keys: 0, rows: 0, perMs: whose.perMs, freesMs: whose.perMs }
      if (part.kind !== 'insert') {
        const keys = this.#window(whose, part.collection, part.kind)
        // What is not named may be any key.
        const unnamed = Math.max(0, total - named.length)
        const seen = keys.with(named, unnamed, now, whose)
        found.keys = seen.count
        found.freesMs = seen.freesMs
        counts.push(() => keys.add(named, unnamed, now, whose.windows))
      }
      if (part.kind === 'insert' || part.kind === 'upsert') {
        // An insert and an upsert bring rows alike.
        const rows = this.#window(whose, part.collection, 'rows')
        const seen = rows.with([], total, now, whose)
        found.rows = seen.count
        found.freesMs = Math.min(found.freesMs, seen.freesMs)
        counts.push(() => rows.add([], total, now, whose.windows))
      }
      for (const use of part.uses) recent.set(use, found)
    }
    return {
      recent: both(recent, parts),
      count: () => {
        for (const count of counts) count()
        this.#sweep(now)
      },
    }
  }

  #window({ principal, target }: Whose, collection: string, kind: string): Window {
    // None of these names can hold a NUL.
    const key = `${principal}\u0000${target}\u0000${collection}\u0000${kind}`
    let window = this.#windows.get(key)
    if (window === undefined) {
      window = new Window()
      this.#windows.set(key, window)
    }
    return window
  }

  #sweep(now: number): void {
    this.#counted += 1
    if (this.#counted % SWEEP_EVERY !== 0) return
    for (const [key, window] of this.#windows) if (window.isOver(now)) this.#windows.delete(key)
  }
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** Rows of an insert and of an upsert of the same request are rows of both. */
function both(recent: Map<CollectionUse, Recent>, parts: readonly Part[]): RecentUses {
  for (const part of parts) {
    if (part.kind !== 'insert' && part.kind !== 'upsert') continue
    const other = parts.find(
      (one) =>
        one !== part &&
        one.collection === part.collection &&
        (one.kind === 'insert' || one.kind === 'upsert'),
    )
    if (other === undefined) continue
    const more = [...other.counts.values()].reduce((sum, count) => sum + count, 0)
    for (const use of part.uses) {
      const found = recent.get(use)
      if (found !== undefined) recent.set(use, { ...found, rows: found.rows + more })
    }
  }
  return recent
}

function partsOf(request: JudgeRequest): readonly Part[] | undefined {
  let parts: Map<string, Part> | undefined
  for (const operation of request.operations) {
    if (!isOperation(operation)) continue
    for (const use of operation.collections) {
      const counted = countedAs(use)
      if (counted === undefined) continue
      parts ??= new Map()
      const { kind, count } = counted
      const key = `${kind} ${use.collection}`
      const part: Part = parts.get(key) ?? {
        collection: use.collection,
        kind,
        counts: new Map(),
        uses: [],
      }
      parts.set(key, part)
      // Equal actions on a collection carry the total of the request already.
      part.counts.set(use.action, Math.max(count, part.counts.get(use.action) ?? 0))
      part.uses.push(use)
    }
  }
  return parts === undefined ? undefined : [...parts.values()]
}

/** The keys that the request names for a part: only where they can be nothing else's. */
function namesOf(part: Part, parts: readonly Part[], request: JudgeRequest): readonly string[] {
  const { collection } = part
  const field = request.keyedBy?.[collection]
  const alone =
    part.counts.size === 1 &&
    parts.every((other) => other === part || other.collection !== collection)
  if (!alone || field === undefined || field === '' || part.kind === 'insert') return []
  return (request.keys?.[collection] ?? []).map((key) => named(field, key))
}

function named(field: string, key: string): string {
  const name = `${field}\u0000${key}`
  if (name.length <= KEY_LENGTH) return name
  return createHash('sha256').update(name).digest('base64')
}

/** Distinct keys, and numbers of what has no name, by the time at which they were last written. */
class Window {
  /** Oldest first. */
  readonly #keys = new Map<string, number>()
  /** Oldest first; one stands for a stretch of time, and counts until its end is over. */
  #unnamed: { readonly from: number; at: number; count: number }[] = []
  #overAt = 0

  /** How many there are within the window with these. */
  with(
    names: readonly string[],
    unnamed: number,
    now: number,
    { perMs, windows }: Whose,
  ): { readonly count: number; readonly freesMs: number } {
    this.#drop(now - windows.keepMs)
    const since = now - perMs
    const fresh = new Set(names)
    let oldest = now
    let young = this.#keys.size
    for (const at of this.#keys.values()) {
      if (at > since) {
        oldest = at
        break
      }
      young -= 1
    }
    let again = 0
    for (const name of fresh) if ((this.#keys.get(name) ?? since) > since) again += 1
    let without = unnamed
    for (const { at, count } of this.#unnamed) {
      if (at <= since) continue
      oldest = Math.min(oldest, at)
      without += count
    }
    return { count: young - again + fresh.size + without, freesMs: oldest + perMs - now }
  }

  add(names: readonly string[], unnamed: number, now: number, windows: Windows): void {
    this.#overAt = Math.max(this.#overAt, now + windows.keepMs)
    let without = unnamed
    for (const name of names) {
      if (this.#keys.size >= KEYS_MAX && !this.#keys.has(name)) without += 1
      else {
        this.#keys.delete(name)
        this.#keys.set(name, now)
      }
    }
    // With one more than may be named it is bulk, whatever the older ones are.
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= windows.ids + 1) break
      this.#keys.delete(oldest)
    }
    if (without === 0) return
    const last = this.#unnamed.at(-1)
    if (last === undefined || now - last.from >= windows.keepMs / STRETCHES)
      this.#unnamed.push({ from: now, at: now, count: without })
    else {
      last.at = now
      last.count += without
    }
  }

  isOver(now: number): boolean {
    return now >= this.#overAt
  }

  #drop(before: number): void {
    for (const [key, at] of this.#keys) {
      if (at > before) break
      this.#keys.delete(key)
    }
    const young = this.#unnamed.findIndex(({ at }) => at > before)
    if (young !== 0) this.#unnamed = young < 0 ? [] : this.#unnamed.slice(young)
  }
}
