// The seam to the wire adapter: texts, effects on the session, settings, limits, and a parser that survives.

import { beforeAll, describe, expect, it } from 'vitest'
import type { StatementEffects } from '../../../../../src/protocol/postgres/statement.js'
import {
  analyzer,
  catalogue,
  classifyAll,
  isRefused,
  PUBLIC,
  reasonOf,
} from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

function statements(text: string) {
  const parsed = analyzer.parse(text)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.statements
}

describe('parse', () => {
  it('splits a message and keeps each text', () => {
    expect(statements("SELECT 'é'; ;  DELETE FROM notes -- x\n;").map((each) => each.text)).toEqual(
      ["SELECT 'é'", 'DELETE FROM notes -- x'],
    )
    expect(statements(' ; ')).toEqual([])
    expect(statements('')).toEqual([])
  })

  it('reports syntax errors as the server would, in characters', () => {
    expect(analyzer.parse("SELECT 'é' frm frm d")).toEqual({
      ok: false,
      message: 'syntax error at or near "frm"',
      position: 16,
      text: "SELECT 'é' frm frm d",
      reason: 'syntax error at or near "frm"',
    })
  })

  it('reduces literal vectors in the text', () => {
    expect(statements("SELECT 'é', embedding <-> '[1, 2,3.5e-1]'::vector FROM docs")[0]?.text).toBe(
      "SELECT 'é', embedding <-> vector(3)::vector FROM docs",
    )
    const long = Array.from({ length: 20 }, (_, index) => `${index % 2 ? '-' : ''}0.${index}`).join(
      ',',
    )
    expect(statements(`SELECT ARRAY[${long}]::vector`)[0]?.text).toBe(
      'SELECT ARRAY[vector(20)]::vector',
    )
    expect(statements("SELECT '[a]', '[1]'")[0]?.text).toBe("SELECT '[a]', '[1]'")
  })

  it('counts parameters and says what may run as a portal', () => {
    expect(statements('SELECT $2, $7')[0]?.parameterCount).toBe(7)
    const ready = (text: string) => statements(text).map((each) => each.portalReady)
    expect(ready('SELECT 1')).toEqual([true])
    expect(ready('VALUES (1)')).toEqual([true])
    expect(ready('SELECT 1; SELECT 2')).toEqual([false, false])
    expect(ready('SELECT 1 INTO x')).toEqual([false])
    expect(ready('WITH x AS (DELETE FROM notes RETURNING 1) SELECT * FROM x')).toEqual([true])
    expect(ready('DELETE FROM notes RETURNING id')).toEqual([true])
    expect(ready('EXPLAIN DELETE FROM notes')).toEqual([true])
    expect(ready('EXPLAIN CREATE TABLE x AS SELECT 1')).toEqual([false])
    expect(ready('COPY notes TO STDOUT')).toEqual([false])
  })

  const effects: readonly (readonly [string, StatementEffects])[] = [
    ['BEGIN', { ddl: false, pathless: true, transaction: 'begin', readOnly: false }],
    [
      'ROLLBACK TO x',
      { ddl: false, pathless: true, transaction: 'rollback-to', savepoint: 'x', readOnly: false },
    ],
    [
      'SAVEPOINT "\u00e4"',
      { ddl: false, pathless: true, transaction: 'savepoint', readOnly: false },
    ],
    ['SELECT 1', { ddl: false, planned: true, readOnly: true }],
    ['SELECT * FROM docs FOR UPDATE', { ddl: false, planned: true, readOnly: false }],
    ["SELECT set_config('a', 'b', true)", { ddl: false, planned: true, readOnly: false }],
    ['DEALLOCATE x', { ddl: false, pathless: true, deallocates: 'x', readOnly: false }],
    ['DEALLOCATE ALL', { ddl: false, pathless: true, deallocates: '*', readOnly: false }],
    ['COPY notes FROM STDIN', { ddl: false, copy: 'in', readOnly: false }],
    ['COPY notes TO STDOUT', { ddl: false, copy: 'out', readOnly: true }],
    ['CREATE TABLE x (id int)', { ddl: true, readOnly: false }],
    ['EXPLAIN ANALYZE SELECT 1 AS a INTO x', { ddl: true, readOnly: false }],
    ['EXPLAIN DELETE FROM notes', { ddl: false, readOnly: true }],
    ['EXPLAIN ANALYZE DELETE FROM notes', { ddl: false, readOnly: false }],
  ]
  for (const [text, expected] of effects) {
    it(`effects of ${text}`, () => expect(statements(text)[0]?.effects).toEqual(expected))
  }
})

