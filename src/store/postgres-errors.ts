// Owns what people are told when PostgreSQL fails. Neither message nor cause may hold anything of the connection URL or
// of a row: the driver's own texts name hosts, users and values, so none of them is passed on.

import { VgateError } from '../core/errors.js'

/** What people call it. */
export const POSTGRES = 'the store (PostgreSQL)'

type Told = readonly [happened: string, hint: string]

const UNREACHABLE: Told = [
  'cannot be reached',
  'check that the database is up and that store.postgres names it',
]
const REFUSED: Told = ['refuses the login', 'check user and password of store.postgres']
const SLOW: Told = ['did not answer in time', 'look at what the database is busy with']
const UNTRUSTED: Told = [
  'shows a certificate that cannot be verified',
  'name its authority with sslrootcert in the URL, and the host as the certificate does',
]
const DAMAGED: Told = ['is damaged', 'restore the database from a backup']

/** By SQLSTATE (PostgreSQL docs, appendix A); a class by its first two characters. */
const STATES: Readonly<Record<string, Told>> = {
  '08': UNREACHABLE,
  '28': REFUSED,
  '3D000': ['does not exist', 'create the database that store.postgres names'],
  '42501': [
    'cannot be used: permission denied',
    'the user of store.postgres must own its tables and may need CREATE on the schema',
  ],
  '25006': ['cannot be written: it is read only', 'store.postgres must name the primary'],
  '53100': ['cannot be written: the disk is full', 'make room on the disk of the database'],
  '53200': ['is out of memory', 'give the database more memory'],
  '53300': [
    'has no connection left',
    'raise max_connections of the database, or end other programs',
  ],
  '55P03': SLOW,
  '57014': SLOW,
  '57P': UNREACHABLE,
  '58': ['cannot be read or written', 'check the disk of the database'],
  XX001: DAMAGED,
  XX002: DAMAGED,
}

/** Of Node's sockets and TLS. */
const SYSTEM: Readonly<Record<string, Told>> = {
  ...Object.fromEntries(
    [
      ...['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'],
      ...['EPIPE', 'ETIMEDOUT', 'EADDRNOTAVAIL'],
    ].map((code) => [code, UNREACHABLE]),
  ),
  ...Object.fromEntries(
    [
      ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'CERT_HAS_EXPIRED'],
      ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
      ...['UNABLE_TO_GET_ISSUER_CERT', 'CERT_NOT_YET_VALID', 'ERR_TLS_CERT_ALTNAME_INVALID'],
      ...['CERT_REVOKED', 'INVALID_CA', 'CERT_SIGNATURE_FAILURE', 'CERT_UNTRUSTED'],
    ].map((code) => [code, UNTRUSTED]),
  ),
}

/** The driver's own failures have no code, only these texts. */
const TEXTS: readonly (readonly [RegExp, Told])[] = [
  [/^Query read timeout/, SLOW],
  [
    /^Connection terminated|^timeout e(xpired|xceeded)|^Client (was closed|has encountered)/,
    UNREACHABLE,
  ],
  [/does not support SSL/, ['offers no TLS', 'switch ssl on in the database']],
  [/^SASL|^Unknown authenticat|scram/i, REFUSED],
]

/** The SQLSTATE or system code of a driver's error; empty when it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}

function toldOf(error: unknown): Told {
  const code = codeOf(error)
  const known = STATES[code] ?? STATES[code.slice(0, 3)] ?? STATES[code.slice(0, 2)] ?? SYSTEM[code]
  if (known !== undefined) return known
  const text = error instanceof Error && code === '' ? error.message : ''
  const byText = TEXTS.find(([pattern]) => pattern.test(text))
  return byText?.[1] ?? ['failed', 'see the log of the gateway']
}

/** What the log may hold of a driver's error: its code, and names of vgate's own tables. */
function causeOf(error: unknown): Error {
  const names = ['table', 'column', 'constraint'].flatMap((kind) => {
    const name = error instanceof Error && kind in error ? error[kind as keyof Error] : undefined
    return typeof name === 'string' ? [`${kind} ${name}`] : []
  })
  return new Error(['PostgreSQL', codeOf(error) || 'without a code', ...names].join(', '))
}

/** A driver's error as VGATE_STORE_UNAVAILABLE, with nothing of the connection URL and of rows. */
export function postgresError(error: unknown): VgateError {
  if (error instanceof VgateError) {
    if (error.code === 'VGATE_STORE_UNAVAILABLE') return error
    // The reference was resolved anew for a connection, and gives no URL any more.
    const hint = 'see store.postgres in vgate.yaml'
    const what = `${POSTGRES} cannot be reached: its URL cannot be read any more`
    return new VgateError('VGATE_STORE_UNAVAILABLE', what, { hint, cause: error })
  }
  const [happened, hint] = toldOf(error)
  const code = codeOf(error)
  const named = code === '' ? '' : ` (${code})`
  return new VgateError('VGATE_STORE_UNAVAILABLE', `${POSTGRES} ${happened}${named}`, {
    hint,
    cause: causeOf(error),
  })
}
