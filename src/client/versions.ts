// Owns what is said when client and gateway are of different versions: which side is older, and who has to update. Must
// never hide another failure: without a discovery that says so, versions are not the reason.

import { z } from 'zod'
import { API_VERSION, PATHS, TUNNEL_VERSION } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { VERSION } from '../core/version.js'
import type { GatewayAddress } from './gateway-api.js'
import { sendHttp } from './http-request.js'

const DISCOVERY_BYTES = 256 * 1024
const VERSIONS_SHOWN = 8

/** As little of a discovery as any version of it will always have. */
const anyDiscovery = z.object({
  name: z.literal('vgate'),
  version: z.string().max(100).optional(),
  api: z.object({ versions: z.array(z.number().int()).max(100) }),
  tunnel: z.object({ versions: z.array(z.number().int()).max(100) }),
})

/** The error for a discovery that has no version in common with this client, or undefined. */
export function versionRefusal(found: unknown): VgateError | undefined {
  const parsed = anyDiscovery.safeParse(found)
  if (!parsed.success) return undefined
  const { version, api, tunnel } = parsed.data
  const missing =
    (!api.versions.includes(API_VERSION) && {
      what: 'API',
      own: API_VERSION,
      versions: api.versions,
    }) ||
    (!tunnel.versions.includes(TUNNEL_VERSION) && {
      what: 'tunnel',
      own: TUNNEL_VERSION,
      versions: tunnel.versions,
    })
  if (missing === false) return undefined
  const { what, own, versions } = missing
  const older = versions.length > 0 && Math.max(...versions) < own
  return new VgateError(
    'VGATE_VERSION_UNSUPPORTED',
    `the gateway${version === undefined ? '' : ` (${version})`} speaks ${what} version ${versions.slice(0, VERSIONS_SHOWN).join(', ') || 'none'}, and this vgate (${VERSION}) speaks ${own}`,
    {
      hint: older
        ? 'the gateway is the older one: ask its administrator to update it, or use an older vgate'
        : 'this vgate is the older one: update it',
    },
  )
}

/** The failure, or the versions when they are its reason. Asks the gateway only where that could be. */
export async function explainVersions(address: GatewayAddress, failure: unknown): Promise<unknown> {
  const cause = failure instanceof VgateError ? failure.cause : undefined
  const answered =
    failure instanceof VgateError &&
    (/answered with status/.test(failure.message) ||
      (cause instanceof Error && /subprotocol/i.test(cause.message)))
  if (!answered) return failure
  try {
    const { ca, url } = address
    const answer = await sendHttp(new URL(PATHS.discovery, url), {
      method: 'GET',
      limit: DISCOVERY_BYTES,
      ...(ca === undefined ? {} : { ca }),
    })
    return versionRefusal(JSON.parse(answer.body.toString('utf8'))) ?? failure
  } catch {
    return failure
  }
}
