// Owns reading `store`: the connection URL that its reference gives. Nothing of that URL may be in an issue, for it holds
// a password. It must never accept a connection whose server is not proved, except to a literal loopback address.

import { isIP } from 'node:net'
import { VgateError } from '../core/errors.js'
import { Secret } from '../core/secret.js'
import { createSecretSource, type SecretDeps } from '../secrets/resolve.js'
import type { PostgresSettings } from '../store/postgres.js'
import { type ConfigCheck, isLoopbackAddress } from './config-check.js'
import type { ConfigFile } from './config-schema.js'

const PATH = ['store', 'postgres']
const FORM = 'expected postgres://USER:PASSWORD@HOST:PORT/DATABASE'
const DEFAULT_PORT = 5432
const PARAMETERS = ['sslmode', 'sslrootcert']

interface StoreUrl extends Omit<PostgresSettings, 'password' | 'tls'> {
  readonly password: Secret<string>
  readonly verified: boolean
  /** As libpq's `sslrootcert`. */
  readonly ca?: string
}

/** How to reach the PostgreSQL of the store; an issue when its reference gives no URL that may be used. */
export function readStore(
  entry: ConfigFile['store'],
  check: Pick<ConfigCheck, 'secret' | 'report' | 'certificates'>,
  deps: SecretDeps,
): PostgresSettings | undefined {
  if (entry === undefined) return undefined
  const secret = check.secret(PATH, entry.postgres)
  if (secret === undefined) return undefined
  try {
    const { ca: caFile, verified, password: _, ...address } = parseStoreUrl(secret)
    const ca =
      caFile === undefined
        ? undefined
        : check.certificates(PATH, caFile, 'the file that its sslrootcert names')
    if (caFile !== undefined && ca === undefined) return undefined
    const source = createSecretSource(entry.postgres, deps)
    return {
      ...address,
      password: () => parseStoreUrl(source.resolve().value).password,
      tls: verified ? { verify: 'full', ...(ca === undefined ? {} : { ca }) } : { verify: 'off' },
    }
  } catch (error) {
    if (!(error instanceof VgateError)) throw error
    check.report(PATH, error.message, error.hint)
    return undefined
  }
}

function invalid(what: string, hint = FORM): VgateError {
  return new VgateError('VGATE_CONFIG_INVALID', `the URL that it refers to ${what}`, { hint })
}

function parseStoreUrl(secret: Secret<string>): StoreUrl {
  const text = secret.reveal()
  // The parser's own error quotes what it was given.
  if (!URL.canParse(text)) throw invalid('is not a URL')
  const url = new URL(text)
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:')
    throw invalid('does not begin with postgres://')
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (!/^[A-Za-z0-9_.-]+$/.test(host) && isIP(host) === 0) throw invalid('names no host')
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  if (port < 1) throw invalid('has no usable port')
  const path = url.pathname.slice(1)
  if (path.includes('/')) throw invalid('names no single database')
  return {
    host,
    port,
    user: decoded(url.username, 'user'),
    password: new Secret(decoded(url.password, 'password')),
    database: decoded(path, 'database'),
    ...parametersOf(url, host),
  }
}

function decoded(text: string, what: string): string {
  let value: string
  try {
    value = decodeURIComponent(text)
  } catch {
    throw invalid(`has a ${what} that is not well encoded`)
  }
  if (value === '') throw invalid(`has no ${what}`)
  // It would end a start-up message early.
  if (value.includes('\0')) throw invalid(`has a NUL in its ${what}`)
  return value
}

function parametersOf(url: URL, host: string): Pick<StoreUrl, 'verified' | 'ca'> {
  const names = [...url.searchParams.keys()]
  if (url.hash !== '' || names.some((name) => !PARAMETERS.includes(name)))
    throw invalid('has a parameter that is not known', `expected ${PARAMETERS.join(' or ')}`)
  if (new Set(names).size < names.length) throw invalid('has a parameter twice')
  const loopback = isLoopbackAddress(host)
  const mode = url.searchParams.get('sslmode') ?? (loopback ? 'disable' : 'verify-full')
  const ca = url.searchParams.get('sslrootcert')
  if (mode === 'verify-full') return { verified: true, ...(ca === null ? {} : { ca }) }
  if (mode !== 'disable')
    throw invalid('has an sslmode that proves too little', 'use sslmode=verify-full')
  if (!loopback) {
    throw invalid(
      'asks for no TLS, which is accepted for a literal loopback address only',
      'use sslmode=verify-full',
    )
  }
  if (ca !== null) throw invalid('has sslrootcert without sslmode=verify-full')
  return { verified: false }
}
