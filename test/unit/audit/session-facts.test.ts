// What a recording says of keys: who wrote or deleted which, with what outcome, and what it does not say.

import { describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../../src/audit/records.js'
import { MAX_TEXT, SessionFacts, type Touch } from '../../../src/audit/session-facts.js'

type Effect = { kind: string; count?: number }
const use = (access: string, action: string, effect: Effect, collection = 'docs') => ({
  collection,
  access,
  action,
  effect,
})
const AT = '2026-03-01T12:00:00.000Z'

/** A recording in the making: each call appends a record. */
function recording() {
  const facts = new SessionFacts()
  let seq = 0
  let op = 0
  const add = (body: Record<string, unknown>): number => {
    seq += 1
    facts.add({ seq, at: AT, ...body } as StoredRecord)
    return seq
  }
  const judged = (text: string, uses: object[], more: Record<string, unknown> = {}): number => {
    op += 1
    const operations = [{ name: 'x', access: 'write', collections: uses, risks: [] }]
    const base = {
      connection: 'con',
      op,
      form: 'simple',
      text,
      operations,
      verdict: 'permit',
      rule: 'r',
    }
    return add({ type: 'operation.judged', ...base, ...more })
  }
  const delivered = (tag: string, more: Record<string, unknown> = {}): number => {
    const base = {
      connection: 'con',
      op,
      index: 0,
      rowCount: 0,
      bytes: 0,
      masked: 0,
      tag,
      done: true,
    }
    return add({ type: 'operation.delivered', ...base, ...more })
  }
  const run = (text: string, tag: string): void => {
    judged(text, [])
    delivered(tag)
  }
  const remove = (key: string, tag = 'DELETE 1'): void => {
    judged(`DELETE ${key}`, [use('write', 'delete', { kind: 'ids', count: 1 })], {
      keys: { docs: [key] },
    })
    delivered(tag)
  }
  return { facts, add, judged, delivered, run, remove }
}
const shown = (touches: readonly Touch[]): string[] =>
  touches.map((one) => `${one.action} ${one.key ?? '?'} ${one.outcome}`)

describe('touches', () => {
  it('are the keys that a request names, once the database has answered', () => {
    const { facts, judged, delivered } = recording()
    judged('INSERT', [use('write', 'insert', { kind: 'rows', count: 2 })], {
      keys: { docs: ['41', '42'] },
      approval: { request: 'req_1', by: ['usr_b'] },
    })
    expect(facts.take()).toEqual([])
    expect(shown(facts.open(false))).toEqual(['insert 41 running', 'insert 42 running'])
    delivered('INSERT 0 2')
    expect(facts.take()).toEqual(
      ['41', '42'].map((key) => ({
        record: 1,
        at: Date.parse(AT),
        rows: 2,
        request: 'req_1',
        collection: 'docs',
        key,
        action: 'insert',
        outcome: 'done',
      })),
    )
    expect(facts.open(true)).toEqual([])
  })

  it('say that nothing was touched, that it failed, and that nobody knows', () => {
    const { facts, add, judged, delivered, remove } = recording()
    remove('1', 'DELETE 0')
    judged('DELETE 2', [use('write', 'delete', { kind: 'ids', count: 1 })], {
      keys: { docs: ['2'] },
    })
    delivered('', { error: { sqlstate: '23503', message: '' } })
    judged('DELETE 3', [use('write', 'delete', { kind: 'ids', count: 1 })], {
      keys: { docs: ['3'] },
    })
    add({ type: 'connection.closed', connection: 'other' })
    expect(shown(facts.take())).toEqual(['delete 1 nothing', 'delete 2 failed'])
    add({ type: 'connection.closed', connection: 'con' })
    expect(shown(facts.take())).toEqual(['delete 3 unknown'])
  })

  it('are nothing of what was denied, held or read', () => {
    const { facts, judged } = recording()
    const write = [use('write', 'delete', { kind: 'ids', count: 1 })]
    judged('DELETE', write, { verdict: 'deny', keys: { docs: ['1'] } })
    judged('DELETE', write, { verdict: 'hold', keys: { docs: ['1'] } })
    judged('SELECT', [use('read', 'get', { kind: 'none' })])
    expect(facts.open(true)).toEqual([])
    expect(facts.uses).toEqual([
      { collection: 'docs', operation: 'delete', decision: 'deny', count: 1 },
      { collection: 'docs', operation: 'delete', decision: 'hold', count: 1 },
      { collection: 'docs', operation: 'get', decision: 'permit', count: 1 },
    ])
  })

  it.each([
    [
      'a condition',
      use('write', 'delete_by_filter', { kind: 'filter' }),
      undefined,
      'DELETE 3',
      ['?'],
    ],
    ['everything', use('write', 'truncate', { kind: 'all' }), undefined, 'TRUNCATE TABLE', ['?']],
    [
      'a dropped table',
      use('admin', 'drop_collection', { kind: 'all' }),
      undefined,
      'DROP TABLE',
      ['?'],
    ],
    [
      'keys that the database chose',
      use('write', 'insert', { kind: 'rows', count: 1 }),
      undefined,
      'INSERT 0 1',
      ['?'],
    ],
    [
      'some of the keys',
      use('write', 'insert', { kind: 'rows', count: 2 }),
      ['7'],
      'INSERT 0 2',
      ['7', '?'],
    ],
  ])('name what they can of %s', (_what, one, keys, tag, wanted) => {
    const { facts, judged, delivered } = recording()
    judged('the statement', [one], keys === undefined ? {} : { keys: { docs: keys } })
    delivered(tag)
    const touches = facts.take()
    expect(touches.map((touch) => touch.key ?? '?')).toEqual(wanted)
    expect(touches.at(-1)).toMatchObject({ predicate: 'the statement' })
  })

  it('are none of a condition that met nothing', () => {
    const { facts, judged, delivered } = recording()
    judged('DELETE', [use('write', 'delete_by_filter', { kind: 'filter' })])
    delivered('DELETE 0')
    expect(facts.take()).toEqual([])
  })

  it('take the keys that the answer names', () => {
    const { facts, judged, delivered } = recording()
    judged('DELETE … RETURNING id', [use('write', 'delete_by_filter', { kind: 'filter' })])
    delivered('', { done: false, keys: { docs: ['1'] } })
    delivered('DELETE 2', { keys: { docs: ['2'] } })
    expect(shown(facts.take())).toEqual(['delete_by_filter 1 done', 'delete_by_filter 2 done'])
  })

  it('take keys in the form that tells written from deleted, and drop what has no form', () => {
    const { facts, judged, delivered } = recording()
    judged('x', [use('write', 'update', { kind: 'ids', count: 2 })], {
      keys: { docs: { written: ['1', 5], deleted: ['2'] }, other: 'no' },
      keysUnknown: 'yes',
    })
    delivered('UPDATE 2', { keys: [['3']] })
    expect(shown(facts.take())).toEqual(['update 1 done', 'update 2 done'])
  })
})

describe('a transaction', () => {
  it('counts when it is committed', () => {
    const { facts, run, remove } = recording()
    run('BEGIN', 'BEGIN')
    remove('1')
    expect(facts.take()).toEqual([])
    expect(shown(facts.open(false))).toEqual(['delete 1 uncommitted'])
    run('COMMIT', 'COMMIT')
    expect(shown(facts.take())).toEqual(['delete 1 done'])
    remove('2')
    expect(shown(facts.take())).toEqual(['delete 2 done'])
  })

  it.each([
    ['ROLLBACK', 'ROLLBACK'],
    ['COMMIT', 'ROLLBACK'],
  ])('that ends with %s and the answer %s was without effect', (text, tag) => {
    const { facts, run, remove } = recording()
    run('BEGIN', 'BEGIN')
    remove('1')
    run(text, tag)
    expect(shown(facts.take())).toEqual(['delete 1 rolled_back'])
  })

  it('that is open when its connection ends was without effect', () => {
    const { facts, add, run, remove } = recording()
    run('BEGIN', 'BEGIN')
    remove('1')
    add({ type: 'session.closed', reason: 'stopped' })
    expect(shown(facts.take())).toEqual(['delete 1 rolled_back'])
  })

  it('is not certain behind a rollback to a savepoint', () => {
    const { facts, run, remove } = recording()
    run('BEGIN', 'BEGIN')
    remove('1')
    run('ROLLBACK TO SAVEPOINT a', 'ROLLBACK')
    remove('2')
    run('COMMIT', 'COMMIT')
    expect(shown(facts.take())).toEqual(['delete 1 unknown', 'delete 2 done'])
  })

  it('is not certain where the text of a rollback is not recorded', () => {
    const { facts, add, run, judged, delivered, remove } = recording()
    run('BEGIN', 'BEGIN')
    remove('1')
    judged('', [], { text: undefined })
    delivered('ROLLBACK')
    remove('2')
    add({ type: 'session.closed', reason: 'stopped' })
    expect(shown(facts.take())).toEqual(['delete 1 unknown', 'delete 2 unknown'])
  })
})

describe('text', () => {
  it('is statements, parameters, reason and ticket, each once, up to a limit that is told', () => {
    const { facts, add, judged } = recording()
    add({ type: 'session.opened', grant: { reason: 'clean up', ticket: 'T-1' } })
    judged('SELECT $1', [], { parameters: ['Ana', null, 'Ana'] })
    judged('SELECT $1', [], { parameters: [] })
    expect(facts.texts).toEqual(['clean up', 'T-1', 'SELECT $1', 'Ana'])
    expect(facts.textCut).toBe(false)
    judged('x'.repeat(MAX_TEXT), [])
    expect(facts.textCut).toBe(true)
    expect(facts.texts).toHaveLength(4)
  })

  it('is nothing of a statement that the policy keeps out of the record', () => {
    const { facts, judged } = recording()
    judged('', [use('write', 'insert', { kind: 'rows', count: 1 })], { text: undefined })
    expect(facts.texts).toEqual([])
    expect(facts.open(true)[0]).not.toHaveProperty('predicate')
  })
})
