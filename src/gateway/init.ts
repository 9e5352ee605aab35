// Owns setting up a new gateway: an authority and a certificate, the two files, checked before anything is in place.
// It must never overwrite what is there without being told to, and never replace an authority that people trust.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { VgateError } from '../core/errors.js'
import { parseReference } from '../secrets/reference.js'
import { checkConfig } from './config.js'
import { configText, policyText } from './init-files.js'
import { type Minted, mintAuthority, mintCertificate } from './mint-certificate.js'

export interface InitAnswers {
  /** HOST:PORT. */
  readonly listen: string
  readonly publicUrl: string
  /** More names and addresses for the certificate. */
  readonly names: readonly string[]
  readonly tls: 'mint' | 'off' | { readonly cert: string; readonly key: string }
  readonly provider: string
  readonly issuer: string
  readonly clientId: string
  readonly scopes: readonly string[]
  readonly groupsClaim: string
  readonly admins: string
  readonly group: string
  readonly target: string
  /** postgres://HOST:PORT/DATABASE. */
  readonly address: string
  readonly databaseTls: 'off' | 'system' | { readonly ca: string }
  readonly databaseUser: string
  /** Reference to the database's password. */
  readonly password: string
  /** The password itself, for a reference to a file of the directory that is to be written. */
  readonly passwordValue?: string
  readonly collections: readonly string[]
}

export interface InitResult {
  readonly directory: string
  readonly config: string
  /** Written, relative to the directory. */
  readonly files: readonly string[]
  /** For `--ca`; absent without a minted certificate. */
  readonly ca?: string
  /** The authority's key, when this run made it. */
  readonly caKey?: string
  readonly publicUrl: string
  /** The environment variable that must hold the database's password where the gateway runs. */
  readonly variable?: string
  readonly warnings: readonly string[]
}

/** The file in which the interview keeps a password. */
export const PASSWORD_FILE = 'db-password'
const AUTHORITY_CERT = 'ca.crt'
/** Apart, because the gateway does not need it: it belongs on a medium that is kept in a drawer. */
const AUTHORITY_KEY = 'ca/ca.key'
const ALWAYS = ['localhost', '127.0.0.1', '::1']

interface NewFile {
  readonly name: string
  readonly text: string
  readonly mode: number
}

/**
 * Writes a new gateway into a directory: everything is made and checked in a folder beside it first. Throws VGATE_USAGE
 * when a file is there already and `force` is not given, and VGATE_CONFIG_INVALID (exit 11) for answers that do not make
 * a gateway; then nothing was written. `now` in milliseconds.
 */
export function initGateway(
  directory: string,
  answers: InitAnswers,
  options: { readonly force: boolean; readonly now: number },
): InitResult {
  const place = resolve(directory)
  if (!options.force) refuseTaken(place, answers)
  const known = answers.tls === 'mint' ? readAuthority(place) : undefined
  const certificates = answers.tls === 'mint' ? mint(answers, known, options.now) : []
  const files: NewFile[] = [
    { name: 'vgate.yaml', text: configText(answers), mode: 0o600 },
    { name: 'policy.yaml', text: policyText(answers), mode: 0o600 },
    ...certificates,
    ...(answers.passwordValue === undefined
      ? []
      : [{ name: PASSWORD_FILE, text: `${answers.passwordValue}\n`, mode: 0o600 }]),
  ]
  const warnings = writeChecked(place, files, answers)
  const minted = answers.tls === 'mint'
  const variable = variableOf(answers)
  return {
    directory: place,
    config: join(place, 'vgate.yaml'),
    files: files.map((file) => file.name),
    ...(minted ? { ca: join(place, AUTHORITY_CERT) } : {}),
    ...(minted && known === undefined ? { caKey: join(place, AUTHORITY_KEY) } : {}),
    publicUrl: answers.publicUrl,
    ...(variable === undefined ? {} : { variable }),
    warnings,
  }
}

