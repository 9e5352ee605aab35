// Owns the measurement of a large result whose reader stops and goes on: peak memory of gateway and `connect` above what
// they had, and whether another connection's small query still works meanwhile. One size for the suite, another by script.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const READER = fileURLToPath(new URL('stalled-reader.mjs', import.meta.url))

export interface StalledResult {
  /** Bytes of values that the reader got. */
  readonly bytes: number
  /** VmHWM above VmRSS before, in MiB, for each process. */
  readonly grown: readonly number[]
  /** Milliseconds of the slowest small query beside the stalled one. */
  readonly slowest: number
}

export async function measureStalled(options: {
  readonly at: pg.ClientConfig
  readonly pids: readonly number[]
  readonly megabytes: number
}): Promise<StalledResult> {
  const { at, pids, megabytes } = options
  const beside = new pg.Client(at)
  await beside.connect()
  await beside.query('SELECT count(*) FROM wide')
  // Peaks of the start do not count: 5 resets VmHWM to what is resident (proc(5), clear_refs).
  for (const pid of pids) writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const before = pids.map((pid) => kib(pid, 'VmRSS'))
  const text = `SELECT w.body FROM wide w, wide v LIMIT ${megabytes * 16}`
  const reader = spawn(process.execPath, [READER, JSON.stringify({ at, text })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: reader.stdout })
  await once(lines, 'line')
  let slowest = 0
  for (let query = 0; query < 50; query += 1) {
    const from = performance.now()
    await beside.query('SELECT id FROM wide WHERE id = 1')
    slowest = Math.max(slowest, performance.now() - from)
  }
  const done = once(lines, 'line')
  reader.stdin.write('go\n')
  const [line] = (await done) as [string]
  await beside.end()
  return {
    bytes: Number(line.split(' ')[1]),
    grown: pids.map((pid, index) => (kib(pid, 'VmHWM') - (before[index] ?? 0)) / 1024),
    slowest,
  }
}

/** A table whose square is large: 2,000 rows of 64 KiB. */
export const WIDE = `
CREATE TABLE wide(id int PRIMARY KEY, body text);
INSERT INTO wide SELECT g, repeat(chr(97 + g % 26), 65536) FROM generate_series(1, 500) g;
ANALYZE;
`

export const WIDE_POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: [wide] }]
    limits: { rows: 100000000 }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-*], grant: { default: 1h, max: 8h } }
`

function kib(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN)
}
