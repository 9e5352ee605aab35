// Throws changed statements at the analysis: whatever comes, it answers in time, with an operation, a refusal or a
// syntax error, and the next statement is understood as before.

import { beforeAll, expect, test } from 'vitest'
import {
  analyzer,
  catalogue,
  fixture,
  PUBLIC,
} from '../unit/protocol/postgres/sql/analysis-fixture.js'
import { Chance } from './random.js'

const RUNS = 3_000
const SECONDS = Number(process.env['VGATE_FUZZ_SECONDS'] ?? 0)
const ONE = process.env['VGATE_FUZZ_SEED']
/** No statement of the corpus takes a hundredth of it. */
const MOST_MS = 5_000
const PLAIN = 'select id from docs where id = 1'

const corpus = fixture<readonly { readonly sql: readonly string[] }[]>('corpus.json')
const TEXTS = corpus.flatMap(({ sql }) => sql)
const TOKENS = [...new Set(TEXTS.flatMap((text) => text.split(/\b/)))]

/** A statement of the corpus with tokens of others in it, or nested deeper, or broken. */
function made(chance: Chance): string {
  const parts = chance.of(TEXTS).split(/\b/)
  const edits = chance.below(6)
  for (let edit = 0; edit < edits; edit += 1) {
    const at = chance.below(parts.length + 1)
    parts.splice(at, chance.below(3), ...(chance.once(3) ? [] : [chance.of(TOKENS)]))
  }
  const text = parts.join('')
  if (chance.once(20)) return `${'('.repeat(chance.below(3000))}${text}`
  if (chance.once(20)) return `select ${'- '.repeat(chance.below(3000))}1; ${text}`
  if (chance.once(20)) return `with a as (${text}) select * from a, (${text}) b`
  if (chance.once(20)) return chance.broken(Buffer.from(text)).toString('latin1')
  return text
}

const asked = (text: string): unknown[] => {
  const outcome = analyzer.parse(text)
  if (!outcome.ok) return [outcome.message]
  return outcome.statements.map((each) => {
    const { operation } = each.classify(catalogue, PUBLIC, undefined)
    return 'reason' in operation ? operation.reason : operation.name
  })
}

beforeAll(() => analyzer.prepare())

test('changed statements', () => {
  const first = ONE === undefined ? (SECONDS > 0 ? Date.now() % 1_000_000_000 : 1) : Number(ONE)
  const until = performance.now() + SECONDS * 1000
  let seed = first
  for (; seed < first + RUNS || performance.now() < until; seed += 1) {
    const text = made(new Chance(seed))
    const start = performance.now()
    try {
      for (const answer of asked(text)) expect(typeof answer).toBe('string')
      expect(performance.now() - start).toBeLessThan(MOST_MS)
      if (seed % 50 === 0 && analyzer.parse(PLAIN).ok) expect(asked(PLAIN)).toEqual(['get'])
    } catch (error) {
      throw new Error(
        `VGATE_FUZZ_SEED=${seed} fails: ${(error as Error).stack}\n${text.slice(0, 400)}`,
      )
    }
    if (ONE !== undefined) return
  }
  process.stdout.write(`${seed - first} statements, seeds from ${first}\n`)
}, 3_600_000)
