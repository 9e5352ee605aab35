// Owns reading a recording while it is written: its final bytes as a stream that lasts until it is closed. Whoever
// reads must be allowed to all the time, and is audited once.

import type { FileHandle } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import type { Hono } from 'hono'
import { z } from 'zod'
import { FinalBytes } from '../../audit/final-bytes.js'
import { PATHS } from '../../core/api.js'
import { VgateError } from '../../core/errors.js'
import { FOLLOW_SIGNS, followFrame } from '../../core/follow-frames.js'
import type { VerifiedToken } from '../../identity/tokens.js'
import type { ControlDeps } from '../deps.js'
import { type ControlContext, type ControlEnv, readQuery } from '../http.js'
import { auditReading, openRecordingFile, visibleSession } from './sessions.js'

/** Between two looks at a file that did not grow. */
const POLL_MS = 250
/** Proxies and clients take a silent connection for a dead one. */
const ALIVE_MS = 5_000
/** How often it is asked whether caller and session still stand. */
const CHECK_MS = 2_000
/** One person cannot hold more files and connections open than this. */
export const FOLLOWED_MAX = 8
/** In which a caller whose token ended goes on with a new one. */
const RENEWAL_MS = 60_000

const followQuery = z.strictObject({
  from: z
    .string()
    .regex(/^(0|[1-9]\d{0,14})$/)
    .transform(Number)
    .optional(),
})

interface Reading {
  readonly session: string
  readonly caller: VerifiedToken
  readonly file: FileHandle
  readonly final: FinalBytes
}

class Followers {
  readonly #deps: ControlDeps
  /** By principal. */
  readonly #open = new Map<string, number>()
  /** By principal and session: readings that stopped for a new token, and where. */
  readonly #renewals = new Map<string, { readonly from: number; readonly until: number }>()

  constructor(deps: ControlDeps) {
    this.#deps = deps
  }

  /** Takes a place. Throws VGATE_LIMIT_EXCEEDED. */
  enter(principal: string): () => void {
    const count = this.#open.get(principal) ?? 0
    if (count >= FOLLOWED_MAX) {
      throw new VgateError('VGATE_LIMIT_EXCEEDED', `you follow ${count} sessions already`, {
        hint: 'end one of them',
      })
    }
    this.#open.set(principal, count + 1)
    let left = false
    return () => {
      if (left) return
      left = true
      const still = (this.#open.get(principal) ?? 1) - 1
      if (still > 0) this.#open.set(principal, still)
      else this.#open.delete(principal)
    }
  }

  /** Whether this goes on with a reading that is audited already. */
  resumes(principal: string, session: string, from: number): boolean {
    const now = this.#deps.clock.now()
    for (const [key, { until }] of this.#renewals) if (until < now) this.#renewals.delete(key)
    const key = `${principal}/${session}`
    const found = this.#renewals.get(key)
    if (found === undefined || found.from !== from) return false
    return this.#renewals.delete(key)
  }

  async *frames({ session, caller, final }: Reading): AsyncGenerator<Buffer> {
    let checkedAt = performance.now()
    let saidAt = Number.NEGATIVE_INFINITY
    for (;;) {
      const bytes = await final.next()
      if (bytes !== undefined) yield followFrame(bytes)
      else if (final.over) return yield FOLLOW_SIGNS.over
      const now = performance.now()
      if (now - checkedAt >= CHECK_MS) {
        checkedAt = now
        if (!(await this.#stands(caller))) {
          const until = this.#deps.clock.now() + RENEWAL_MS
          this.#renewals.set(`${caller.principal.id}/${session}`, { from: final.given, until })
          return yield FOLLOW_SIGNS.again
        }
        // Closed on a disk that failed, there is no last checkpoint to wait for.
        if ((await this.#deps.store.findSession(session))?.state !== 'open') final.settle()
      }
      if (bytes !== undefined) continue
      if (now - saidAt >= ALIVE_MS) {
        saidAt = now
        yield FOLLOW_SIGNS.alive
      }
      await wait(POLL_MS)
    }
  }

  async #stands({ jti, principal, expiresAt }: VerifiedToken): Promise<boolean> {
    const { store, clock } = this.#deps
    if (clock.now() >= expiresAt) return false
    return (await store.isLoginActive(jti)) && (await store.isPrincipalActive(principal.id))
  }
}

async function followResponse(
  context: ControlContext,
  deps: ControlDeps,
  followers: Followers,
): Promise<Response> {
  const caller = context.get('caller')
  const { principal } = caller
  const { from = 0 } = readQuery(context, followQuery)
  const { id } = await visibleSession(deps, principal, context.req.param('id') ?? '')
  const leave = followers.enter(principal.id)
  let file: FileHandle | undefined
  const close = async (): Promise<void> => {
    leave()
    const opened = file
    file = undefined
    await opened?.close()
  }
  try {
    file = await openRecordingFile(deps, id)
    if (!followers.resumes(principal.id, id, from))
      await auditReading(deps, principal, id, 'replay')
    const frames = followers.frames({
      session: id,
      caller,
      file,
      final: new FinalBytes(file, from),
    })
    context.header('content-type', 'application/octet-stream')
    // A proxy that collects an answer before it hands it on would collect for hours.
    context.header('x-accel-buffering', 'no')
    return context.body(streamOf(frames, close))
  } catch (error) {
    await close()
    throw error
  }
}

/** One frame at a time, as fast as it is read. */
function streamOf(
  frames: AsyncGenerator<Buffer>,
  close: () => Promise<void>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await frames.next()
        if (done !== true) return controller.enqueue(new Uint8Array(value))
        await close()
        controller.close()
      } catch (error) {
        await close()
        throw error
      }
    },
    // A generator that was never begun would not come to its end.
    async cancel() {
      await frames.return(undefined)
      await close()
    },
  })
}

/** Adds `GET /v1/sessions/{id}/recording/follow`. */
export function addFollowRoute(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const followers = new Followers(deps)
  app.get(`${PATHS.sessions}/:id/recording/follow`, (context) =>
    followResponse(context, deps, followers),
  )
}
