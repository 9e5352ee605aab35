// Owns the load: one process with `pg`, not counted in anybody's CPU. Reads one job as JSON from its argument, writes one
// JSON answer. Knows nothing of what it talks to.

import { createHash } from 'node:crypto'
import pg from 'pg'

const job = JSON.parse(process.argv[2] ?? '{}')
const QUERIES = {
  small: { name: 's', text: 'SELECT id, title, email FROM items WHERE id = $1' },
  vec: {
    name: 'v',
    text: 'SELECT id, email, embedding FROM vecs WHERE id > $1 ORDER BY id LIMIT 10',
  },
}
const WARM_QUERIES = 20
const WARM_MS = 1_000
const settings = { ...job.at, types: { getTypeParser: () => (text) => text } }

async function open() {
  const client = new pg.Client(settings)
  await client.connect()
  return client
}

const ask = (client, kind, at) =>
  client.query({ ...QUERIES[kind], values: [kind === 'small' ? 1 + (at % 1000) : at % 10] })

/** A few queries each, or as many as fit in a second: a slow system must not be warmed for longer than it is measured. */
async function warm(pool, kind) {
  const until = performance.now() + WARM_MS
  await Promise.all(
    pool.map(async (client) => {
      for (let at = 0; at < WARM_QUERIES && performance.now() < until; at += 1)
        await ask(client, kind, at)
    }),
  )
}

/** `clients` in parallel for `seconds`; microseconds of each query. */
async function measure({ kind, clients, seconds }) {
  const pool = await Promise.all(Array.from({ length: clients }, open))
  await warm(pool, kind)
  process.stdout.write('{"warm":true}\n')
  const times = []
  const from = process.hrtime.bigint()
  const until = from + BigInt(Math.round(seconds * 1e9))
  await Promise.all(
    pool.map(async (client, index) => {
      for (let at = index; process.hrtime.bigint() < until; at += 1) {
        const start = process.hrtime.bigint()
        await ask(client, kind, at)
        times.push(Number(process.hrtime.bigint() - start) / 1000)
      }
    }),
  )
  const took = Number(process.hrtime.bigint() - from) / 1e9
  await Promise.all(pool.map((client) => client.end()))
  times.sort((a, b) => a - b)
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { queries: times.length, perSecond: times.length / took, p50: at(0.5), p99: at(0.99) }
}

async function connects({ times }) {
  const took = []
  for (let round = 0; round < times; round += 1) {
    const start = process.hrtime.bigint()
    const client = await open()
    await ask(client, 'small', round)
    took.push(Number(process.hrtime.bigint() - start) / 1e6)
    await client.end()
  }
  took.sort((a, b) => a - b)
  return { p50: took[Math.floor(took.length / 2)] ?? 0, queries: times }
}

async function idle({ connections }) {
  const pool = []
  for (let at = 0; at < connections; at += 1) pool.push(await open())
  process.stdout.write('{"open":true}\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  await Promise.all(pool.map((client) => client.end()))
  return {}
}

/** The md5 of a whole table as it came, and its first rows. */
async function oracle({ text }) {
  const client = await open()
  const { rows } = await client.query({ text, rowMode: 'array' })
  await client.end()
  const hash = createHash('md5')
  for (const row of rows) hash.update(JSON.stringify(row))
  return { rows: rows.length, md5: hash.digest('hex'), first: rows[0] }
}

const answer = await { measure, connects, idle, oracle }[job.what](job)
await new Promise((resolve) => process.stdout.write(`${JSON.stringify({ answer })}\n`, resolve))
process.exit(0)
