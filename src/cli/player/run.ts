// Owns running the player: events in, frames out, and the one question to the recording that is under way.

import type { StoredRecord } from '../../audit/records.js'
import type { Colors } from '../../audit/render-parts.js'
import { tell } from '../../audit/story.js'
import { Timeline } from '../../audit/timeline.js'
import { type Only, type Pace, testFor } from '../play.js'
import { exitCodeOfSignal, onSignal } from '../signals.js'
import { travelTo } from './goal.js'
import { type PlayerEvent, react } from './react.js'
import { Screen } from './screen.js'
import { type Ask, firstState, type PlayerState, WINDOW, wakeAt } from './state.js'
import { surveyOf } from './survey.js'
import { View } from './view.js'

/** What is played: a recording, or a session that goes on. */
export interface Playable {
  readonly total: number
  readonly live: boolean
  /** From the first one, as often as it is asked. */
  records(): AsyncGenerator<StoredRecord>
  /** The same, and then those that are still to come. */
  all(): AsyncGenerator<StoredRecord>
  /** Resolves when there are more records, or the session has ended. */
  grown(signal: AbortSignal): Promise<void>
}

export interface PlayOptions {
  readonly pace: Pace
  readonly only: Only | undefined
  readonly paused: boolean
  /** Wait for what is still to come. */
  readonly follow: boolean
  readonly startedAt: string | undefined
  readonly color: Colors
}

/** Pictures are at least this far apart: a terminal is not faster. */
const FRAME_MS = 30
const BATCH = 64

/** Plays on this process's terminal until the person quits; answers the exit code. */
export function playOnTerminal(playable: Playable, options: PlayOptions): Promise<number> {
  return new Player(playable, options).run()
}

class Player {
  readonly #playable: Playable
  readonly #timeline: Timeline
  readonly #screen: Screen
  readonly #view: View
  readonly #over = new AbortController()
  #state: PlayerState
  #travel = new AbortController()
  /** Questions are answered one after another: a recording has one reader. */
  #answering: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #painting: NodeJS.Timeout | undefined
  #end: ((outcome: number | Error) => void) | undefined

  constructor(playable: Playable, options: PlayOptions) {
    this.#playable = playable
    this.#timeline = new Timeline(
      () => tell(playable.all()),
      () => playable.total,
    )
    this.#view = new View(options.color)
    this.#screen = new Screen(process.stdin, process.stdout, {
      key: (key) => this.#take({ kind: 'key', key, now: Date.now() }),
      resize: (width, height) => this.#take({ kind: 'resize', width, height, now: Date.now() }),
      gone: () => this.#end?.(exitCodeOfSignal('SIGHUP')),
    })
    const { pace, only, paused, startedAt, follow } = options
    const { total } = playable
    const shape = { total, live: playable.live && follow, playing: !paused, pace, only, startedAt }
    this.#state = firstState({ ...this.#screen.size, ...shape })
  }

  async run(): Promise<number> {
    const ended = new Promise<number | Error>((resolve) => {
      this.#end = resolve
    })
    const ignore = onSignal((signal) => this.#end?.(exitCodeOfSignal(signal)))
    this.#screen.enter()
    try {
      this.#take({ kind: 'tick', now: Date.now() })
      this.#watch()
      const outcome = await ended
      if (outcome instanceof Error) throw outcome
      return outcome
    } finally {
      this.#over.abort()
      this.#travel.abort()
      clearTimeout(this.#timer)
      clearTimeout(this.#painting)
      this.#screen.leave()
      ignore()
      await this.#answering
      await this.#timeline.close()
    }
  }

  #take(event: PlayerEvent): void {
    if (this.#over.signal.aborted) return
    const { state, ask } = react(this.#state, event)
    this.#state = state
    if (state.quit !== undefined) {
      this.#end?.(state.quit === 'quit' ? 0 : exitCodeOfSignal('SIGINT'))
      return
    }
    if (ask !== undefined) this.#answer(ask)
    this.#schedule()
    this.#painting ??= setTimeout(() => this.#paint(), event.kind === 'key' ? 0 : FRAME_MS)
  }

  #paint(): void {
    this.#painting = undefined
    const { lines, scroll } = this.#view.frame(this.#state)
    this.#state = { ...this.#state, scroll }
    this.#screen.paint(lines)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    const due = wakeAt(this.#state)
    if (due === undefined) return
    const ms = Math.max(1, due - Date.now())
    this.#timer = setTimeout(() => this.#take({ kind: 'tick', now: Date.now() }), ms)
  }

  /** What was asked before is given up, unless it is only more of the same. */
  #answer(ask: Ask): void {
    if (ask.kind !== 'more') this.#travel.abort()
    if (this.#travel.signal.aborted) this.#travel = new AbortController()
    if (ask.kind === 'cancel') return
    const { signal } = this.#travel
    this.#inTurn(async () => {
      if (signal.aborted) return
      const event = await this.#found(ask, signal)
      if (!signal.aborted) this.#take(event)
    })
  }

  #inTurn(work: () => Promise<void>): void {
    this.#answering = this.#answering.then(work).catch((error: unknown) => {
      if (error instanceof Error && error.name === 'AbortError') return
      this.#end?.(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #found(ask: Exclude<Ask, { kind: 'cancel' }>, signal: AbortSignal): Promise<PlayerEvent> {
    const test = testFor(ask.only)
    const progress = (record: number): void => {
      if (!signal.aborted) this.#take({ kind: 'progress', record, now: Date.now() })
    }
    if (ask.kind === 'more') {
      const records = await this.#timeline.next(ask.after, BATCH, test, { signal })
      return { kind: 'more', records, now: Date.now() }
    }
    const { startedAt } = this.#state
    const from = { record: ask.from, test, window: WINDOW, startedAt }
    const records = await travelTo(this.#timeline, ask.goal, from, { signal, progress })
    return { kind: 'arrived', records, now: Date.now() }
  }

  /** What is learnt beside the playing: marks of a whole recording, or that a live one has grown. */
  #watch(): void {
    const { signal } = this.#over
    const beside = this.#state.live ? this.#follow(signal) : this.#survey(signal)
    beside.catch((error: unknown) => {
      if (!signal.aborted) this.#end?.(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #survey(signal: AbortSignal): Promise<void> {
    const survey = await surveyOf(this.#playable.records(), this.#playable.total, signal)
    this.#take({ kind: 'surveyed', survey, now: Date.now() })
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (this.#playable.live) {
      await this.#playable.grown(signal)
      this.#inTurn(async () => {
        const { total, live } = this.#playable
        this.#take({ kind: 'grown', total, live, now: Date.now() })
      })
    }
  }
}
