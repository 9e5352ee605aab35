// Owns the question where a session looks names up, asked once behind its login, and the database's answer to it.

import { BodyReader, violation } from './wire.js'

/** As a row for each schema: a name may hold anything. */
export const PATH_QUERY = 'SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))::text'

/** Takes the messages of the answer. */
export class PathAnswer {
  #path: string[] | undefined
  #complete = false

  /** Undefined until it was asked and answered. */
  get searchPath(): readonly string[] | undefined {
    return this.#complete ? this.#path : undefined
  }

  /** One message. True when the answer is over; throws a violation where it is none. */
  take(type: string, bytes: Buffer): boolean {
    const reader = new BodyReader(bytes)
    if (type === 'T' && this.#path === undefined) this.#path = []
    else if (type === 'D' && this.#path !== undefined && reader.count() === 1)
      this.#path.push(reader.value()?.toString('utf8') ?? '')
    else if (type === 'C' && this.#path !== undefined) this.#complete = true
    else if (type === 'Z' && this.#complete) return true
    else if (type !== 'S') throw violation(`the database answered its search path with ${type}`)
    return false
  }
}
