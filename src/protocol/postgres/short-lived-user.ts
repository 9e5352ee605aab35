// Owns short-lived database users: the statements that make and drop one, and what their failures mean. No statement
// holds a password, and every name in one is quoted. Source: PostgreSQL docs, "Database Roles".

import type { NewUser, SideQuery, UserMaker } from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import { scramVerifier } from './scram.js'

/** Random part of a name: 80 bits in 16 characters. */
const NAME_BYTES = 10
const PASSWORD_BYTES = 32
const SALT_BYTES = 16
/** What PostgreSQL itself takes for new passwords before version 16's `scram_iterations`. */
const ITERATIONS = 4096
/** How long its connections may take to end, and what is dropped may take; well below a side query's own deadline. */
const END_TRIES = 40
const END_PAUSE_S = 0.05
const DROP_MS = 4_000

/** A name as SQL takes it, whatever it holds (PostgreSQL docs, "Lexical Structure"). Throws for a NUL, which no name has. */
export function identifier(name: string): string {
  if (name === '' || name.includes('\0')) throw new Error('a name that no database has')
  return `"${name.replaceAll('"', '""')}"`
}

/** Text as SQL takes it, whether or not backslashes are escapes there. */
function literal(text: string): string {
  if (text.includes('\0')) throw new Error('a text that no database has')
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return quoted.includes('\\') ? ` E${quoted}` : quoted
}

/** Lower-case letters and digits, which need no quotes anywhere (RFC 4648 base 32). */
function nameOf(bytes: Buffer): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  let bits = ''
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0')
  return (bits.match(/.{5}/g) ?? []).map((five) => alphabet[Number.parseInt(five, 2)]).join('')
}

/** What stands in the catalogue for a password (PostgreSQL docs, pg_authid): the server never hears the password itself. */
function storedPassword(password: string, salt: Buffer): string {
  const {
    iterations,
    storedKey,
    serverKey,
    salt: encoded,
  } = scramVerifier(password, salt, ITERATIONS)
  return `SCRAM-SHA-256$${iterations}:${encoded}$${storedKey}:${serverKey}`
}

const markOf = (grant: string): string => `vgate: ${grant}`

/** Makes and drops users of a PostgreSQL. */
export const POSTGRES_USERS: UserMaker = {
  invent: (prefix, randomBytes) => ({
    username: `${prefix}${nameOf(randomBytes(NAME_BYTES))}`,
    password: randomBytes(PASSWORD_BYTES).toString('base64url'),
  }),
  create: async (query, credential, user, randomBytes) => {
    const name = identifier(credential.username)
    const stored = storedPassword(credential.password, randomBytes(SALT_BYTES))
    const members = user.memberOf.map(identifier).join(', ')
    try {
      await refuseSuperusers(query, user.memberOf)
      const end = await endOf(query, user)
      await query('BEGIN')
      await query(
        `CREATE ROLE ${name} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
 CONNECTION LIMIT ${Math.trunc(user.connections)} PASSWORD ${literal(stored)} VALID UNTIL ${literal(end)} IN ROLE ${members}`,
      )
      await query(`COMMENT ON ROLE ${name} IS ${literal(markOf(user.grant))}`)
      // Without it nothing that it comes to own could be given away: better known now than at its end.
      await query(`GRANT ${name} TO CURRENT_USER`)
      await query('COMMIT')
    } catch (error) {
      throw failed('make a database user', error)
    }
  },
  drop: async (query, { name, grant, heir }) => {
    try {
      await drop(query, name, markOf(grant), heir)
    } catch (error) {
      throw failed(`drop the database user ${JSON.stringify(name)}`, error)
    }
  },
}

/** By the server's own clock, which is what holds it to that. */
async function endOf(query: SideQuery, { lifeMs }: NewUser): Promise<string> {
  const [row] = await query(
    `SELECT pg_catalog.to_char((pg_catalog.clock_timestamp() + '${Math.ceil(lifeMs)} milliseconds'::interval)
 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS') || 'Z'`,
  )
  return row?.[0] ?? ''
}

/** What a superuser may do is not inherited: its members would see other schemas than those that were judged. */
async function refuseSuperusers(query: SideQuery, memberOf: readonly string[]): Promise<void> {
  const [row] = await query(
    `SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolname IN (${memberOf.map(literal).join(', ')})`,
  )
  if (row !== undefined)
    throw new VgateError(
      'VGATE_UPSTREAM_FAILED',
      `the role ${JSON.stringify(row[0])} is a superuser`,
      {
        hint: 'name roles under mint.role.memberOf that have just the privileges that are needed',
      },
    )
}

async function drop(query: SideQuery, name: string, mark: string, heir: string): Promise<void> {
  const [found] = await query(
    `SELECT oid, pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles WHERE rolname = ${literal(name)}`,
  )
  // Never made, dropped by hand, or somebody else's.
  if (found === undefined || found[1] !== mark) return
  const user = identifier(name)
  await query(`ALTER ROLE ${user} NOLOGIN`)
  const connections = `FROM pg_catalog.pg_stat_activity WHERE usesysid = ${Number(found[0])}`
  await query(`SELECT pg_catalog.pg_terminate_backend(pid) ${connections}`)
  for (let tries = 0; tries < END_TRIES; tries += 1) {
    if ((await query(`SELECT pid ${connections} LIMIT 1`)).length === 0) break
    await query(`SELECT pg_catalog.pg_sleep(${END_PAUSE_S})`)
  }
  await query('BEGIN')
  await query(`SET LOCAL statement_timeout = ${DROP_MS}`)
  await query(`REASSIGN OWNED BY ${user} TO ${identifier(heir)}`)
  // What is left are privileges that it was given.
  await query(`DROP OWNED BY ${user}`)
  await query(`DROP ROLE ${user}`)
  await query('COMMIT')
}

const LACKS = '42501'
const UNKNOWN = '42704'
const CIRCLE = '0LP01'

/** The database's words, and what would help. The connection is given up, and with it the transaction. */
function failed(what: string, error: unknown): VgateError {
  if (error instanceof VgateError) return error
  const { message, code } = error instanceof Error ? (error as Error & { code?: string }) : {}
  return new VgateError(
    'VGATE_UPSTREAM_FAILED',
    `the gateway's own user cannot ${what}: ${message ?? 'no reason given'}`,
    { cause: error, ...hintFor(code) },
  )
}

function hintFor(code: string | undefined): { readonly hint?: string } {
  if (code === LACKS)
    return {
      hint: 'it needs CREATEROLE, and each role of mint.role.memberOf: GRANT role TO user WITH ADMIN OPTION',
    }
  if (code === UNKNOWN)
    return { hint: 'mint.role.memberOf names roles that must be there: CREATE ROLE role NOLOGIN' }
  if (code === CIRCLE)
    return {
      hint: 'the roles of mint.role.memberOf must not be members of the gateway’s own user',
    }
  return {}
}
