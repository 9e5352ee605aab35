// Owns one session after its login: the queue of the client's messages, and how both directions drive the
// pipeline. Must never let a throw of one direction leave the other running.

import type { AdapterContext, AdapterHost, Answer, Ruling } from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import { clientCap, Framer, UPSTREAM_TYPES } from './framing.js'
import { Judging } from './judging.js'
import { Notifications } from './notifications.js'
import { Pipeline } from './pipeline.js'
import { Replies } from './replies.js'
import { Requests } from './requests.js'
import type { Catalogue, SqlAnalyzer } from './statement.js'
import { fieldsMessage, violation } from './wire.js'

/** Where the host stops reading although the queue is not full: a burst may be on its way. */
const CONGESTED_BYTES = 1024 * 1024

interface Queued {
  readonly type: string
  readonly bytes: Buffer
}

/** Both directions of one authenticated connection. Methods throw the VgateError that ends it. */
export class Session {
  readonly #context: AdapterContext
  readonly pipeline: Pipeline
  readonly #judging: Judging
  readonly #replies: Replies
  readonly #requests: Requests
  readonly #fromClient: Framer
  readonly #fromUpstream: Framer
  #queue: Queued[] = []
  /** What was taken since the last message that a guard may take back, that message first. */
  #since: Queued[] = []
  #next = 0
  #queuedBytes = 0
  #busy = false
  /** Rulings that came before the Sync of `Pipeline.letGo` was answered. */
  #late: { readonly id: number; readonly ruling: Ruling }[] = []
  #over = false

  constructor(
    host: AdapterHost,
    context: AdapterContext,
    analyzer: SqlAnalyzer,
    start: {
      readonly catalogue: Catalogue
      readonly searchPath: readonly string[] | undefined
      readonly lastId: number
      readonly keepsOpen: boolean
    },
    lost: (error: VgateError) => void,
  ) {
    this.#context = context
    this.pipeline = new Pipeline(host, context)
    this.pipeline.keepsOpen = start.keepsOpen
    this.pipeline.requeue = () => this.#requeue()
    this.#judging = new Judging(host, analyzer, this.pipeline, start)
    const notifications = new Notifications(context, this.pipeline, this.#judging)
    this.#replies = new Replies(
      this.pipeline,
      lost,
      (run, then) => this.#judging.limit(run, then),
      (bytes) => notifications.take(bytes),
    )
    this.#requests = new Requests(host, context, this.pipeline, this.#judging)
    const { limits } = context
    this.#fromClient = new Framer((type) => clientCap(type, true, limits.messageBytes))
    this.#fromUpstream = new Framer((type) =>
      UPSTREAM_TYPES.has(type) ? limits.upstreamMessageBytes : undefined,
    )
  }

  get congested(): boolean {
    return this.#queuedBytes > Math.min(CONGESTED_BYTES, this.#context.limits.queuedBytes / 2)
  }

  fromClient(bytes: Buffer): void {
    this.#enter(() => {
      this.#fromClient.push(bytes, (type, whole) => {
        this.#queue.push({ type: String.fromCharCode(type), bytes: whole })
        this.#queuedBytes += whole.length
        this.#drain()
        if (this.#queuedBytes > this.#context.limits.queuedBytes)
          throw violation('too many messages wait for an answer')
      })
    })
  }

  fromUpstream(bytes: Buffer): void {
    this.#enter(() => {
      this.#fromUpstream.push(bytes, (type, whole) => {
        if (!this.#over) this.#replies.take(String.fromCharCode(type), whole)
      })
      if (this.pipeline.lettingGo || this.#over) return
      for (const { id, ruling } of this.#late.splice(0)) this.#judging.ruled(id, ruling)
    })
  }

  ruled(id: number, ruling: Ruling): void {
    this.#enter(() => {
      if (this.pipeline.lettingGo) this.#late.push({ id, ruling })
      else this.#judging.ruled(id, ruling)
    })
  }

  answered(id: number, answer: Answer): void {
    this.#enter(() => this.#judging.answered(id, answer))
  }

  /**
   * Tells the client of a wait by a warning (01000), at once: it may come at any time (PostgreSQL docs, "Asynchronous
   * Operations"). What waits holds no locks that it needs not.
   */
  notify(text: string): void {
    const fields = new Map([
      ['S', 'NOTICE'],
      ['V', 'NOTICE'],
      ['C', '01000'],
      ['M', text],
    ])
    this.#enter(() => {
      this.pipeline.client.add(fieldsMessage('N', fields))
      if (this.#judging.waiting) this.pipeline.letGo()
    })
  }

  /** The connection is over: nothing is taken or sent any more. */
  stop(): void {
    this.#over = true
    this.#queue = []
    this.#since = []
    this.#queuedBytes = 0
    this.#judging.forget()
    this.#fromClient.stop()
    this.#fromUpstream.stop()
  }

  /** Runs one entry, then the queue, then writes. An answer given inside a question only runs its part. */
  #enter(work: () => void): void {
    if (this.#over) return
    if (this.#busy) {
      work()
      return
    }
    this.#busy = true
    try {
      work()
      this.#drain()
      if (this.#over) return
      this.pipeline.flushToUpstream()
      this.pipeline.flushToClient()
    } finally {
      this.#busy = false
    }
  }

  /** Puts back what was taken and did not run: it is taken again, in order. */
  #requeue(): void {
    this.#queue = [...this.#since, ...this.#queue.slice(this.#next)]
    this.#next = 0
    for (const { bytes } of this.#since) this.#queuedBytes += bytes.length
    this.#since = []
  }

  #drain(): void {
    for (;;) {
      const next = this.#queue[this.#next]
      const guarded = this.pipeline.guarding !== undefined
      if (this.#over || next === undefined || !this.#requests.take(next.type, next.bytes)) break
      this.#next += 1
      this.#queuedBytes -= next.bytes.length
      if (guarded) this.#since.push(next)
      else this.#since = [next]
    }
    // Cut off in bulk: a queue of many small messages must not be copied for each.
    if (!this.#over && this.#next * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#next)
      this.#next = 0
    }
  }
}

/** What a throw becomes for the client. A failure of the record is the host's to handle. */
export function asFatal(error: unknown): VgateError | undefined {
  if (error instanceof VgateError)
    return error.code === 'VGATE_RECORDING_UNAVAILABLE' ? undefined : error
  return undefined
}
