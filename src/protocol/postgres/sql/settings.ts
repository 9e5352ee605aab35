// Owns which settings a client may set, and to what: an allow-list, wherever they are set (SET, set_config,
// start-up). Settings that change how text is read, or who acts, must never be on it.

import type { PostgresProduct } from '../../table.js'
import type { CatalogueSnapshot } from '../catalogue.js'
import { isOfSession } from '../search-path.js'
import { NotUnderstood } from './tree.js'

const ALLOWED: ReadonlySet<string> = new Set([
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'transaction_timeout',
  'application_name',
  'timezone',
  'datestyle',
  'intervalstyle',
  'extra_float_digits',
  'bytea_output',
  'client_min_messages',
  'jit',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'default_transaction_deferrable',
  'transaction_isolation',
  'transaction_read_only',
  'transaction_deferrable',
])

/** True when a setting may have this value. search_path has a check of its own. */
export function allowsSetting(name: string, value: string, product: PostgresProduct): boolean {
  const key = name.toLowerCase()
  if (value.includes('\0')) return false
  if (key === 'client_encoding') return /^'?utf-?8'?$/i.test(value.trim())
  return ALLOWED.has(key) || product.settings.includes(key)
}

/** True when a setting may be put back to its value at the session's start. */
export function allowsReset(name: string, product: PostgresProduct): boolean {
  const key = name.toLowerCase()
  return (
    key === 'client_encoding' ||
    key === 'search_path' ||
    ALLOWED.has(key) ||
    product.settings.includes(key)
  )
}

const HIDDEN =
  /(?:_file|_command|_conninfo|_directory|_directories|_dir|_libraries|_library|_path|_names|_passphrase|_addresses)$/

const SHOWN_ANYWAY: ReadonlySet<string> = new Set(['search_path'])

/** True when SHOW of a setting tells nothing about the server's files, hosts or secrets. */
export function allowsShow(name: string, product: PostgresProduct): boolean {
  const key = name.toLowerCase()
  if (key === 'all') return false
  if (key.includes('.')) return product.settings.includes(key)
  return SHOWN_ANYWAY.has(key) || !HIDDEN.test(key)
}

/** Splits a search_path value as PostgreSQL does (SplitIdentifierString); undefined where it is malformed. */
function splitPath(value: string): readonly string[] | undefined {
  const pattern = /\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(,|$)/gy
  const parts: string[] = []
  if (value.trim() === '') return parts
  for (let at = 0; at < value.length; at = pattern.lastIndex) {
    pattern.lastIndex = at
    const match = pattern.exec(value)
    if (match === null) return undefined
    parts.push(
      match[1] === undefined ? (match[2] ?? '').toLowerCase() : match[1].replaceAll('""', '"'),
    )
    if (match[3] === ',' && pattern.lastIndex >= value.length) return undefined
  }
  return parts
}

/** Why a session's search_path may not become these schemas; undefined where it may. */
export function searchPathTrouble(
  parts: readonly string[],
  catalogue: CatalogueSnapshot,
): string | undefined {
  // A schema cannot have no name: '' stands for an empty path.
  const named = parts.filter((part) => part !== '')
  if (named.indexOf('pg_catalog') > 0)
    return 'search_path may not have pg_catalog behind other schemas'
  const unknown = named.find(
    (part) => part !== '$user' && (isOfSession(part) || !catalogue.hasSchema(part)),
  )
  return unknown === undefined ? undefined : `unknown schema "${unknown}" in search_path`
}

/** Checks what a client sets search_path to: as a list of names, or as text that holds one. */
export function judgeSearchPath(
  value: readonly string[] | string,
  catalogue: CatalogueSnapshot,
): void {
  const parts = typeof value === 'string' ? splitPath(value) : value
  const trouble =
    parts === undefined ? 'search_path is malformed' : searchPathTrouble(parts, catalogue)
  if (trouble === undefined) return
  throw new NotUnderstood(
    trouble,
    'name schemas that exist; pg_catalog and temporary schemas are searched first by themselves',
  )
}

/** A search_path value → schema names that exist; undefined where one is unknown or a temporary schema. */
export function resolveSearchPath(
  value: string,
  catalogue: CatalogueSnapshot,
  user: string,
): readonly string[] | undefined {
  const parts = splitPath(value)
  if (parts === undefined || searchPathTrouble(parts, catalogue) !== undefined) return undefined
  const path: string[] = []
  for (const part of parts) {
    const name = part === '$user' ? user : part
    if (catalogue.hasSchema(name) && !path.includes(name)) path.push(name)
  }
  return path
}
