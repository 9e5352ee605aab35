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

/** Names of one kind (statements, portals) of one connection. */
export class NameTable<T> {
  readonly #confirmed = new Map<string, T>()
  readonly #assumed = new Map<string, { value: T | undefined; segment: number }>()

  lookup(name: string): Lookup<T> {
    const assumed = this.#assumed.get(name)
    if (assumed !== undefined) return { value: assumed.value, assumedIn: assumed.segment }
    return { value: this.#confirmed.get(name), assumedIn: undefined }
  }

  assume(change: NameChange<T>, segment: number): void {
    this.#assumed.set(change.name, { value: change.value, segment })
  }

  confirm({ name, value }: NameChange<T>): void {
    if (value === undefined) this.#confirmed.delete(name)
    else this.#confirmed.set(name, value)
    if (this.#assumed.get(name)?.value === value) this.#assumed.delete(name)
  }

  /** Takes every assumption back; the caller repeats those that still stand. */
  forgetAssumptions(): void {
    this.#assumed.clear()
  }

  /** Every confirmed name goes. */
  clear(): void {
    this.#confirmed.clear()
  }

  /** All names that stand for something now. */
  names(): string[] {
    return [...new Set([...this.#confirmed.keys(), ...this.#assumed.keys()])]
  }

  values(): T[] {
    return [...this.#confirmed.values()]
  }
}
