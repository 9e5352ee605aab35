// Owns the proof of what an operation takes of which budget, and that what nobody can count is refused.

import { describe, expect, it } from 'vitest'
import type { FieldMask } from '../../../src/core/decision.js'
import type { Effect, FieldHow, Operation, Output } from '../../../src/core/operation.js'
import { claimsOf } from '../../../src/policy/budgets.js'
import { compile } from './fixture.js'

const policy = (budget: string) =>
  compile(`
roles: { reader: { allow: [{ access: read, collections: ["*"] }], budget: ${budget} } }
access: [{ who: { group: team }, role: reader, targets: ["*"] }]
`)
const ALL = '[{ collections: [docs], rows: 100, vectors: 5, probes: 7, per: 1h }]'

const column = (field: string, vector = false, collection = 'docs'): Output => ({
  name: field,
  kind: 'column',
  sources: [{ collection, field, vector }],
})
const VECTOR = column('embedding', true)
const SCORE: Output = { ...VECTOR, kind: 'score', scoreOf: 'l2' }
const MADE: Output = { ...VECTOR, kind: 'derived' }

interface Over {
  readonly outputs?: readonly Output[]
  readonly rows?: number | 'unbounded'
  readonly gathers?: number | 'unbounded'
  readonly hows?: readonly FieldHow[]
  readonly uses?: Operation['collections']
  readonly probes?: number
}

function read({
  outputs = [column('id')],
  rows = 10,
  gathers,
  hows = [],
  uses,
  probes = 0,
}: Over = {}): Operation {
  return {
    name: 'get',
    access: 'read',
    collections: uses ?? [
      { collection: 'docs', access: 'read', action: 'get', effect: { kind: 'none' } },
    ],
    fields: hows.map((how) => ({ collection: 'docs', field: 'embedding', how, vector: true })),
    returns: { rows, outputs, ...(gathers === undefined ? {} : { gathers }) },
    risks: [],
    functions: [],
    probes: Array.from({ length: probes }, () => ({ collection: 'docs', field: 'embedding' })),
    text: '',
  }
}

/** What is taken, by kind: for the whole, and for each row. */
function taken(operation: Operation, masks: readonly FieldMask[] = [], budget = ALL) {
  const claims = claimsOf([...policy(budget).roles.values()], operation, masks)
  if ('reason' in claims) return claims.reason
  return Object.fromEntries(claims.map(({ kind, fixed, perRow }) => [kind, [fixed, perRow]]))
}

const mask = (kind: 'vector' | 'value'): FieldMask => ({
  collection: 'docs',
  field: 'embedding',
  transforms: [kind === 'vector' ? { kind } : { kind, with: 'null' }],
  scores: 'exact',
  rule: 'r',
})