describe('limits', () => {
  it('refuses more than a thousand statements', () => {
    expect(reasonOf('SELECT 1;'.repeat(1001))).toBe('more than 1000 statements in one message')
    expect(classifyAll('SELECT 1;'.repeat(1000)).every((each) => !isRefused(each.operation))).toBe(
      true,
    )
  })

  const deep: readonly (readonly [string, string, string])[] = [
    ['(', '1', ')'],
    ['NOT ', 'true', ''],
    ['1+', '1', ''],
    ['(SELECT ', '1', ')'],
    ['ARRAY[', '1', ']'],
  ]
  for (const [before, middle, after] of deep) {
    it(`survives 100,000 of ${before}`, async () => {
      const count = 100_000
      const text = `SELECT ${before.repeat(count)}${middle}${after.repeat(count)}`
      expect(reasonOf(text)).toMatch(/nested too deeply|too complex/)
      await analyzer.prepare()
      expect(classifyAll('SELECT 1').every((each) => !isRefused(each.operation))).toBe(true)
    })
  }

  it('refuses work that multiplies', () => {
    let text = 'SELECT 1 AS n'
    for (let level = 0; level < 40; level += 1) {
      text = `WITH RECURSIVE r AS (${text} UNION ALL SELECT n FROM r) SELECT n FROM r`
    }
    expect(reasonOf(text)).toMatch(/too complex|not supported yet/)
  })

  it('refuses a NUL', () => {
    expect(reasonOf('SELECT 1\0; DELETE FROM notes')).toBe('the statement holds a NUL')
  })

  it('takes what the worker answered, and nothing else', () => {
    expect(
      analyzer.fromOffload(
        'SELECT 1',
        JSON.stringify({ ok: false, kind: 'failed', message: 'gone' }),
      ),
    ).toMatchObject({ ok: true })
    const odd = analyzer.fromOffload('SELECT 2', 7)
    expect(
      odd.ok &&
        isRefused(
          odd.statements[0]?.classify(catalogue, PUBLIC).operation ?? { reason: '', text: '' },
        ),
    ).toBe(true)
  })
})

describe('settings', () => {
  it('allows what drivers need and nothing that changes how text is read', () => {
    for (const [name, value, allowed] of [
      ['statement_timeout', '0', true],
      ['TimeZone', 'UTC', true],
      ['DateStyle', 'ISO', true],
      ['client_encoding', 'UTF8', true],
      ['client_encoding', "'utf-8'", true],
      ['client_encoding', 'SQL_ASCII', false],
      ['hnsw.ef_search', '40', true],
      ['hnsw.other', '40', false],
      ['standard_conforming_strings', 'on', false],
      ['session_authorization', 'x', false],
      ['role', 'x', false],
      ['row_security', 'off', false],
      ['application_name', 'a\0b', false],
    ] as const) {
      expect(analyzer.allowsSetting(name, value), `${name}=${value}`).toBe(allowed)
    }
  })

  it('resolves a search path of known schemas', () => {
    const resolve = (value: string) => analyzer.resolveSearchPath(value, catalogue, 'shadow')
    expect(resolve('public, "shadow"')).toEqual(['public', 'shadow'])
    expect(resolve('"$user", PUBLIC')).toEqual(['shadow', 'public'])
    expect(resolve('')).toEqual([])
    expect(resolve('nowhere')).toBeUndefined()
    expect(resolve('pg_temp, public')).toBeUndefined()
    expect(resolve('public,')).toBeUndefined()
    expect(resolve('a b')).toBeUndefined()
  })
})
