// The benchmark of the tunnel: systems in turn, the order rotated each round, medians with their spread, an oracle in the
// same run, and the page. Ratios inside one run mean something; numbers across runs do not.

import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { startPostgres } from '../support/postgres.js'
import { type Cell, page, type Results } from './page.js'
import { withSectionsOf } from './section.js'
import { cpuSeconds, direct, haproxy, memoryKib, type System, ssh, vgate } from './systems.js'

const options = JSON.parse(process.env['VGATE_BENCH'] ?? '{}') as {
  load?: number
  rounds?: number
  seconds?: number
  write?: boolean
}
const ROUNDS = options.rounds ?? 1
const SECONDS = options.seconds ?? 0.5
const IDLE_CONNECTIONS = 100
const CONNECTS = 7
/** What a job may take beyond its measured seconds before it counts as stuck. */
const SPARE_MS = 60_000
/**
 * What each system is given of each kind of query before anything is measured. A gateway runs for weeks; in its first
 * seconds it is compiled while it works, which costs several times as much.
 */
const WARM_SECONDS = 6
/** For the estimate: starting the load, opening, warming. */
const SPARE_SECONDS_A_SYSTEM = 4
const LOAD = fileURLToPath(new URL('load.mjs', import.meta.url))
const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url))

const CELLS = [
  ['small', 1],
  ['vec', 1],
  ['small', 8],
  ['vec', 8],
] as const

const SETUP = `
CREATE EXTENSION vector;
CREATE TABLE items(id int PRIMARY KEY, title text, email text);
INSERT INTO items SELECT g, 'item '||g, 'person'||g||'@example.org' FROM generate_series(1,1000) g;
CREATE TABLE vecs(id int PRIMARY KEY, email text, embedding vector(1536));
INSERT INTO vecs SELECT g, 'person'||g||'@example.org',
  (SELECT array_agg(((g * 7919 + d * 104729) % 1000003) / 1000003.0)::vector FROM generate_series(1,1536) d)
  FROM generate_series(1,20) g;
ANALYZE;
`

interface Answer {
  readonly queries: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly rows: number
  readonly md5: string
  readonly first: readonly (string | null)[]
}

