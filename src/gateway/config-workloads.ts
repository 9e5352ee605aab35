// Owns reading the providers of workloads. Two providers whose tokens nobody could tell apart stop the start.

import type { WorkloadSettings } from '../control/settings.js'
import { isLoopbackHost } from '../identity/fetch.js'
import type { ConfigCheck } from './config-check.js'
import type { ConfigFile } from './config-schema.js'

/** The providers of workloads; an issue for each thing that is not right. */
export function readWorkloads(
  providers: ConfigFile['identity']['providers'],
  check: Pick<ConfigCheck, 'report'>,
): readonly WorkloadSettings[] {
  const parties = new Map<string, string>()
  for (const [name, entry] of Object.entries(providers)) {
    if (entry.type === 'oidc') parties.set(JSON.stringify([entry.issuer, entry.clientId]), name)
  }
  return Object.entries(providers).flatMap(([name, entry]) => {
    if (entry.type !== 'workload') return []
    const { issuer, audience, groupsClaim, nameClaim } = entry
    const path = ['identity', 'providers', name]
    const url = new URL(issuer)
    if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
      check.report(
        [...path, 'issuer'],
        'plain http is accepted for a loopback address only',
        'use https',
      )
    }
    const party = JSON.stringify([issuer, audience])
    const other = parties.get(party)
    if (other !== undefined) {
      check.report(
        path,
        `has the issuer and the audience of ${other}: nobody could tell their tokens apart`,
        'give it an audience of its own',
      )
    }
    parties.set(party, name)
    return [{ name, issuer, audience, groupsClaim, nameClaim }]
  })
}
