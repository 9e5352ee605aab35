// Owns getting a recording, from a file or from the gateway, and verifying it before a single record is given out. What
// comes from a gateway is kept in a private file while it is used: it may be larger than memory.

import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LiveRecording } from '../audit/live.js'
import { VgateError } from '../core/errors.js'
import { isId } from '../core/ids.js'
import type { GatewayApi } from './gateway-api.js'
import type { StateDir } from './state-dir.js'
import { trustRoot } from './trust-root.js'

export interface OpenedRecording {
  readonly recording: LiveRecording
  /** Removes what was fetched. */
  close(): void
}

/**
 * The verified recording of a session id or a path. `gateway` is asked only for a session.
 * Throws VGATE_RECORDING_BROKEN, naming the first bad place, for one that was tampered with.
 */
export async function openRecording(
  what: string,
  options: {
    readonly state: StateDir
    readonly key?: string
    readonly gateway: () => Promise<GatewayApi>
    /** What is still to come is wanted as well: only of a file, so far. */
    readonly follow?: boolean
  },
): Promise<OpenedRecording> {
  const remote = isId('ses', what) && !existsSync(what)
  if (!remote && !existsSync(what)) {
    throw new VgateError('VGATE_NOT_FOUND', `${what} is neither a session nor a file`, {
      hint: 'see `vgate sessions`',
    })
  }
  const keys = await trustRoot(options.state, options.key)
  if (!remote) {
    const recording = await LiveRecording.open(what, { keys })
    mustBeWhole(recording)
    return { recording, close: () => {} }
  }
  if (options.follow === true) {
    throw new VgateError('VGATE_USAGE', '--follow takes the file of a recording', {
      hint: 'where the gateway runs: its recordings folder; elsewhere leave it out: what is there is played',
    })
  }
  const fetched = await fetchRecording(await options.gateway(), what)
  try {
    const recording = await LiveRecording.open(fetched.path, { keys })
    mustBeWhole(recording)
    mustBe(what, recording)
    return { recording, close: fetched.close }
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

/** A private copy. */
async function fetchRecording(
  gateway: GatewayApi,
  session: string,
): Promise<{ readonly path: string; readonly close: () => void }> {
  const folder = await mkdtemp(join(tmpdir(), 'vgate-replay-'))
  const close = (): void => {
    process.off('exit', close)
    rmSync(folder, { recursive: true, force: true })
  }
  // Also when a signal ends the process, or an error that nobody caught.
  process.once('exit', close)
  try {
    const path = join(folder, `${session}.vgr`)
    const file = await open(path, 'wx', 0o600)
    try {
      await gateway.recording(session, async (part) => {
        // Whole: a disk that is nearly full may take only some of it.
        await file.writeFile(part)
      })
    } finally {
      await file.close()
    }
    return { path, close }
  } catch (error) {
    close()
    throw error
  }
}
