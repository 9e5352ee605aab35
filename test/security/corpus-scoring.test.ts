// Proves the corpus' own scoring: which verdict is weaker, what counts as a leak, and that no item is lost.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { errorResponse } from '../../src/protocol/postgres/wire.js'
import {
  type CorpusItem,
  isBypass,
  isStricter,
  leaksIn,
  postgresItems,
  type Verdict,
} from '../support/corpus.js'
import { outcomeOf } from '../support/corpus-driver.js'
import { observe } from '../support/corpus-observe.js'
import type { RawPostgres, Reply } from '../support/raw-postgres.js'

const item = (parts: Partial<CorpusItem>): CorpusItem => ({
  id: 'x',
  plane: 'postgres',
  category: 'x',
  as: 'alice',
  mode: 'simple',
  send: 'SELECT 1',
  expect: 'deny',
  also_ok: [],
  leak_marker: [],
  leak_hex: [],
  must_not_change: [],
  ...parts,
})

describe('the order of verdicts', () => {
  it.each([
    ['deny', [], 'mask', true, false],
    ['deny', [], 'approval', true, false],
    ['deny', [], 'deny', false, false],
    ['deny', [], 'reject', false, true],
    ['deny', ['mask'], 'mask', false, false],
    ['deny', ['mask'], 'allow', true, false],
    ['mask', ['deny'], 'deny', false, false],
    ['mask', [], 'deny', false, true],
    ['allow', [], 'allow', false, false],
    ['allow', [], 'mask', false, true],
    ['approval', [], 'limited', false, false],
    ['approval', [], 'deny', false, true],
  ] as const)('%s with %j, seen %s: bypass %s, stricter %s', (stated, also, seen, bypass, strict) => {
    const one = item({ expect: stated, also_ok: [...also] })
    expect([isBypass(one, seen), isStricter(one, seen)]).toEqual([bypass, strict])
  })
})

describe('a leak', () => {
  const one = item({ leak_marker: ['Ana.Canary@leak.test', '900-55-4001'], leak_hex: ['3f3b50b1'] })
  const marker = 'Ana.Canary@leak.test'

  it.each([
    ['plain', 'x900-55-4001x'],
    ['in another case', 'ANA.CANARY@LEAK.TEST'],
    ['in hex', Buffer.from(marker).toString('hex')],
    ['in upper-case hex', Buffer.from(marker).toString('hex').toUpperCase()],
    ['reversed', '1004-55-009'],
    ['as digits', '900554001'],
    ['in base64', Buffer.from(marker).toString('base64')],
    ['in base64, one byte on', Buffer.from(`x${marker}y`).toString('base64')],
    ['in base64, two bytes on', Buffer.from(`xy${marker}`).toString('base64')],
  ])('is found %s', (_, text) => {
    expect(leaksIn(one, Buffer.from(`before ${text} after`))).toHaveLength(1)
  })

  it('is found as raw bytes', () => {
    expect(leaksIn(one, Buffer.from('003f3b50b100', 'hex'))).toEqual(['3f3b50b1'])
  })

  it('is not found where there is none', () => {
    expect(leaksIn(one, Buffer.from('[masked] 900-55-xxxx leak'))).toEqual([])
  })
})

describe('what was observed', () => {
  const error = (sqlstate: string): Reply[] => {
    const body = errorResponse({ severity: 'ERROR', sqlstate, message: 'no' }).subarray(5)
    return [{ type: 'E', body }]
  }
  const TEXT = 'FETCH 1 FROM c'
  const RAN = `LOG:  statement: ${TEXT}\n`

  /** Queries of one text, by their error and whether the database logged them. */
  const observed = (...queries: readonly (readonly [string, boolean])[]): Promise<Verdict> => {
    const seen = queries.map(([code, ran]) => ({
      sql: TEXT,
      replies: code === '' ? [] : error(code),
      log: ran ? RAN : '',
    }))
    const replies = seen.flatMap((one) => one.replies)
    return observe({
      item: item({ send: TEXT }),
      seen: {
        connection: {} as RawPostgres,
        replies,
        queries: seen,
        bytes: Buffer.alloc(0),
        closedByServer: false,
        timedOut: false,
      },
      statementLog: seen.map(({ log }) => log).join(''),
      holds: { requests: [], logBefore: '', approved: false, revoked: false },
      direct: async () => outcomeOf(replies),
    })
  }

  it('is a text that was turned away, whatever ran before', async () => {
    expect(await observed(['42501', false])).toBe('deny')
    expect(await observed(['', true], ['42501', false])).toBe('deny')
    expect(await observed(['42501', false], ['22012', true])).toBe('deny')
  })

  it('is no text that ran and failed, whatever was turned away before', async () => {
    expect(await observed(['22012', true])).toBe('allow')
    expect(await observed(['25P02', false], ['22012', true])).toBe('allow')
    expect(await observed(['', true], ['25P02', false], ['22012', true])).toBe('allow')
  })
})

describe('the corpus', () => {
  const read = (name: string) =>
    parse(readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8'))

  it('keeps every item', () => {
    const ids: string[] = read('bypass-corpus.yaml').items.map((one: { id: string }) => one.id)
    expect(ids.length).toBeGreaterThanOrEqual(378)
    expect(new Set(ids).size).toBe(ids.length)
    expect(postgresItems().length).toBeGreaterThanOrEqual(195)
  })

  it('lists as stricter only items that it has, with a verdict that is', () => {
    const items = new Map(postgresItems().map((one) => [one.id, one]))
    for (const [id, verdict] of Object.entries(read('stricter.yaml') ?? {})) {
      const listed = items.get(id)
      expect(listed, id).toBeDefined()
      expect(listed && isStricter(listed, verdict as CorpusItem['expect']), id).toBe(true)
    }
  })
})
