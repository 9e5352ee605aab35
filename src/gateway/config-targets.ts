// Owns reading `targets`: address, TLS and credential of each. It must never accept an unencrypted connection to
// anything but a literal loopback address.

import type { TargetSettings } from '../control/settings.js'
import { VgateError } from '../core/errors.js'
import { findDatabase } from '../databases/list.js'
import { type ConfigCheck, isLoopbackAddress } from './config-check.js'
import type { ConfigFile, PgvectorEntry } from './config-schema.js'

type Tls = TargetSettings['spec']['tls']

/** The targets that are right; an issue for each thing that is not. */
export function readTargets(
  targets: ConfigFile['targets'],
  check: ConfigCheck,
): ReadonlyMap<string, TargetSettings> {
  const read = new Map<string, TargetSettings>()
  for (const [name, entry] of Object.entries(targets)) {
    if (entry.database !== 'pgvector') continue
    const target = readTarget(name, entry, check)
    if (target !== undefined) read.set(name, target)
  }
  return read
}

function readTarget(
  name: string,
  entry: PgvectorEntry,
  check: ConfigCheck,
): TargetSettings | undefined {
  const path = ['targets', name]
  check.secret([...path, 'credential', 'password'], entry.credential.password)
  const database = findDatabase(entry.database)
  if (database === undefined) {
    check.report([...path, 'database'], 'not supported yet')
    return undefined
  }
  try {
    const { host, port, databaseName } = database.parseAddress(entry.address)
    const tls = readTls(name, entry, host, check)
    if (tls === undefined) return undefined
    const contact = entry.contact === undefined ? {} : { contact: entry.contact }
    const { username, password } = entry.credential
    if (entry.mint?.role.memberOf.includes(username) === true) {
      check.report(
        [...path, 'mint', 'role', 'memberOf'],
        "names the gateway's own user, whose privileges nobody else is to have",
        'name roles with the privileges that the users of this target need',
      )
      return undefined
    }
    const mint = entry.mint === undefined ? {} : { mint: entry.mint }
    return {
      spec: { name, database: entry.database, host, port, databaseName, tls, ...contact, ...mint },
      credential: { username, password },
    }
  } catch (error) {
    if (!(error instanceof VgateError)) throw error
    check.report([...path, 'address'], error.message, error.hint)
    return undefined
  }
}

function readTls(
  name: string,
  entry: PgvectorEntry,
  host: string,
  check: ConfigCheck,
): Tls | undefined {
  const path = ['targets', name]
  if (entry.tls === undefined || entry.tls === 'off') {
    if (isLoopbackAddress(host)) return { verify: 'off' }
    check.report(
      entry.tls === undefined ? path : [...path, 'tls'],
      entry.tls === undefined
        ? 'tls is missing; a connection without TLS is accepted to a literal loopback address only'
        : 'off is accepted for a literal loopback address only',
      'write tls: verify-full, or tls: { verify: full, ca: file:ca.pem }',
    )
    return undefined
  }
  if (entry.tls === 'verify-full' || entry.tls.ca === undefined) return { verify: 'full' }
  const ca = check.certificates([...path, 'tls', 'ca'], entry.tls.ca)
  return ca === undefined ? undefined : { verify: 'full', ca }
}
