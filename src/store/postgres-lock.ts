// Owns the claim of one gateway on a PostgreSQL store: an advisory lock of a session on a connection of its own. While
// it is not held, nobody may use the store; it is taken again as soon as that is possible.

import type pg from 'pg'
import { VgateError } from '../core/errors.js'
import { codeOf, POSTGRES, postgresError } from './postgres-errors.js'

/** "vgat": vgate's locks among those of other programs in the same database. */
const CLASS = 0x76676174
/** Held by the gateway that uses the store. */
const GATEWAY = 1
/** Held while the tables are changed. */
const MIGRATION = 2

/** How long a start waits for the lock: the server may not have noticed yet that the one before has died. */
const LOCK_WAIT_MS = 2_000
/** Between two proofs that the lock is still held. */
const PROOF_MS = 2_000
/** Between two tries to take it again. */
const RETRY_MS = 500
const CLOSE_DEADLINE_MS = 1_000

const HELD = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = ${CLASS}
  AND objid = ${GATEWAY} AND objsubid = 2 AND pid = pg_backend_pid() AND granted`

export interface LockOptions {
  /** A connected client of its own. */
  connect(): Promise<pg.Client>
  /** Brings the tables up to date; run with the lock in hand, each time it is taken. */
  prepare(client: pg.Client): Promise<void>
  /** Hears of each loss and of each return. */
  readonly changed: (event: 'store.lost' | 'store.regained', why?: VgateError) => void
}

/** Waits, inside the transaction of `client`, until nobody else changes the tables. */
export async function awaitMigrations(client: pg.Client): Promise<void> {
  await client.query(`SELECT pg_advisory_xact_lock(${CLASS}, ${MIGRATION})`)
}

export class StoreLock {
  readonly #options: LockOptions
  #client: pg.Client | undefined
  #lost: VgateError | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  private constructor(options: LockOptions) {
    this.#options = options
  }

  /** Takes the lock. Rejects with VGATE_STORE_UNAVAILABLE, also when another gateway has it. */
  static async take(options: LockOptions): Promise<StoreLock> {
    const lock = new StoreLock(options)
    await lock.#take()
    return lock
  }

  /** Throws VGATE_STORE_UNAVAILABLE unless the lock is held, as far as is known. */
  demand(): void {
    if (this.#lost !== undefined) throw this.#lost
  }

  /** Lets the lock go. */
  async close(): Promise<void> {
    this.#closed = true
    this.#lost = new VgateError('VGATE_STORE_UNAVAILABLE', `${POSTGRES} is closed`)
    clearTimeout(this.#timer)
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) await ended(client)
  }

  async #take(): Promise<void> {
    let client: pg.Client | undefined
    try {
      client = await this.#options.connect()
      await claim(client)
      await this.#options.prepare(client)
    } catch (error) {
      if (client !== undefined) void ended(client)
      throw postgresError(error)
    }
    if (this.#closed) return await ended(client)
    const mine = client
    this.#client = mine
    this.#lost = undefined
    mine.once('end', () => this.#lose(mine, new Error('Connection terminated')))
    this.#arm(PROOF_MS, () => this.#prove(mine))
  }

  /** A connection whose other side is gone says nothing, so it is asked. */
  async #prove(client: pg.Client): Promise<void> {
    try {
      const { rowCount } = await client.query(HELD)
      if (rowCount !== 1) throw new Error('Connection terminated: its lock is not held')
      if (this.#client === client) this.#arm(PROOF_MS, () => this.#prove(client))
    } catch (error) {
      this.#lose(client, error)
    }
  }

  #lose(client: pg.Client, error: unknown): void {
    if (this.#client !== client || this.#closed) return
    this.#client = undefined
    this.#lost = postgresError(error)
    void ended(client)
    this.#options.changed('store.lost', this.#lost)
    this.#arm(0, () => this.#regain())
  }

  async #regain(): Promise<void> {
    try {
      await this.#take()
      if (!this.#closed) this.#options.changed('store.regained')
    } catch (error) {
      if (this.#closed) return
      this.#lost = postgresError(error)
      this.#arm(RETRY_MS, () => this.#regain())
    }
  }

  #arm(ms: number, run: () => Promise<void>): void {
    clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(() => void run(), ms)
  }
}

async function claim(client: pg.Client): Promise<void> {
  try {
    await client.query(`SET lock_timeout = ${LOCK_WAIT_MS}`)
    await client.query(`SELECT pg_advisory_lock(${CLASS}, ${GATEWAY})`)
  } catch (error) {
    if (codeOf(error) !== '55P03') throw error
    throw new VgateError('VGATE_STORE_UNAVAILABLE', `${POSTGRES} is in use by another gateway`, {
      hint: 'one gateway at a time may use a store; end the other, or wait until it is gone',
    })
  }
}

/** Ends a client; one whose server does not answer is left behind after a moment. */
async function ended(client: pg.Client): Promise<void> {
  const deadline = new Promise<void>((resolve) => {
    setTimeout(resolve, CLOSE_DEADLINE_MS).unref()
  })
  await Promise.race([client.end().catch(() => undefined), deadline])
}
