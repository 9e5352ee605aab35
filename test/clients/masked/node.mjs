// Owns reading what a role sees masked with node-postgres, postgres.js and Prisma's adapter: their own types.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import pg from 'pg'
import postgres from 'postgres'
import { tell } from '../transcript.mjs'
import { PARTS, WHOLES } from './queries.mjs'

const client = new pg.Client({ ssl: false })
await client.connect()
for (const text of [...PARTS, ...WHOLES]) {
  tell(`pg ${text}`, (await client.query(text)).rows)
  tell(`pg, prepared ${text}`, (await client.query({ name: text.slice(0, 60), text })).rows)
}
await client.end()

const sql = postgres({ ssl: false, max: 1 })
for (const text of [...PARTS, ...WHOLES]) tell(`postgres.js ${text}`, await sql.unsafe(text))
for await (const rows of sql.unsafe(PARTS[0]).cursor(2)) tell('postgres.js, in parts', rows)
await sql.end()

const require = createRequire(join(process.env.PRISMA_HOME, 'package.json'))
const { PrismaClient } = require('@prisma/client')
const { PrismaPg } = require('@prisma/adapter-pg')
const {
  PGHOST: host,
  PGPORT,
  PGUSER: user,
  PGPASSWORD: password,
  PGDATABASE: database,
} = process.env
const adapter = new PrismaPg({ host, port: Number(PGPORT), user, password, database, ssl: false })
const prisma = new PrismaClient({ adapter })
const shown = (_, value) => (typeof value === 'bigint' ? String(value) : value)
// Prisma asks for types that it knows.
const known =
  'SELECT id, email, name, salary, big, ratio, amount, born, seen, flag, uid, tags, meta, raw FROM people ORDER BY id'
tell('prisma', JSON.stringify(await prisma.$queryRawUnsafe(known), shown))
await prisma.$disconnect()
