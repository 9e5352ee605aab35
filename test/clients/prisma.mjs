// Owns what Prisma does in applications through its adapter for pg: nested writes, joins, transactions, raw queries.
// Its packages lie in PRISMA_HOME, with the client generated from prisma/schema.prisma.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { tell } from './transcript.mjs'

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

const failing = async (what, run) => {
  try {
    tell(what, await run())
  } catch ({ name, code, meta }) {
    tell(what, [name, code, meta?.modelName, meta?.driverAdapterError?.cause])
  }
}

// The tables as `prisma migrate` makes them.
for (const statement of [
  'CREATE TABLE "Author" ("id" SERIAL NOT NULL, "name" TEXT NOT NULL, CONSTRAINT "Author_pkey" PRIMARY KEY ("id"))',
  'CREATE TABLE "Book" ("id" SERIAL NOT NULL, "title" TEXT NOT NULL, "meta" JSONB NOT NULL, "authorId" INTEGER NOT NULL, CONSTRAINT "Book_pkey" PRIMARY KEY ("id"))',
  'CREATE UNIQUE INDEX "Author_name_key" ON "Author"("name")',
  'ALTER TABLE "Book" ADD CONSTRAINT "Book_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "Author"("id") ON DELETE RESTRICT ON UPDATE CASCADE',
])
  tell('made', await prisma.$executeRawUnsafe(statement))

const book = (title, n) => ({ title, meta: { n } })
tell(
  'nested',
  await prisma.author.create({
    data: { name: 'Ann', books: { create: [book('a', 1), book('b', 2)] } },
    include: { books: true },
  }),
)
tell(
  'many',
  await prisma.author.createMany({
    data: [{ name: 'Bob' }, { name: 'Cyd' }, { name: 'Ann' }],
    skipDuplicates: true,
  }),
)
tell(
  'found',
  await prisma.author.findMany({
    include: { books: { orderBy: { id: 'desc' } }, _count: true },
    orderBy: { name: 'asc' },
  }),
)
tell(
  'filtered',
  await prisma.book.findMany({
    where: {
      title: { in: ['a', 'c'] },
      author: { name: { startsWith: 'A', mode: 'insensitive' } },
    },
    select: { title: true },
  }),
)
tell('json', await prisma.book.findFirst({ where: { meta: { path: ['n'], equals: 2 } } }))
tell(
  'upsert',
  await prisma.author.upsert({
    where: { name: 'Bob' },
    update: { name: 'Rob' },
    create: { name: 'Bob' },
  }),
)
tell(
  'upsert',
  await prisma.author.upsert({
    where: { name: 'Dan' },
    update: {},
    create: { name: 'Dan', books: { create: book('d', 4) } },
  }),
)
tell(
  'updated',
  await prisma.book.updateMany({
    where: { meta: { path: ['n'], gte: 2 } },
    data: { title: 'more' },
  }),
)
tell(
  'grouped',
  await prisma.book.groupBy({
    by: ['title'],
    _count: true,
    _max: { id: true },
    orderBy: { title: 'asc' },
  }),
)
tell('aggregated', await prisma.book.aggregate({ _count: true, _avg: { id: true } }))
tell(
  'page',
  await prisma.author.findMany({ take: 2, skip: 1, cursor: { id: 1 }, orderBy: { id: 'asc' } }),
)
await failing('twice', () => prisma.author.create({ data: { name: 'Ann' } }))
await failing('restricted', () => prisma.author.delete({ where: { name: 'Ann' } }))
await failing('nobody', () => prisma.author.update({ where: { id: 999 }, data: { name: 'x' } }))
tell(
  'together',
  await prisma.$transaction([
    prisma.author.count(),
    prisma.book.deleteMany({ where: { title: 'a' } }),
  ]),
)
await failing('taken back', () =>
  prisma.$transaction(async (one) => {
    await one.author.create({ data: { name: 'Eve' } })
    throw Object.assign(new Error('no'), { code: 'own' })
  }),
)
tell(
  'serializable',
  await prisma.$transaction((one) => one.author.findMany({ where: { name: 'Eve' } }), {
    isolationLevel: 'Serializable',
  }),
)
tell(
  'raw',
  await prisma.$queryRaw`SELECT id, title FROM docs ORDER BY embedding <=> ${'[0.1,0.2,0.3,0.4]'}::vector, id LIMIT ${3}`,
)
tell('executed', await prisma.$executeRaw`UPDATE "Book" SET title = ${'z'} WHERE id = ${2}`)
await failing('syntax', () => prisma.$queryRawUnsafe('SELEC 1'))
await prisma.$disconnect()