describe('an operation takes', () => {
  it.each<[string, Over, unknown]>([
    ['a row for each that it gives', {}, { rows: [0, 1] }],
    ['nothing where it gives none', { rows: 0 }, {}],
    ['what it gathers, beside', { gathers: 40 }, { rows: [40, 1] }],
    [
      'an embedding for each in a row',
      { outputs: [VECTOR, VECTOR] },
      { rows: [0, 1], vectors: [0, 2] },
    ],
    [
      'a probe for each distance',
      { outputs: [SCORE, SCORE], hows: ['nearest'] },
      { rows: [0, 1], probes: [2, 0] },
    ],
    ['a probe for a search without one', { hows: ['nearest'] }, { rows: [0, 1], probes: [1, 0] }],
    [
      'a probe for each different distance, wherever it stands',
      { outputs: [SCORE], hows: ['nearest', 'cutoff'], probes: 3 },
      { rows: [0, 1], probes: [3, 0] },
    ],
    [
      'a probe for each condition',
      { hows: ['predicate', 'equality'] },
      { rows: [0, 1], probes: [2, 0] },
    ],
    [
      'both in each row that is made of one',
      { outputs: [MADE] },
      { rows: [0, 1], vectors: [0, 1], probes: [0, 1] },
    ],
    [
      'as many as it gathers',
      { outputs: [MADE], gathers: 3 },
      { rows: [3, 1], vectors: [3, 1], probes: [3, 1] },
    ],
  ])('%s', (_, over, expected) => {
    expect(taken(read(over))).toEqual(expected)
  })

  it('no embedding that a mask hides', () => {
    const operation = read({ outputs: [VECTOR] })
    expect(taken(operation, [mask('vector')])).toEqual({ rows: [0, 1] })
    expect(taken(operation, [mask('value')])).toEqual({ rows: [0, 1] })
  })

  it('nothing of collections that are not named, of the catalogue, or by a plan', () => {
    const use = { access: 'read', action: 'get', effect: { kind: 'none' } } as const
    const everything = '[{ collections: ["*"], rows: 100, per: 1h }]'
    expect(taken(read({ uses: [{ ...use, collection: 'notes' }] }))).toEqual({})
    const catalogue = read({ uses: [{ ...use, collection: '$catalog' }] })
    expect(taken(catalogue, [], everything)).toEqual({})
    const plan = { ...use, collection: 'docs', action: 'describe_collection' }
    expect(taken(read({ uses: [plan] }), [], everything)).toEqual({})
    expect(taken(read({ uses: [{ ...use, collection: 'other.docs' }] }), [], everything)).toEqual({
      rows: [0, 1],
    })
  })

  it('what it copies out of them; nobody counts what has no number', () => {
    const into = (effect: Operation['collections'][number]['effect'], collection = 'scratch') =>
      read({
        rows: 0,
        hows: ['copied'],
        uses: [
          { collection: 'docs', access: 'read', action: 'get', effect: { kind: 'none' } },
          { collection, access: 'write', action: 'insert', effect },
        ],
      })
    expect(taken(into({ kind: 'rows', count: 30 }))).toEqual({ rows: [30, 0], vectors: [30, 0] })
    expect(taken(into({ kind: 'unknown', reason: '' }))).toContain('would copy a number of rows')
    expect(taken(into({ kind: 'filter' }))).toContain('out of what roles.reader.budget[0] covers')
    // What stays among them is counted when it leaves.
    expect(taken(into({ kind: 'filter' }, 'docs'))).toEqual({})
    expect(taken(read({ gathers: 'unbounded' }))).toContain('would gather a number of rows')
  })

  it('what it writes elsewhere by comparing, once for each collection and action', () => {
    const use = (collection: string, action: string, effect: Effect) =>
      ({ collection, access: action === 'get' ? 'read' : 'write', action, effect }) as const
    const reads = use('docs', 'get', { kind: 'none' })
    const insert = (collection: string, count: number) =>
      use(collection, 'insert', { kind: 'rows', count })
    const many = (collection: string) => use(collection, 'update_by_filter', { kind: 'filter' })
    const found = (uses: Operation['collections'], hows: readonly FieldHow[] = []) =>
      taken(read({ rows: 0, hows, uses: [reads, ...uses] }))
    expect(found([insert('a', 4), insert('b', 4)])).toEqual({ rows: [8, 0] })
    // Both carry what the request inserts there.
    expect(found([insert('a', 6), insert('a', 6)])).toEqual({ rows: [6, 0] })
    expect(found([insert('a', 6)], ['predicate', 'join'])).toMatchObject({
      rows: [6, 0],
      vectors: [6, 0],
    })
    expect(found([insert('a', 6)], ['nearest', 'cutoff'])).not.toHaveProperty('vectors')
    expect(found([many('a')])).toContain('would copy a number of rows')
    // A write of what is budgeted, and of what it is a part of.
    expect(found([many('docs')])).toEqual({})
    expect(found([many('docs'), many('docs_2026')])).toEqual({})
    expect(found([many('docs'), many('$temp.t')])).toContain('would copy a number of rows')
    expect(found([use('a', 'update', { kind: 'none' })])).toEqual({})
  })

  it('a share of each collection by itself; the rest of all that are named together', () => {
    const budget = '[{ collections: ["*"], rows: 10, share: 10%, per: 1h }]'
    const uses = ['docs', 'notes'].map((collection) => ({
      ...{ collection, access: 'read' as const, action: 'get' },
      effect: { kind: 'none' as const },
    }))
    const claims = claimsOf([...policy(budget).roles.values()], read({ uses }), [])
    expect(claims).toMatchObject([
      { kind: 'rows', limit: 10, perMs: 3_600_000, rule: 'roles.reader.budget[0]' },
      { kind: 'share', share: { of: 0.1, collection: 'docs' } },
      { kind: 'share', share: { of: 0.1, collection: 'notes' } },
    ])
  })

  it('of the same count under a changed limit', () => {
    const counters = (budget: string) => {
      const claims = claimsOf([...policy(budget).roles.values()], read(), [])
      return 'reason' in claims ? [] : claims.map(({ counter }) => counter)
    }
    const [first] = counters('[{ collections: [docs, b], rows: 10, per: 1h }]')
    expect(counters('[{ collections: [b, docs], rows: 99, per: 60m }]')).toEqual([first])
    expect(counters('[{ collections: [docs, b], rows: 10, per: 2h }]')).not.toEqual([first])
  })
})
