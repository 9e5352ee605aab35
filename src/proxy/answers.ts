// Owns what was found out about a database, for as long as it may be used. It must never give out an answer that is
// older than the question allows; it knows nothing of databases.

import type { Question } from '../core/adapter.js'

export type LoadQuestion = Extract<Question, { kind: 'load' }>

/** Past this part of its age an answer that is used is renewed behind the scenes, so that nobody waits for it. */
const RENEW_AFTER = 0.5

interface Answered {
  /** When the load of it began. */
  readonly at: number
  readonly value: unknown
}

interface Loading {
  readonly at: number
  readonly value: Promise<unknown>
}

/** Answers by key. Keys are the adapters' own words, never a client's, so that there are few. */
export class Answers {
  readonly #now: () => number
  readonly #load: (question: LoadQuestion, previous: unknown) => Promise<unknown>
  readonly #answered = new Map<string, Answered>()
  readonly #loading = new Map<string, Loading>()

  constructor(
    now: () => number,
    load: (question: LoadQuestion, previous: unknown) => Promise<unknown>,
  ) {
    this.#now = now
    this.#load = load
  }

  /** The answer where it is in memory and young enough; undefined: ask `find`. */
  known(question: LoadQuestion): { readonly value: unknown } | undefined {
    const answered = this.#answered.get(question.key)
    if (answered === undefined) return undefined
    const age = this.#now() - answered.at
    if (age < 0) {
      // The clock was set back: how old it is nobody knows.
      this.#answered.delete(question.key)
      return undefined
    }
    if (age >= question.maxAgeMs) return undefined
    if (age >= question.maxAgeMs * RENEW_AFTER && !this.#loading.has(question.key)) {
      // Whoever asks when the answer has grown too old is told of the failure; this one still holds.
      this.#start(question).catch(() => undefined)
    }
    return answered
  }

  /** Answers from memory where `maxAgeMs` allows; concurrent questions share one load. Rejects as the load does. */
  find(question: LoadQuestion): Promise<unknown> {
    const known = this.known(question)
    if (known !== undefined) return Promise.resolve(known.value)
    const loading = this.#loading.get(question.key)
    // A load that began before the question does not answer one that wants to know how it is now.
    if (loading !== undefined && this.#now() - loading.at < question.maxAgeMs) return loading.value
    return this.#start(question)
  }

  #start(question: LoadQuestion): Promise<unknown> {
    const at = this.#now()
    const loading: Loading = { at, value: this.#loaded(question, at) }
    this.#loading.set(question.key, loading)
    const over = (): void => {
      if (this.#loading.get(question.key) === loading) this.#loading.delete(question.key)
    }
    loading.value.then(over, over)
    return loading.value
  }

  async #loaded(question: LoadQuestion, at: number): Promise<unknown> {
    const value = await this.#load(question, this.#answered.get(question.key)?.value)
    const newest = this.#answered.get(question.key)
    if (newest === undefined || newest.at <= at) this.#answered.set(question.key, { at, value })
    return value
  }
}
