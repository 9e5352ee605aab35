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
    const assumed = this.#assumed.get(name)
    if (assumed !== undefined) return { value: assumed.value, assumedIn: assumed.segment }
    return { value: this.#confirmed.get(name), assumedIn: undefined }
  }

  assume(change: NameChange<T>, segment: number): void {
    this.#forgetAssumption(change.name)
    this.#assumed.set(change.name, { value: change.value, segment })
    this.#assumedChars += this.#chars(change.value)
  }

  confirm({ name, value }: NameChange<T>): void {
    this.#confirmedChars += this.#chars(value) - this.#chars(this.#confirmed.get(name))
    if (value === undefined) this.#confirmed.delete(name)
    else this.#confirmed.set(name, value)
    if (this.#assumed.get(name)?.value === value) this.#forgetAssumption(name)
  }

  /** Takes every assumption back; the caller repeats those that still stand. */
  forgetAssumptions(): void {
    this.#assumed.clear()
    this.#assumedChars = 0
  }

  /** Every confirmed name goes. */
  clear(): void {
    this.#confirmed.clear()
    this.#confirmedChars = 0
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
