// Owns what the adapter knows under the client's statement and portal names. A name changes only when the
// database confirms it; until then it is an assumption that an error takes back.

/** What a name stands for now. */
export interface Lookup<T> {
  /** Undefined: nothing under this name. */
  readonly value: T | undefined
  /** The segment whose reply will confirm it; undefined where it is confirmed. */
  readonly assumedIn: number | undefined
}

/** A change that a message makes if the database accepts it. */
export interface NameChange<T> {
  readonly name: string
  /** Undefined: the name goes away. */
  readonly value: T | undefined
}

/** What PostgreSQL tells the names of statements and portals by, in bytes (NAMEDATALEN less its end). */
export const NAME_BYTES = 63

/** Names that the server takes for one are one here: what follows its 63rd byte does not count. */
function serverName(name: string): string {
  if (name.length * 3 <= NAME_BYTES || Buffer.byteLength(name) <= NAME_BYTES) return name
  return Buffer.from(name).toString('latin1', 0, NAME_BYTES)
}

/** What one name costs besides its value, in characters. */
const NAME_CHARS = 256
/** What the names of one kind on one connection may stand for together, in characters. */
export const NAMED_CHARS_MAX = 16 * 1024 * 1024

/** Names of one kind (statements, portals) of one connection. */
export class NameTable<T> {
  readonly #charsOf: (value: T) => number
  readonly #confirmed = new Map<string, T>()
  readonly #assumed = new Map<string, { value: T | undefined; segment: number }>()
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
    return { value: this.#confirmed.get(key), assumedIn: undefined }
  }

  assume(change: NameChange<T>, segment: number): void {
    const key = serverName(change.name)
    this.#forgetAssumption(key)
    this.#assumed.set(key, { value: change.value, segment })
    this.#assumedChars += this.#chars(change.value)
  }

  confirm({ name, value }: NameChange<T>): void {
    const key = serverName(name)
    this.#confirmedChars += this.#chars(value) - this.#chars(this.#confirmed.get(key))
    if (value === undefined) this.#confirmed.delete(key)
    else this.#confirmed.set(key, value)
    if (this.#assumed.get(key)?.value === value) this.#forgetAssumption(key)
  }

  /** Takes every assumption back; the caller repeats those that still stand. */
  forgetAssumptions(): void {
    this.#assumed.clear()
    this.#assumedChars = 0
  }

  /** Every confirmed name goes whose value does not stay. */
  retain(stays: (value: T) => boolean): void {
    for (const [key, value] of [...this.#confirmed]) {
      if (stays(value)) continue
      this.#confirmed.delete(key)
      this.#confirmedChars -= this.#chars(value)
    }
  }

  /** Whether any name stands for such a value now, confirmed or not. */
  some(test: (value: T) => boolean): boolean {
    const assumed = [...this.#assumed.values()].map(({ value }) => value)
    return [...this.#confirmed.values(), ...assumed].some(
      (value) => value !== undefined && test(value),
    )
  }

  /** All names that stand for something now. */
  names(): string[] {
    return [...new Set([...this.#confirmed.keys(), ...this.#assumed.keys()])]
  }

  #forgetAssumption(name: string): void {
    this.#assumedChars -= this.#chars(this.#assumed.get(name)?.value)
    this.#assumed.delete(name)
  }

  #chars(value: T | undefined): number {
    return value === undefined ? 0 : NAME_CHARS + this.#charsOf(value)
  }
}
