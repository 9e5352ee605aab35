// Owns where server binaries for tests are: the distribution's, one that carries pgvector, and newer releases. Never
// downloads any.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** `plain`: the distribution's; `17`, `18`: that release, without pgvector. */
export type PostgresKind = 'pgvector' | 'plain' | '17' | '18'

const root = fileURLToPath(new URL('../..', import.meta.url))

const MISSING: Readonly<Record<PostgresKind, string>> = {
  pgvector:
    'no PostgreSQL with pgvector: unzip the Python wheel pgserver 0.1.4 into .cache/pgvector, or set VGATE_TEST_PGVECTOR',
  plain: 'no PostgreSQL in /usr/lib/postgresql: install the package `postgresql`',
  '17': 'no PostgreSQL 17: run test/servers/install.sh',
  '18': 'no PostgreSQL 18: run test/servers/install.sh',
}

/** Folders of server binaries that this machine has. */
export function findPostgres(): Partial<Readonly<Record<PostgresKind, string>>> {
  const cache = process.env['VGATE_TEST_PGVECTOR'] ?? join(root, '.cache/pgvector')
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => +b - +a) : []
  const release = (version: string): string =>
    join(root, `.cache/postgres/node_modules/postgres-${version}/native/bin`)
  const found = {
    pgvector: [join(cache, 'pgserver/pginstall/bin'), join(cache, 'bin')].find(hasServer),
    plain: versions.map((version) => join(debian, version, 'bin')).find(hasServer),
    '17': [release('17')].find(hasServer),
    '18': [release('18')].find(hasServer),
  }
  return Object.fromEntries(Object.entries(found).filter(([, folder]) => folder !== undefined))
}

function hasServer(folder: string): boolean {
  return existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))
}

/**
 * True when a server of this kind can be started. Where not, it says why, once per test file; under `CI` it throws,
 * because there no integration test may be skipped.
 */
export function hasPostgres(kind: PostgresKind): boolean {
  if (findPostgres()[kind]) return true
  const why = MISSING[kind]
  if (process.env['CI']) throw new Error(why)
  process.stderr.write(`skipped: ${why}\n`)
  return false
}