function refuseTaken(place: string, answers: InitAnswers): void {
  const names = [
    ...['vgate.yaml', 'policy.yaml'],
    ...(answers.tls === 'mint' ? ['tls.crt', 'tls.key'] : []),
    ...(answers.passwordValue === undefined ? [] : [PASSWORD_FILE]),
  ]
  const taken = names.filter((name) => existsSync(join(place, name)))
  if (taken.length === 0) return
  throw new VgateError('VGATE_USAGE', `${place} has ${taken.join(', ')} already`, {
    hint: 'choose another --directory, or overwrite with --force',
  })
}

/** The authority of an earlier run: people have its certificate, so it stays. */
function readAuthority(place: string): Minted | undefined {
  const [cert, key] = [join(place, AUTHORITY_CERT), join(place, AUTHORITY_KEY)]
  if (existsSync(cert) && existsSync(key))
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  if (!existsSync(cert)) return undefined
  throw new VgateError('VGATE_USAGE', `${cert} is there and its key ${key} is not`, {
    hint: 'bring the key back for this, or remove the certificate to make a new authority',
  })
}

function mint(answers: InitAnswers, known: Minted | undefined, now: number): NewFile[] {
  const names = certificateNames(answers)
  const authority = known ?? mintAuthority(names, now)
  const server = mintCertificate(authority, names, now)
  const made = [
    { name: AUTHORITY_CERT, text: authority.cert, mode: 0o644 },
    { name: AUTHORITY_KEY, text: authority.key, mode: 0o600 },
  ]
  return [
    ...(known === undefined ? made : []),
    { name: 'tls.crt', text: server.cert, mode: 0o644 },
    { name: 'tls.key', text: server.key, mode: 0o600 },
  ]
}

/** What clients may call the gateway: its public name first, and this machine itself. */
function certificateNames({ publicUrl, names }: InitAnswers): string[] {
  const host = new URL(publicUrl).hostname.replace(/^\[|\]$/g, '')
  return [...new Set([host, ...names, ...ALWAYS])]
}

/** Writes into a folder inside the directory, checks there, and moves the files to their places. */
function writeChecked(
  place: string,
  files: readonly NewFile[],
  answers: InitAnswers,
): readonly string[] {
  const staging = makeStaging(place)
  try {
    for (const { name, text, mode } of files) {
      mkdirSync(dirname(join(staging, name)), { recursive: true, mode: 0o700 })
      writeFileSync(join(staging, name), text, { mode, flag: 'wx' })
      chmodSync(join(staging, name), mode)
    }
    const { warnings } = checkStaged(staging, answers)
    for (const { name } of files) {
      mkdirSync(dirname(join(place, name)), { recursive: true, mode: 0o700 })
      renameSync(join(staging, name), join(place, name))
    }
    return warnings.map((warning) => warning.replaceAll(staging, place))
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function makeStaging(place: string): string {
  try {
    mkdirSync(place, { recursive: true, mode: 0o700 })
    return mkdtempSync(join(place, '.init-'))
  } catch (cause) {
    throw new VgateError('VGATE_USAGE', `${place} cannot be written`, {
      hint: 'choose another --directory',
      cause,
    })
  }
}

/** A variable that is only set where the gateway runs is no fault of the answers. */
function checkStaged(staging: string, answers: InitAnswers): { warnings: readonly string[] } {
  const unset = variableOf(answers)
  const env = { ...(unset === undefined ? {} : { [unset]: 'set later' }), ...process.env }
  try {
    return checkConfig(join(staging, 'vgate.yaml'), { env })
  } catch (error) {
    if (!(error instanceof VgateError)) throw error
    const message = error.message.replaceAll(`${staging}/`, '')
    throw new VgateError(error.code, `these answers make no gateway:\n${message}`, {
      hint: 'nothing was written; answer anew, or see `vgate gateway init --help`',
    })
  }
}

function variableOf({ password }: InitAnswers): string | undefined {
  const parsed = parseReference(password)
  return parsed.ok && parsed.reference.kind === 'env' ? parsed.reference.name : undefined
}
