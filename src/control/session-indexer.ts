// Owns when recordings are read for the index: at their end, every few seconds while their sessions live, and at the
// start those that were not. Nobody waits for it; what it cannot do now it tries again.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { RECORDING_SUFFIX } from '../audit/writer.js'
import type { SigningKey } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import type { IndexedSession } from '../store/session-facts.js'
import type { Store } from '../store/store.js'
import type { ControlDeps } from './deps.js'
import type { ReadJob, ReadMessage } from './read-facts.js'
import type { Schedule } from './schedule.js'

/** Between two readings of the recording of a session that lives. */
export const LIVE_MS = 3_000
/** And so many times as long as the last reading took: a long recording is read as a whole each time. */
const REST = 20
const RETRY_MS = 5_000
const PAGE = 200

export interface SessionIndexDeps {
  readonly store: Store
  readonly audit: ControlDeps['audit']
  readonly recordings: { readonly directory: string }
  readonly signingKeys: () => readonly SigningKey[]
  readonly clock: ControlDeps['clock']
  readonly schedule: Schedule
  readonly read: (job: ReadJob) => AsyncIterable<ReadMessage>
  /** For failures of disk and store; told once until it works again. */
  readonly report: (event: string, error: unknown) => void
}

interface Live {
  /** Size when it was last read. */
  size: number
  dueAt: number
}

export class SessionIndex {
  readonly #deps: SessionIndexDeps
  readonly #live = new Map<string, Live>()
  readonly #waiting = new Set<string>()
  #backlog: { readonly before?: { readonly startedAt: number; readonly id: string } } | undefined
  #running: Promise<void> | undefined
  #cancel: () => void = () => undefined
  #failing = false
  #stopped = false

  constructor(deps: SessionIndexDeps) {
    this.#deps = deps
  }

  /** Recordings of ended sessions that wait to be read. While the first look is not over there may be more. */
  get behind(): number {
    return this.#waiting.size + (this.#backlog === undefined ? 0 : 1)
  }

  /** Takes up what was not read when the gateway ended. */
  start(): void {
    this.#backlog = {}
    this.#wake()
    this.#tick()
  }

  /** A session of this gateway lives. */
  opened(session: string): void {
    this.#live.set(session, { size: 0, dueAt: this.#deps.clock.now() + LIVE_MS })
  }

  /** Its recording is closed. */
  ended(session: string): void {
    this.#live.delete(session)
    this.#waiting.add(session)
    this.#wake()
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** Stops after what is being read. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.settled()
  }

  #tick(): void {
    if (this.#stopped) return
    this.#cancel = this.#deps.schedule(LIVE_MS, () => {
      this.#wake()
      this.#tick()
    })
  }

  #wake(): void {
    if (this.#stopped || this.#running !== undefined) return
    this.#running = this.#work().finally(() => {
      this.#running = undefined
    })
  }

  async #work(): Promise<void> {
    try {
      for (;;) {
        if (this.#stopped) return
        const session = await this.#next()
        if (session === undefined) break
        try {
          await this.#index(session)
        } catch (error) {
          // The next try begins with another one.
          if (this.#waiting.delete(session)) this.#waiting.add(session)
          throw error
        }
        this.#waiting.delete(session)
        this.#failing = false
      }
    } catch (error) {
      if (!this.#failing && !this.#stopped) this.#deps.report('index.failed', error)
      this.#failing = true
      if (!this.#stopped) this.#deps.schedule(RETRY_MS, () => this.#wake())
    }
  }

  async #next(): Promise<string | undefined> {
    const [first] = this.#waiting
    if (first !== undefined) return first
    const now = this.#deps.clock.now()
    for (const [session, live] of this.#live) {
      if (live.dueAt > now) continue
      live.dueAt = now + LIVE_MS
      const size = await this.#size(session)
      if (size === live.size) continue
      live.size = size
      return session
    }
    if (this.#backlog === undefined) return undefined
    const page = await this.#deps.store.unindexedSessions(PAGE, this.#backlog.before)
    const last = page.at(-1)
    this.#backlog = last === undefined ? undefined : { before: last }
    for (const { id } of page) this.#waiting.add(id)
    return page[0]?.id
  }

  #path(session: string): string {
    return join(this.#deps.recordings.directory, `${session}${RECORDING_SUFFIX}`)
  }

  async #size(session: string): Promise<number> {
    return (await stat(this.#path(session)).catch(() => undefined))?.size ?? 0
  }

  async #index(session: string): Promise<void> {
    const { store, clock, signingKeys, read } = this.#deps
    const indexed = await store.indexSession(session)
    // What was tampered with stays evidence, and was told.
    if (indexed === undefined || indexed.state === 'tampered') return
    const startedAt = clock.now()
    const job = { session, path: this.#path(session), keys: signingKeys(), from: indexed.records }
    for await (const message of read(job)) await this.#take(indexed, message)
    const live = this.#live.get(session)
    if (live === undefined) return
    const now = clock.now()
    live.dueAt = now + Math.max(LIVE_MS, REST * (now - startedAt))
  }

  async #take(indexed: IndexedSession, message: ReadMessage): Promise<void> {
    const { store } = this.#deps
    const { id } = indexed.session
    if (message.kind === 'touches') return await store.addTouches(indexed, message.touches)
    if (message.kind === 'end') {
      const { closed, ...facts } = message
      const state = closed ? 'done' : this.#live.has(id) ? 'live' : 'incomplete'
      return await store.finishIndex(indexed, { ...facts, state })
    }
    if (message.kind === 'tampered') await this.#tell(id, message.reason)
    // A session that has just begun may have no file yet.
    if (message.kind !== 'missing' || !this.#live.has(id))
      await store.dropIndexed(indexed, message.kind, message.reason)
  }

  async #tell(session: string, reason: string): Promise<void> {
    await this.#deps.audit.append({ type: 'recording.tampered', session, reason }, { sync: true })
    this.#deps.report(
      'recording.tampered',
      new VgateError('VGATE_RECORDING_BROKEN', `the recording of ${session}: ${reason}`),
    )
  }
}
