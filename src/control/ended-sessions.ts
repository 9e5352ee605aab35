// Owns writing down that sessions have ended. What store or log cannot take now, on a full disk for instance, is kept
// and tried again: a session that nobody has must not count as open until the next start.

import type { RecordedPrincipal } from '../audit/records.js'
import type { SessionSummary } from '../core/authority.js'
import type { Store } from '../store/store.js'
import type { ControlDeps } from './deps.js'

/** Between two tries. */
export const RETRY_MS = 1_000

interface Ended {
  readonly summary: SessionSummary
  readonly whose: { readonly principal: RecordedPrincipal; readonly target: string } | undefined
  /** The store has it, the log not yet. */
  stored: boolean
  writing: Promise<void> | undefined
}

export interface EndedSessionsDeps {
  readonly store: Pick<Store, 'closeSession'>
  readonly audit: ControlDeps['audit']
  readonly schedule: (ms: number, run: () => void) => () => void
}

export class EndedSessions {
  readonly #deps: EndedSessionsDeps
  readonly #pending = new Map<string, Ended>()
  #armed = false

  constructor(deps: EndedSessionsDeps) {
    this.#deps = deps
  }

  /** Writes the end of a session, once. Rejects when it cannot be written now; it is then tried again. */
  async close(summary: SessionSummary, whose: Ended['whose']): Promise<void> {
    const known = this.#pending.get(summary.session)
    const ended = known ?? { summary, whose, stored: false, writing: undefined }
    this.#pending.set(summary.session, ended)
    try {
      await this.#write(ended)
    } catch (error) {
      this.#arm()
      throw error
    }
  }

  /** Tries now what is still to be written. Never rejects. */
  async settle(): Promise<void> {
    for (const ended of [...this.#pending.values()]) {
      try {
        await this.#write(ended)
      } catch {
        this.#arm() // told when it was first tried
        return
      }
    }
  }

  #arm(): void {
    if (this.#armed) return
    this.#armed = true
    this.#deps.schedule(RETRY_MS, () => {
      this.#armed = false
      void this.settle()
    })
  }

  #write(ended: Ended): Promise<void> {
    ended.writing ??= this.#writeOnce(ended).finally(() => {
      ended.writing = undefined
    })
    return ended.writing
  }

  async #writeOnce(ended: Ended): Promise<void> {
    const { summary, whose } = ended
    const { session, operations, denied, rows, bytesOut, recording, reason } = summary
    if (!ended.stored) {
      ended.stored = await this.#deps.store.closeSession(summary)
      // Closed before: the log has it too.
      if (!ended.stored) return void this.#pending.delete(session)
    }
    const totals = { operations, denied, rows, bytesOut }
    await this.#deps.audit.append(
      { type: 'session.ended', session, ...whose, reason, totals, recording },
      { sync: true },
    )
    this.#pending.delete(session)
  }
}
