// Owns what the adapter knows under the client's statement and portal names. A name changes only when the
// database confirms it; until then it is an assumption that an error takes back.

/** What a name stands for now. */
export interface Lookup<T> {
  /** Undefined: nothing under this name. */
  readonly value: T | undefined
  /** The segment whose reply will confirm it; undefined where it is confirmed. */
  readonly assumedIn: number | undefined
}

/** What one name will stand for. */
export interface NameSet<T> {
  readonly name: string
  /** Undefined: the name goes away. */
  readonly value: T | undefined
}

/** Many names go away at once: all, or those of what was made since the last `retain` that the test tells. */
export interface NameSweep<T> {
  readonly drops: 'all' | ((value: T) => boolean)
}

/** A change that a message makes if the database accepts it. */
export type NameChange<T> = NameSet<T> | NameSweep<T>

/** What PostgreSQL tells the names of statements and portals by, in bytes (NAMEDATALEN less its end). */
export const NAME_BYTES = 63

/** Names that the server takes for one are one here. Longer ones than it keeps are ASCII (frontend.ts, named.ts). */
function serverName(name: string): string {
  return name.slice(0, NAME_BYTES)
}

/** What one name costs besides its value, in characters. */
const NAME_CHARS = 256
/** What the names of one kind on one connection may stand for together, in characters. */
export const NAMED_CHARS_MAX = 16 * 1024 * 1024

/** What a name will stand for when this change, the last of its name, is confirmed. */
interface Assumption<T> {
  readonly value: T | undefined
  readonly by: NameChange<T>
  readonly segment: number
}

/** Names of one kind (statements, portals) of one connection. */
export class NameTable<T> {
  readonly #charsOf: (value: T) => number
  readonly #confirmed = new Map<string, T>()
  /** Keys confirmed since the last `retain`. */
  readonly #fresh = new Set<string>()
  readonly #assumed = new Map<string, Assumption<T>>()
  #sweeps: { readonly sweep: NameSweep<T>; readonly segment: number }[] = []
  #confirmedChars = 0
  #assumedChars = 0

  /** `charsOf` is about how many characters a value keeps in memory. */
  constructor(charsOf: (value: T) => number) {
    this.#charsOf = charsOf
  }

  /** No room for one more name: the client must close some first. */
  get full(): boolean {
    return this.#confirmedChars + this.#assumedChars >= NAMED_CHARS_MAX
  }

  lookup(name: string): Lookup<T> {
    const key = serverName(name)
    const assumed = this.#assumed.get(key)
    if (assumed !== undefined) return { value: assumed.value, assumedIn: assumed.segment }
    const value = this.#confirmed.get(key)
    const swept = this.#sweeps.findLast(({ sweep }) => value === undefined || drops(sweep, value))
    return swept === undefined
      ? { value, assumedIn: undefined }
      : { value: undefined, assumedIn: swept.segment }
  }

  assume(change: NameChange<T>, segment: number): void {
    if ('drops' in change) return this.#assumeSweep(change, segment)
    const key = serverName(change.name)
    this.#forgetAssumption(key)
    this.#assumed.set(key, { value: change.value, by: change, segment })
    this.#assumedChars += this.#chars(change.value)
  }

  #assumeSweep(sweep: NameSweep<T>, segment: number): void {
    if (sweep.drops === 'all') {
      this.forgetAssumptions()
    } else {
      for (const [key, { value }] of [...this.#assumed]) {
        if (value === undefined || !drops(sweep, value)) continue
        this.#forgetAssumption(key)
        this.#assumed.set(key, { value: undefined, by: sweep, segment })
      }
    }
    this.#sweeps.push({ sweep, segment })
  }

  confirm(change: NameChange<T>): void {
    if ('drops' in change) return this.#confirmSweep(change)
    const key = serverName(change.name)
    const { value } = change
    this.#drop(key)
    if (value !== undefined) {
      this.#confirmed.set(key, value)
      this.#fresh.add(key)
      this.#confirmedChars += this.#chars(value)
    }
    if (this.#assumed.get(key)?.by === change) this.#forgetAssumption(key)
  }

  #confirmSweep(sweep: NameSweep<T>): void {
    const at = this.#sweeps.findIndex((one) => one.sweep === sweep)
    if (at >= 0) this.#sweeps.splice(at, 1)
    if (sweep.drops === 'all') {
      this.#confirmed.clear()
      this.#fresh.clear()
      this.#confirmedChars = 0
    } else {
      this.#dropFresh((value) => drops(sweep, value))
      for (const [key, { by }] of [...this.#assumed]) if (by === sweep) this.#assumed.delete(key)
    }
  }

  /** Takes every assumption back; the caller repeats those that still stand. */
  forgetAssumptions(): void {
    this.#assumed.clear()
    this.#sweeps = []
    this.#assumedChars = 0
  }

  /** Every confirmed name goes whose value does not stay. A value that stayed once is not asked about again. */
  retain(stays: (value: T) => boolean): void {
    this.#dropFresh((value) => !stays(value))
    this.#fresh.clear()
  }

  /** Whether anything that came since the last `retain` passes, confirmed or not. */
  someFresh(test: (value: T) => boolean): boolean {
    const fresh = [...this.#fresh].map((key) => this.#confirmed.get(key))
    const assumed = [...this.#assumed.values()].map(({ value }) => value)
    return [...fresh, ...assumed].some((value) => value !== undefined && test(value))
  }

  #dropFresh(test: (value: T) => boolean): void {
    for (const key of [...this.#fresh]) {
      const value = this.#confirmed.get(key)
      if (value !== undefined && test(value)) this.#drop(key)
    }
  }

  #drop(key: string): void {
    this.#confirmedChars -= this.#chars(this.#confirmed.get(key))
    this.#confirmed.delete(key)
    this.#fresh.delete(key)
  }

  #forgetAssumption(name: string): void {
    this.#assumedChars -= this.#chars(this.#assumed.get(name)?.value)
    this.#assumed.delete(name)
  }

  #chars(value: T | undefined): number {
    return value === undefined ? 0 : NAME_CHARS + this.#charsOf(value)
  }
}

function drops<T>(sweep: NameSweep<T>, value: T): boolean {
  return sweep.drops === 'all' || sweep.drops(value)
}

/** Names as they will be when some more statements of one message have run. */
export class NamesAfter<T extends object> {
  readonly #before: (name: string) => T | undefined | 'later'
  readonly #changed = new Map<string, T | undefined>()
  readonly #sweeps: NameSweep<T>[] = []

  constructor(before: (name: string) => T | undefined | 'later') {
    this.#before = before
  }

  lookup(name: string): T | undefined | 'later' {
    const key = serverName(name)
    if (this.#changed.has(key)) return this.#changed.get(key)
    const value = this.#before(name)
    if (value === undefined || value === 'later') return value
    return this.#sweeps.some((sweep) => drops(sweep, value)) ? undefined : value
  }

  change(change: NameChange<T>): void {
    if (!('drops' in change)) {
      this.#changed.set(serverName(change.name), change.value)
      return
    }
    this.#sweeps.push(change)
    for (const [key, value] of this.#changed)
      if (value !== undefined && drops(change, value)) this.#changed.set(key, undefined)
  }
}
