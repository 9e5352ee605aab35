// Owns running a client's script: what it needs, where it is, and what it tells. `.cache/clients` holds Python's packages
// (requirements.txt), `.cache/prisma` Prisma's.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { findPostgres } from '../support/postgres.js'

export const PYTHON = fileURLToPath(new URL('../../.cache/clients/bin/python', import.meta.url))
export const JDBC = '/usr/share/java/postgresql.jar'
/** PostgreSQL's own programs. */
export const BIN = findPostgres().pgvector ?? ''
const PRISMA = fileURLToPath(new URL('../../.cache/prisma', import.meta.url))

/** What a client cannot run without, and where that comes from. */
type Need = readonly [path: string, from: string]

export const NEEDS_PYTHON: Need = [
  PYTHON,
  'python3 -m venv .cache/clients; pip install -r test/clients/requirements.txt',
]
export const NEEDS_PRISMA: Need = [
  join(PRISMA, 'node_modules/.prisma/client/index.js'),
  'see .ci/run, "clients"',
]
export const NEEDS_JDBC: Need = [
  JDBC,
  'the packages libpostgresql-jdbc-java and default-jdk-headless',
]

export interface Client {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly needs: readonly Need[]
}

/** False where it cannot run; in CI that is an error. */
export function canRun({ name, needs }: Client): boolean {
  const missing = needs.find(([path]) => !existsSync(path))
  if (missing === undefined) return true
  const why = `${name} needs ${missing[0]}: ${missing[1]}`
  if (process.env['CI']) throw new Error(why)
  process.stderr.write(`skipped: ${why}\n`)
  return false
}

export interface Place {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

/** What a client tells, line by line. */
export async function told(
  { command: [program, ...args] }: Client,
  { host, port, user, password, database }: Place,
): Promise<string[]> {
  const { stdout } = await execa(program, args, {
    env: {
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
      PGSSLMODE: 'disable',
      TZ: 'UTC',
      PATH: `${BIN}:${process.env['PATH']}`,
      PAGER: 'cat',
      PRISMA_HOME: PRISMA,
    },
  })
  return stdout.split('\n')
}
