// Owns which keys an operation writes or deletes, as they are recorded: all of them where they are few, else the first
// thousand and a Bloom filter of the rest. Nothing in vgate asks the filter yet (docs/adr/0018-recordings.md).

import type { CollectionUse } from '../core/operation.js'

/** Keys of one operation that are recorded as they are, over all its collections. */
export const KEYS_MAX = 1_000
const BITS_PER_KEY = 10
const HASHES = 7
const MAX_BITS = 8 * 1024 * 1024

/** A set that never denies a key it holds, and grants one it does not hold in about 1 of 100 cases. */
export interface KeyFilter {
  /** Keys in it. */
  readonly count: number
  readonly hashes: number
  /** Bits, the first in the highest bit of the first byte; base64. How they are found is told in docs/recordings.md. */
  readonly bits: string
}

/** Collection → keys. */
export type NamedKeys = Readonly<Record<string, readonly string[]>>

export interface RecordedKeys {
  readonly keys?: NamedKeys
  /** Collection → the keys beyond the first KEYS_MAX. */
  readonly keysMore?: Readonly<Record<string, KeyFilter>>
  /** Keys are written or deleted that the request does not name; its text holds the predicate. */
  readonly keysUnknown?: true
}

/** What is recorded of the keys of one request. `uses` are those of all its operations. */
export function recordedKeys(
  named: NamedKeys | undefined,
  uses: readonly CollectionUse[],
): RecordedKeys {
  const unknown = uses.some((use) => use.access === 'write' && !isNamed(named, use, uses))
  const unnamed = unknown ? ({ keysUnknown: true } as const) : {}
  if (named === undefined) return unnamed
  let left = KEYS_MAX
  const keys: [string, readonly string[]][] = []
  const more: [string, KeyFilter][] = []
  for (const [collection, all] of Object.entries(named)) {
    keys.push([collection, all.length <= left ? all : all.slice(0, left)])
    if (all.length > left) more.push([collection, keyFilter(all.slice(left))])
    left = Math.max(0, left - all.length)
  }
  return {
    keys: Object.fromEntries(keys),
    ...(more.length === 0 ? {} : { keysMore: Object.fromEntries(more) }),
    ...unnamed,
  }
}

/** At least as many keys are named as the writes to this collection touch. */
function isNamed(
  named: NamedKeys | undefined,
  { collection }: CollectionUse,
  uses: readonly CollectionUse[],
): boolean {
  let touched = 0
  for (const use of uses) {
    if (use.collection !== collection || use.access !== 'write') continue
    if (use.effect.kind === 'none') continue
    if (use.effect.kind !== 'ids' && use.effect.kind !== 'rows') return false
    touched += use.effect.count
  }
  const keys = named !== undefined && Object.hasOwn(named, collection) ? named[collection] : []
  return (keys?.length ?? 0) >= touched
}

/** A filter over these keys. */
export function keyFilter(keys: readonly string[]): KeyFilter {
  const bytes = Buffer.alloc(Math.ceil(Math.min(MAX_BITS, keys.length * BITS_PER_KEY) / 8))
  for (const key of keys) put(bytes, key)
  return { count: keys.length, hashes: HASHES, bits: bytes.toString('base64') }
}

function put(bytes: Buffer, key: string): void {
  for (const bit of bitsOf(key, bytes.length * 8)) {
    const at = bit >>> 3
    bytes[at] = (bytes[at] ?? 0) | (0x80 >>> (bit & 7))
  }
}

/** The keys of one operation that come one after another, in bounded memory: the first KEYS_MAX by name, the rest in filters. */
export class KeyTally {
  #left = KEYS_MAX
  readonly #more = new Map<string, { count: number; readonly bytes: Buffer }>()

  /** Counts these, and answers those of them that are recorded as they are. */
  add(named: NamedKeys): NamedKeys | undefined {
    const told: [string, readonly string[]][] = []
    for (const [collection, keys] of Object.entries(named)) {
      const first = keys.slice(0, this.#left)
      this.#left -= first.length
      if (first.length > 0) told.push([collection, first])
      if (keys.length > first.length) this.#count(collection, keys.slice(first.length))
    }
    return told.length === 0 ? undefined : Object.fromEntries(told)
  }

  /** Filters over the others since the last call, where there are any. */
  more(): RecordedKeys['keysMore'] {
    if (this.#more.size === 0) return undefined
    const filters = Object.fromEntries(
      [...this.#more].map(([collection, { count, bytes }]) => {
        const bits = folded(bytes, count * BITS_PER_KEY).toString('base64')
        return [collection, { count, hashes: HASHES, bits }]
      }),
    )
    this.#more.clear()
    return filters
  }

  #count(collection: string, keys: readonly string[]): void {
    const more = this.#more.get(collection) ?? { count: 0, bytes: Buffer.alloc(MAX_BITS / 8) }
    this.#more.set(collection, more)
    more.count += keys.length
    for (const key of keys) put(more.bytes, key)
  }
}

/**
 * Nobody knows at the first key how many there will be, so the filter begins at its largest. Its size is a power of
 * two: the halves laid over one another are the filter of half the size.
 */
function folded(bytes: Buffer, bits: number): Buffer {
  let all = bytes
  while (all.length > 1 && (all.length / 2) * 8 >= bits) {
    const half = all.length / 2
    all = Buffer.from(all.subarray(0, half).map((byte, at) => byte | (all[half + at] ?? 0)))
  }
  return all
}

/** Double hashing (Kirsch and Mitzenmacher) of two FNV-1a sums over the key's UTF-8. */
function bitsOf(key: string, bits: number): readonly number[] {
  const bytes = Buffer.from(key, 'utf8')
  const first = fnv1a(bytes, 0x811c9dc5)
  const second = fnv1a(bytes, 0x050c5d1f) | 1
  return Array.from({ length: HASHES }, (_, index) => (first + index * (second >>> 0)) % bits)
}

function fnv1a(bytes: Buffer, basis: number): number {
  let sum = basis
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193)
  // FNV mixes its low bits badly: the finalizer of MurmurHash3.
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b)
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35)
  return (sum ^ (sum >>> 16)) >>> 0
}
