// Owns getting a recording, from a file or from the gateway, and verifying it before a single record is given out.

import { existsSync } from 'node:fs'
import { openVerified, type VerifiedRecording } from '../audit/read.js'
import { VgateError } from '../core/errors.js'
import { isId } from '../core/ids.js'
import type { GatewayApi } from './gateway-api.js'
import type { StateDir } from './state-dir.js'
import { trustRoot } from './trust-root.js'

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
  },
): Promise<VerifiedRecording> {
  const remote = isId('ses', what) && !existsSync(what)
  if (!remote && !existsSync(what)) {
    throw new VgateError('VGATE_NOT_FOUND', `${what} is neither a session nor a file`, {
      hint: 'see `vgate sessions`',
    })
  }
  const source = remote ? await (await options.gateway()).recording(what) : what
  const recording = await openVerified(source, {
    keys: await trustRoot(options.state, options.key),
  })
  const { verdict, reason, at } = recording.verification
  if (verdict === 'tampered') {
    const place =
      at === undefined ? '' : ` (record ${at.record}, block ${at.block}, byte ${at.offset})`
    throw new VgateError(
      'VGATE_RECORDING_BROKEN',
      `the recording was tampered with: ${reason}${place}`,
      {
        hint: 'nothing of it is shown; keep it as evidence, and see `vgate verify`',
      },
    )
  }
  if (remote && recording.verification.id !== what) {
    throw new VgateError(
      'VGATE_RECORDING_BROKEN',
      `the gateway sent another session’s recording: ${recording.verification.id ?? 'none'}`,
      {
        hint: 'tell the auditors',
      },
    )
  }
  return recording
}
