// Owns the client's start-up packet: its parse, the versions, and the settings it may carry. Must never
// let a setting through that the analysis did not allow.

import { VgateError } from '../../core/errors.js'
import type { SqlAnalyzer } from './statement.js'
import { BodyReader, cstr, i32, message, violation } from './wire.js'

export const SSL_REQUEST = 80877103
export const GSSENC_REQUEST = 80877104
export const CANCEL_REQUEST = 80877102
export const PROTOCOL_3_0 = 196608

/** What a start-up packet asks for. */
export interface StartupRequest {
  readonly user: string
  /** Upstream start-up parameters, names in lower case; without `search_path`. */
  readonly parameters: Readonly<Record<string, string>>
  readonly searchPath?: string
  /** NegotiateProtocolVersion, where the client asked for more than 3.0. */
  readonly negotiate?: Buffer
}

const refused = (message: string, hint?: string): VgateError =>
  new VgateError('VGATE_DENIED', message, hint === undefined ? {} : { hint })

function pairs(packet: Buffer): [string, string][] {
  const reader = new BodyReader(packet, 8)
  const found: [string, string][] = []
  for (;;) {
    const name = reader.cstring()
    if (name === '') break
    found.push([name, reader.cstring()])
  }
  reader.done()
  return found
}

/** NegotiateProtocolVersion: the newest version spoken (3.0, whole number as PostgreSQL sends it) and the options not known. */
function negotiation(minor: number, options: readonly string[]): Buffer | undefined {
  if (minor === 0 && options.length === 0) return undefined
  return message('v', i32(PROTOCOL_3_0), i32(options.length), ...options.map(cstr))
}

function checkVersion(version: number): number {
  if (version >>> 16 !== 3) {
    throw new VgateError(
      'VGATE_PROTOCOL_VIOLATION',
      `protocol ${version >>> 16}.${version & 0xffff} is not supported`,
      {
        hint: 'use protocol 3.0',
      },
    )
  }
  return version & 0xffff
}

const SPACE = /[ \t\n\v\f\r]/

/** Splits `options` into words exactly as PostgreSQL's `pg_split_opts` does: white space separates, a backslash escapes. */
export function splitOptions(text: string): string[] {
  const words: string[] = []
  let word: string | undefined
  let escaped = false
  for (const char of text) {
    if (!escaped && SPACE.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
      continue
    }
    word ??= ''
    if (!escaped && char === '\\') {
      escaped = true
      continue
    }
    escaped = false
    word += char
  }
  if (word !== undefined) words.push(word)
  return words
}

/** Settings named by `options`: `-c name=value`, `-cname=value`, `--name=value`. Anything else is refused. */
export function optionSettings(text: string): [string, string][] {
  const settings: [string, string][] = []
  const words = splitOptions(text)
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? ''
    let setting: string | undefined
    if (word === '-c') {
      at += 1
      setting = words[at]
    } else if (word.startsWith('-c')) setting = word.slice(2)
    else if (word.startsWith('--') && word.length > 2) setting = word.slice(2)
    const equals = setting?.indexOf('=') ?? -1
    if (setting === undefined || equals < 1) {
      throw refused(
        `the start-up option ${JSON.stringify(word)} is refused`,
        'only -c name=value is understood',
      )
    }
    settings.push([setting.slice(0, equals).replaceAll('-', '_'), setting.slice(equals + 1)])
  }
  return settings
}

const NO_REPLICATION = new Set(['false', 'off', '0', 'no'])
const UTF8_NAMES = /^['"]?(utf-?_?8|unicode|auto)['"]?$/i

class Settings {
  readonly #analyzer: SqlAnalyzer
  readonly accepted = new Map<string, string>()

  constructor(analyzer: SqlAnalyzer) {
    this.#analyzer = analyzer
  }

  add(rawName: string, value: string): void {
    const name = rawName.toLowerCase()
    if (this.accepted.has(name)) throw refused(`the start-up setting ${name} is given twice`)
    const allowed =
      name === 'client_encoding'
        ? UTF8_NAMES.test(value)
        : name === 'search_path' || this.#analyzer.allowsSetting(name, value)
    if (!allowed) {
      throw refused(
        `the start-up setting ${JSON.stringify(name)} is refused`,
        'remove it from the connection string or PGOPTIONS',
      )
    }
    this.accepted.set(name, value)
  }
}

/**
 * Reads a StartupMessage. Throws the VgateError that the client is told as FATAL: a violation, 3D000 for a
 * foreign database, 42501 for replication and for settings that are not allowed.
 */
export function readStartup(
  packet: Buffer,
  databaseName: string,
  analyzer: SqlAnalyzer,
): StartupRequest {
  const minor = checkVersion(packet.readUInt32BE(4))
  const seen = new Set<string>()
  const unknownOptions: string[] = []
  const settings = new Settings(analyzer)
  let user = ''
  for (const [name, value] of pairs(packet)) {
    if (seen.has(name))
      throw violation(`the start-up parameter ${JSON.stringify(name)} is given twice`)
    seen.add(name)
    if (name === 'user') user = value
    else if (name === 'database') checkDatabase(value, databaseName)
    else if (name === 'replication') {
      if (!NO_REPLICATION.has(value.toLowerCase()))
        throw refused('replication connections are refused')
    } else if (name === 'options') {
      for (const [key, given] of optionSettings(value)) settings.add(key, given)
    } else if (name.startsWith('_pq_.')) unknownOptions.push(name)
    else settings.add(name, value)
  }
  if (user === '') throw violation('the start-up message names no user')
  const { search_path: searchPath, ...parameters } = Object.fromEntries(settings.accepted)
  const negotiate = negotiation(minor, unknownOptions)
  return {
    user,
    parameters: { ...parameters, client_encoding: 'UTF8' },
    ...(searchPath === undefined ? {} : { searchPath }),
    ...(negotiate === undefined ? {} : { negotiate }),
  }
}

function checkDatabase(given: string, databaseName: string): void {
  if (given === databaseName || given === '') return
  throw new VgateError(
    'VGATE_DATABASE_FOREIGN',
    `database ${JSON.stringify(given)} is not part of this target`,
    {
      hint: `connect to ${JSON.stringify(databaseName)}`,
    },
  )
}

/** A search_path as a setting's value: every name quoted. */
export function quotedPath(names: readonly string[]): string {
  return names.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ')
}
