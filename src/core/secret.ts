// Owns Secret<T>: a value that cannot be printed, serialised or inspected by accident.

import { inspect } from 'node:util'

const REDACTED = '[secret]'

/** Wraps a credential. Only `reveal()` gives the value back; every other way of reading it says `[secret]`. */
export class Secret<T = string> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  /** The wrapped value. Call it where the value is used, never to store it. */
  reveal(): T {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}