/** Runs one job in a process of its own; `during` runs between its first line and its end. */
async function run(
  job: object,
  during?: (say: () => void) => void | Promise<void>,
): Promise<Answer> {
  const child = spawn(process.execPath, [LOAD, JSON.stringify(job)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const stuck = setTimeout(() => child.kill('SIGKILL'), SECONDS * 1000 + SPARE_MS)
  let rest = ''
  let answer: Answer | undefined
  for await (const bytes of child.stdout) {
    const lines = (rest + String(bytes)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const said = JSON.parse(line) as { answer?: Answer }
      if (said.answer !== undefined) answer = said.answer
      else await during?.(() => child.stdin.write('go\n'))
    }
  }
  clearTimeout(stuck)
  if (answer === undefined)
    throw new Error(
      `the load failed${child.killed ? ', or was stuck' : ''}: ${JSON.stringify(job)}`,
    )
  return answer
}

async function cellsOf(system: System): Promise<Cell[]> {
  const cells: Cell[] = []
  for (const [kind, clients] of CELLS) {
    let cpu = 0
    const before = (): void => {
      cpu = cpuSeconds(system.pids())
    }
    const result = await run(
      { what: 'measure', at: system.at, kind, clients, seconds: SECONDS },
      before,
    )
    const used = cpuSeconds(system.pids()) - cpu
    const name = `${kind}${clients}`
    cells.push(
      { name: `${name} p50`, value: result.p50 },
      { name: `${name} p99`, value: result.p99 },
      { name: `${name} rate`, value: result.perSecond },
      { name: `${name} cpu`, value: (used * 1e6) / result.queries },
    )
  }
  const cpu = cpuSeconds(system.pids())
  const connects = await run({ what: 'connects', at: system.at, times: CONNECTS })
  const used = cpuSeconds(system.pids()) - cpu
  cells.push({ name: 'connect', value: connects.p50 })
  cells.push({ name: 'connect cpu', value: (used * 1e6) / CONNECTS })
  return cells
}

async function idleKib(system: System): Promise<number> {
  const before = memoryKib(system.pids(), 'VmRSS')
  let during = before
  await run({ what: 'idle', at: system.at, connections: IDLE_CONNECTIONS }, (say) => {
    during = memoryKib(system.pids(), 'VmRSS')
    say()
  })
  return (during - before) / IDLE_CONNECTIONS
}

/** CPU seconds of a command, by the shell's own clock. */
function startUp(args: readonly string[]): number {
  const line = [process.execPath, ...args].map((word) => `'${word}'`).join(' ')
  const done = spawnSync('bash', ['-c', `TIMEFORMAT='%U %S'; time ${line} >/dev/null`], {
    encoding: 'utf8',
  })
  const [user = 0, system = 0] = (done.stderr.trim().split('\n').at(-1) ?? '')
    .split(' ')
    .map(Number)
  return (user + system) * 1000
}

it('bench', async () => {
  const postgres = await startPostgres({
    kind: 'pgvector',
    settings: { max_connections: '700', shared_buffers: '64MB' },
  })
  const skipped: string[] = []
  const cleanup: (() => Promise<void>)[] = [() => postgres.stop()]
  try {
    const database = await postgres.createDatabase({ sql: SETUP })
    const straight = direct(postgres, database)
    const systems: System[] = [straight]
    const one = await haproxy(straight.at)
    if (typeof one === 'string') skipped.push(one)
    else systems.push(one)
    const two = await ssh(straight.at)
    if (typeof two === 'string') skipped.push(two)
    else systems.push(...two)
    const product = await vgate(postgres, database)
    cleanup.push(product.stop)
    for (const system of systems) cleanup.push(() => system.stop())
    systems.push(...product.systems)
    const results: Results = {
      node: process.version,
      machine: `${cpus().length} cores, ${cpus()[0]?.model.trim() ?? 'unknown'}`,
      database: 'PostgreSQL with pgvector on loopback',
      load: options.load ?? loadavg()[0] ?? 0,
      rounds: ROUNDS,
      seconds: SECONDS,
      idleConnections: IDLE_CONNECTIONS,
      systems: new Map(systems.map((system) => [system.name, new Map()])),
      skipped,
      oracle: await askOracle(systems),
      startUp: [],
    }
    const seconds =
      ROUNDS * systems.length * (CELLS.length * SECONDS + SPARE_SECONDS_A_SYSTEM) +
      2 * WARM_SECONDS * systems.length
    process.stdout.write(`${systems.length} systems, about ${Math.ceil(seconds / 60)} minutes\n`)
    const begun = performance.now()
    for (const { at } of systems)
      for (const kind of ['small', 'vec'])
        await run({ what: 'measure', at, kind, clients: 8, seconds: WARM_SECONDS })
    for (let round = 0; round < ROUNDS; round += 1) {
      const from = round % systems.length
      for (const system of [...systems.slice(from), ...systems.slice(0, from)]) {
        for (const { name, value } of await cellsOf(system)) keep(results, system, name, value)
      }
      results.startUp.push([startUp(['-e', '0']), startUp([BIN, '--version'])])
      const took = Math.round((performance.now() - begun) / 1000)
      process.stdout.write(`round ${round + 1} of ${ROUNDS} after ${took} s\n`)
    }
    for (const system of systems) keep(results, system, 'idle', await idleKib(system))
    const text = page(results)
    if (options.write === true)
      writeFileSync(PAGE, withSectionsOf(readFileSync(PAGE, 'utf8'), text))
    else process.stdout.write(text)
  } finally {
    for (const step of cleanup.reverse()) await step()
  }
})

function keep(results: Results, system: System, name: string, value: number): void {
  const cells = results.systems.get(system.name)
  cells?.set(name, [...(cells.get(name) ?? []), value])
}

/** The same bytes as direct where nothing is masked; the reference where something is. */
async function askOracle(systems: readonly System[]): Promise<string> {
  const text = 'SELECT id, email, embedding FROM vecs ORDER BY id'
  const of = (name: string): Promise<Answer> => {
    const at = systems.find((system) => system.name === name)?.at
    return run({ what: 'oracle', at, text })
  }
  const straight = await of('direct')
  const plain = await of('vgate, no mask')
  expect([plain.rows, plain.md5]).toEqual([straight.rows, straight.md5])
  const masked = await of('vgate, one column masked')
  expect(masked.rows).toBe(straight.rows)
  expect(masked.first).toEqual([straight.first[0], '[masked]', straight.first[2]])
  const dropped = await of('vgate, embeddings dropped')
  expect(dropped.first).toEqual([...straight.first.slice(0, 2), null])
  return `md5 of ${straight.rows} rows direct and through vgate without masks: ${plain.md5}, equal; masked rows equal the reference`
}
