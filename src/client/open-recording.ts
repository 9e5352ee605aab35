// Owns getting a recording, from a file or from the gateway, and verifying it before a single record is given out. What
// comes from a gateway is kept in a private file while it is used: it may be larger than memory.

import { existsSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Arrival, LiveRecording } from '../audit/live.js'
import { VgateError } from '../core/errors.js'
import { isId } from '../core/ids.js'
import type { GatewayApi } from './gateway-api.js'
import { createCopy } from './private-copy.js'
import type { StateDir } from './state-dir.js'
import { trustRoot } from './trust-root.js'

export interface OpenedRecording {
  readonly recording: LiveRecording
  /** Stops fetching, and removes what was fetched. */
  close(): Promise<void>
}

/**
 * The verified recording of a session id or a path; what has the form of an id is a session. `gateway` is asked only for a session.
 * Throws VGATE_RECORDING_BROKEN, naming the first bad place, for one that was tampered with.
 */
export async function openRecording(
  what: string,
  options: {
    readonly state: StateDir
    readonly key?: string
    readonly gateway: () => Promise<GatewayApi>
    /** What is still to come is wanted as well. */
    readonly follow?: boolean
  },
): Promise<OpenedRecording> {
  // A file of that name in the folder at hand is not what somebody means who types an id; `./ses_…` is.
  const remote = isId('ses', what)
  if (!remote && !existsSync(what)) {
    throw new VgateError('VGATE_NOT_FOUND', `${what} is neither a session nor a file`, {
      hint: 'see `vgate sessions`',
    })
  }
  const keys = await trustRoot(options.state, options.key)
  const follow = options.follow === true
  if (!remote) {
    const recording = await LiveRecording.open(what, { keys, follow })
    mustBeWhole(recording)
    return { recording, close: () => recording.close() }
  }
  const fetched = await fetchRecording(await options.gateway(), what, follow)
  try {
    const { path, arrival } = fetched
    const recording = await LiveRecording.open(path, { keys, follow, arrival })
    mustBeWhole(recording)
    mustBe(what, recording)
    const close = async (): Promise<void> => {
      await recording.close()
      fetched.close()
    }
    return { recording, close }
  } catch (error) {
    fetched.close()
    throw error
  }
}

function mustBeWhole({ verification }: LiveRecording): void {
  const { verdict, reason, at } = verification
  if (verdict !== 'tampered') return
  const place =
    at === undefined ? '' : ` (record ${at.record}, block ${at.block}, byte ${at.offset})`
  throw new VgateError(
    'VGATE_RECORDING_BROKEN',
    `the recording was tampered with: ${reason}${place}`,
    { hint: 'nothing of it is shown; keep it as evidence, and see `vgate verify`' },
  )
}

function mustBe(session: string, { verification }: LiveRecording): void {
  if (verification.id === session) return
  throw new VgateError(
    'VGATE_RECORDING_BROKEN',
    `the gateway sent another session’s recording: ${verification.id ?? 'none'}`,
    { hint: 'tell the auditors' },
  )
}

interface Fetched {
  readonly path: string
  readonly arrival: Arrival
  readonly close: () => void
}

/** A private copy; to be followed it goes on to grow after the answer. */
async function fetchRecording(
  gateway: GatewayApi,
  session: string,
  follow: boolean,
): Promise<Fetched> {
  const folder = await mkdtemp(join(tmpdir(), 'vgate-replay-'))
  const stop = new AbortController()
  const close = (): void => {
    process.off('exit', close)
    stop.abort()
    rmSync(folder, { recursive: true, force: true })
  }
  // Also after an error that nobody caught.
  process.once('exit', close)
  try {
    const path = join(folder, `${session}.vgr`)
    const copy = await createCopy(path)
    const into = (part: Buffer): Promise<void> => copy.write(part)
    const arrival: { over: boolean; failed: Error | undefined } = { over: false, failed: undefined }
    await new Promise<void>((resolve, reject) => {
      const all = follow
        ? gateway.follow(session, { into, caughtUp: resolve }, stop.signal)
        : gateway.recording(session, into)
      all
        .then(() => {
          arrival.over = true
        })
        .catch((error: unknown) => {
          arrival.failed = error instanceof Error ? error : new Error(String(error))
          reject(arrival.failed) // once it was caught up with, `arrival` alone tells
        })
        .finally(() => copy.close())
        .then(resolve, reject)
    })
    return { path, arrival, close }
  } catch (error) {
    close()
    throw error
  }
}
