// Owns the policy in force while the gateway runs: it notices a changed file, takes the new policy as a whole or not
// at all, and tells the log and the sessions. It must never enforce a file that is half written or half right.

import { type BigIntStats, statSync } from 'node:fs'
import type { AuditPort } from '../control/deps.js'
import type { LoadedPolicy } from '../control/settings.js'
import { VgateError } from '../core/errors.js'
import { ConfigError, formatIssue } from '../core/strict-yaml.js'

/**
 * The file is looked at this often. Looking, and not the system's notices: those are lost on network file systems, on
 * bind mounts, and when the file is a link whose goal is exchanged (Kubernetes ConfigMaps).
 */
export const POLICY_POLL_MS = 200
/** Issues that go into the audit log; all of them go into the gateway's log. */
const AUDITED_ISSUES = 20

/** What is logged of a change. The same shape as pino's methods. */
export interface PolicyLogger {
  info(fields: Readonly<Record<string, unknown>>): void
  error(fields: Readonly<Record<string, unknown>>): void
}

export interface PolicyWatchOptions {
  /** Absolute path. */
  readonly file: string
  readonly initial: LoadedPolicy
  /** Reads and compiles the file. Throws a ConfigError, or VGATE_CONFIG_INVALID. */
  readonly load: () => LoadedPolicy
  readonly audit: AuditPort
  readonly logger: PolicyLogger
  /** Called when `current` answers something else than before. */
  readonly changed: () => void
}

/** The policy in force, and its file under watch. */
export class PolicyWatch {
  readonly #options: PolicyWatchOptions
  #current: LoadedPolicy
  /** State of the file that was last looked into. */
  #judged: string
  /** State of the file at the last look; it is read when two looks in a row see the same. */
  #seen: string
  #timer: NodeJS.Timeout | undefined
  #work: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: PolicyWatchOptions) {
    this.#options = options
    this.#current = options.initial
    // Not what the file is now: it may have changed since `initial` was read. The first look compares.
    this.#judged = ''
    this.#seen = ''
  }

  readonly current = (): LoadedPolicy => this.#current

  /** Looks at the file from now on. */
  start(): void {
    this.#timer = setInterval(() => this.#look(), POLICY_POLL_MS)
    this.#timer.unref()
  }

  /** Reads the file now, whatever it was (SIGHUP). Never rejects: what is wrong is logged. */
  reload(): Promise<void> {
    this.#seen = stateOf(this.#options.file)
    this.#judged = this.#seen
    return this.#take(true)
  }

  /** Ends watching; a change that is being taken is finished first. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#work
  }

  #look(): void {
    const state = stateOf(this.#options.file)
    const still = state === this.#seen
    this.#seen = state
    // A file that is being written is left alone: its first half may well be a policy, with the last rules missing.
    if (!still || state === this.#judged) return
    this.#judged = state
    void this.#take(false)
  }

  #take(asked: boolean): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (!this.#stopped) await this.#replace(asked)
    })
    return this.#work
  }

  async #replace(asked: boolean): Promise<void> {
    const { file, load, audit, logger, changed } = this.#options
    let fresh: LoadedPolicy
    try {
      fresh = load()
    } catch (error) {
      return await this.#rejected(error)
    }
    const { hash } = fresh
    if (hash === this.#current.hash) {
      if (asked) logger.info({ event: 'policy.unchanged', hash, file })
      return
    }
    try {
      // First the log, durably: a policy that nobody can later be shown is not enforced.
      await audit.append({ type: 'policy.loaded', hash, file }, { sync: true })
    } catch (error) {
      return await this.#rejected(error)
    }
    this.#current = fresh
    logger.info({ event: 'policy.loaded', hash, file })
    changed()
  }

  /** The policy of before stays in force. */
  async #rejected(error: unknown): Promise<void> {
    const { file, audit, logger } = this.#options
    const { hash } = this.#current
    const issues = issuesOf(error, file)
    logger.error({ event: 'policy.rejected', file, issues, inForce: hash })
    await audit
      .append({
        type: 'policy.rejected',
        file,
        inForce: hash,
        issues: issues.slice(0, AUDITED_ISSUES),
      })
      .catch(() => logger.error({ event: 'policy.rejected_not_audited', file }))
  }
}

/** What distinguishes one state of the file from another; a link's goal counts, so that an exchanged one is seen. */
function stateOf(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs }: BigIntStats = statSync(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return 'missing'
  }
}

function issuesOf(error: unknown, file: string): readonly string[] {
  if (error instanceof ConfigError) return error.issues.map(formatIssue)
  if (error instanceof VgateError) return [error.message]
  return [`${file} cannot be taken: ${error instanceof Error ? error.name : 'unknown error'}`]
}
