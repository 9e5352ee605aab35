// Throws made-up sessions at the adapter with the real analysis: messages of clients, whole and broken, in any chunks,
// and a database that does not always keep to the protocol. Nothing may throw, hang or grow, only whole messages may
// reach the database, and nothing at all of a statement that was refused.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, expect, test } from 'vitest'
import type { Question } from '../../src/core/adapter.js'
import { isOperation } from '../../src/core/operation.js'
import { encode, type MessageStep } from '../support/raw-postgres-messages.js'
import { permit, ScriptedHost } from '../support/scripted-host.js'
import { analyzer, catalogue, fixture } from '../unit/protocol/postgres/sql/analysis-fixture.js'
import { type Answers, FuzzedDatabase } from './database.js'
import { Chance } from './random.js'

/** Runs of `npm test`; more by time: `VGATE_FUZZ_SECONDS=600`. A failure names its seed, which `VGATE_FUZZ_SEED` runs alone. */
const RUNS = 150
const SECONDS = Number(process.env['VGATE_FUZZ_SECONDS'] ?? 0)
const ONE = process.env['VGATE_FUZZ_SEED']
/** Stands in every text of a client. */
const MARK = 'fuzzed_mark'
const GROWTH_BYTES = 64 * 1024 * 1024

const corpus = fixture<readonly { readonly sql: readonly string[] }[]>('corpus.json')
const TEXTS = [
  ...corpus.flatMap(({ sql }) => sql),
  ...['begin', 'commit', 'rollback', 'savepoint a', 'rollback to a', 'select 1', ''],
  ...['prepare a as select id from docs', 'execute a', 'deallocate all', 'close all'],
  ...['declare a cursor for select id from docs', 'fetch 2 from a', 'copy docs from stdin'],
  ...['listen a', 'set search_path = public', 'create table t (id int)', 'lock table docs'],
  ...['begin; select id from docs; commit; select id from notes', 'copy docs to stdout'],
]
const NAMES = ['', 'a', 'b', 'vgate_guard_x']

class FuzzedHost extends ScriptedHost {
  override ask(id: number, question?: Question): void {
    const value = question?.kind === 'load' ? catalogue : 'wait'
    queueMicrotask(() => this.adapter.answered(id, { ok: true, value }))
  }
}

function step(chance: Chance, texts: readonly string[]): MessageStep {
  const name = chance.of(NAMES)
  const sql = `${chance.of(texts)} /* ${MARK} */`
  const kind = chance.of(['S', 'P'])
  const params = chance.of([[], ['1'], [null], ['1', '2']])
  return chance.of<MessageStep>([
    { m: 'Q', sql },
    { m: 'Q', sql },
    { m: 'P', name, sql },
    { m: 'P', name, sql, oids: [23] },
    { m: 'B', portal: chance.of(NAMES), stmt: name, params },
    { m: 'D', kind, name },
    { m: 'C', kind, name },
    { m: 'E', portal: name, max: chance.of([0, 1, 5, -1]) },
    { m: 'E', portal: name },
    { m: 'S' },
    { m: 'S' },
    { m: 'H' },
    { m: 'd', data: '1\tx\n' },
    { m: 'c' },
    { m: 'f' },
    { m: 'F', oid: 1 },
  ])
}

/** What a database answers these texts with. */
const answersTo: Answers = (text) => {
  const outcome = analyzer.parse(text)
  if (!outcome.ok) return undefined
  return outcome.statements.map(({ effects, text: one }) => {
    if (effects.copy !== undefined) return effects.copy
    return /^(with|select|table|values|show|fetch|explain|execute)/i.test(one) ? 'rows' : 'tag'
  })
}

/** One session; answers how many messages it took. */
async function session(seed: number): Promise<number> {
  const chance = new Chance(seed)
  const refuses = chance.once(2)
  const host = new FuzzedHost({
    analyzer,
    judge: (request) =>
      refuses || chance.once(5) || !request.operations.every(isOperation)
        ? {
            verdict: 'deny',
            refusal: { sqlstate: '42501', http: 403, grpc: 7, rule: 'r', message: 'no', hint: '' },
          }
        : permit(request),
  })
  await host.login()
  const database = new FuzzedDatabase(chance, chance.of([40, 400, 1e9]), answersTo)
  // What is nothing is refused by nobody.
  const texts = Array.from({ length: 4 }, () => chance.of(refuses ? asking : TEXTS))
  const answer = (): void => {
    const back = database.answer(host.upstream().bytes)
    const ran = refuses && database.ran.some((one) => one.includes(MARK) || NAMES.includes(one))
    expect(ran, 'a refused statement ran').toBe(false)
    for (let at = 0; at < back.length; ) {
      const size = 1 + chance.below(chance.of([3, 30, 3000]))
      host.adapter.fromUpstream(back.subarray(at, at + size))
      at += size
    }
  }
  host.upstream()
  const most = 5 + chance.below(40)
  let taken = 0
  for (; taken < most && host.closed === undefined; taken += 1) {
    const whole = encode(step(chance, texts))
    const bytes = chance.once(60) ? chance.broken(whole) : whole
    const cut = chance.below(bytes.length)
    host.adapter.fromClient(bytes.subarray(0, cut))
    host.adapter.fromClient(bytes.subarray(cut))
    if (chance.once(2)) await host.settle()
    answer()
    host.client()
  }
  for (let turn = 0; turn < 4; turn += 1) {
    await host.settle()
    answer()
  }
  host.adapter.clientEnded()
  await host.settle()
  return taken
}

function heap(): number {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  return process.memoryUsage().heapUsed
}

let asking: readonly string[] = []

beforeAll(async () => {
  await analyzer.prepare()
  asking = TEXTS.filter((text) => {
    const outcome = analyzer.parse(text)
    return !outcome.ok || outcome.statements.length > 0
  })
})

test('sessions of any messages', async () => {
  const first = ONE === undefined ? (SECONDS > 0 ? Date.now() % 1_000_000_000 : 1) : Number(ONE)
  const until = performance.now() + SECONDS * 1000
  let taken = 0
  let before = 0
  let seed = first
  for (; seed < first + RUNS || performance.now() < until; seed += 1) {
    try {
      taken += await session(seed)
    } catch (error) {
      throw new Error(`VGATE_FUZZ_SEED=${seed} fails: ${(error as Error).stack}`)
    }
    if (ONE !== undefined) return
    if (seed === first + RUNS / 2) before = heap()
  }
  process.stdout.write(`${seed - first} sessions, ${taken} messages, seeds from ${first}\n`)
  expect(heap() - before).toBeLessThan(GROWTH_BYTES)
}, 3_600_000)
