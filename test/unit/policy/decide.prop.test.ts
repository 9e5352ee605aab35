// What holds for every policy and every operation: default deny, deny and mask never permit more, decide is total.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { CATALOG, type Effect, type Operation, RISKS } from '../../../src/core/operation.js'
import { decide } from '../../../src/policy/decide.js'
import { ACTIONS, compile, everyone } from './fixture.js'

const pattern = fc.constantFrom('docs', 'notes', '*', 'do*', 'public.docs', '*s')
const collection = fc.constantFrom('docs', 'notes', 'shadow.docs', CATALOG, '')
const level = fc.constantFrom('read', 'write', 'admin')
const list = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 3 })
const action = fc.constantFrom(...ACTIONS)
const effect: fc.Arbitrary<Effect> = fc.oneof(
  fc.constantFrom<Effect>(
    { kind: 'none' },
    { kind: 'filter' },
    { kind: 'all' },
    { kind: 'unknown', reason: 'x' },
  ),
  fc.nat(2000).map((count) => ({ kind: 'ids' as const, count })),
  fc.nat(2000).map((count) => ({ kind: 'rows' as const, count })),
)

const allow = fc.oneof(
  fc.record({ access: level, collections: list(pattern) }),
  fc.record({ operations: list(action), collections: list(pattern) }),
)
const denial = fc.record(
  { operations: list(action), collections: list(pattern), access: level },
  { requiredKeys: ['collections'] },
)
const mask = fc.record({
  collections: fc.constant(['*']),
  fields: list(fc.constantFrom('email', 'meta.phone', 'id')),
  with: fc.constantFrom('redact', 'hash'),
})
const policyOf = fc.record({
  roles: fc.record({ a: fc.record({ allow: list(allow) }), b: fc.record({ allow: list(allow) }) }),
  access: fc.constant(
    ['a', 'b'].map((role) => ({ who: { group: 'corp:owners' }, role, targets: ['*'] })),
  ),
  holds: fc.array(
    fc.record({
      name: fc.constant('h'),
      match: fc.record({ risk: list(fc.constantFrom(...RISKS)) }),
    }),
    { maxLength: 1 },
  ),
})

const how = fc.constantFrom(
  'output',
  'score',
  'derived',
  'copied',
  'equality',
  'nearest',
  'predicate',
  'order',
  'group',
  'join',
  'written',
)
const operation: fc.Arbitrary<Operation> = fc.record({
  name: action,
  access: fc.constantFrom('none', 'read', 'write', 'admin'),
  collections: fc.array(
    fc.record({
      collection,
      access: fc.constantFrom('none', 'read', 'write', 'admin'),
      action,
      effect,
    }),
    { maxLength: 3 },
  ),
  fields: fc.array(
    fc.record({
      collection,
      field: fc.constantFrom('email', 'meta', 'id', '*'),
      how,
      vector: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
  returns: fc.record({
    rows: fc.oneof(fc.constant('unbounded' as const), fc.nat(3000), fc.constant(Number.NaN)),
    outputs: fc.constant([]),
  }),
  risks: fc.array(fc.constantFrom(...RISKS), { maxLength: 2 }),
  functions: fc.array(fc.constant('app.f(int)'), { maxLength: 1 }),
  text: fc.constant('x'),
}) as fc.Arbitrary<Operation>

const RANK = { deny: 0, hold: 1, permit: 2 }
const held = fc.constantFrom(['a'], ['b'], ['a', 'b'])
const judge = (file: unknown, roles: readonly string[], one: Operation) => {
  const policy = compile(stringify(file), { actions: ACTIONS, peopleProviders: ['corp'] })
  return decide(policy, {
    principal: everyone,
    roles,
    target: 't',
    operation: one,
    phase: 'execute',
  })
}

test('a deny more never permits more', () => {
  fc.assert(
    fc.property(
      policyOf,
      held,
      operation,
      denial,
      fc.boolean(),
      (file, roles, one, extra, global) => {
        const before = judge(file, roles, one)
        const more = global
          ? { ...file, deny: [{ match: extra }] }
          : { ...file, roles: { ...file.roles, a: { ...file.roles.a, deny: [extra] } } }
        expect(RANK[judge(more, roles, one).verdict]).toBeLessThanOrEqual(RANK[before.verdict])
      },
    ),
    { seed: 1, numRuns: 120 },
  )
})

test('a mask more never permits more, and takes no mask away', () => {
  fc.assert(
    fc.property(policyOf, held, operation, mask, (file, roles, one, extra) => {
      const before = judge(file, roles, one)
      const after = judge(
        { ...file, roles: { ...file.roles, a: { ...file.roles.a, mask: [extra] } } },
        roles,
        one,
      )
      expect(RANK[after.verdict]).toBeLessThanOrEqual(RANK[before.verdict])
      if (before.verdict === 'permit' && after.verdict === 'permit') {
        expect(after.obligations.masks.length).toBeGreaterThanOrEqual(
          before.obligations.masks.length,
        )
      }
    }),
    { seed: 1, numRuns: 120 },
  )
})

test('an unknown action is never permitted, and no roles permit nothing', () => {
  fc.assert(
    fc.property(policyOf, held, operation, fc.string(), (file, roles, one, name) => {
      fc.pre(!ACTIONS.includes(name))
      expect(judge(file, roles, { ...one, name })).toMatchObject({ verdict: 'deny' })
      const [first, ...rest] = one.collections
      if (first !== undefined) {
        expect(
          judge(file, roles, { ...one, collections: [{ ...first, action: name }, ...rest] })
            .verdict,
        ).toBe('deny')
      }
      expect(judge(file, [], one).verdict).toBe('deny')
    }),
    { seed: 1, numRuns: 120 },
  )
})

test('a permit covers every collection with access by a rule of a role held, and never writes the catalogue', () => {
  fc.assert(
    fc.property(policyOf, held, operation, (file, roles, one) => {
      const decision = judge(file, roles, one)
      if (decision.verdict === 'deny') return
      for (const use of one.collections) {
        if (use.access === 'none') continue
        if (use.collection === CATALOG) expect(use.access).toBe('read')
        else {
          const alone = roles.some(
            (role) =>
              judge({ ...file, holds: [] }, [role], {
                ...one,
                name: one.name,
                access: use.access,
                collections: [use],
                fields: [],
                functions: [],
              }).verdict !== 'deny',
          )
          expect(alone || use.access !== one.access).toBe(true)
        }
      }
      expect(one.functions).toEqual([])
    }),
    { seed: 1, numRuns: 120 },
  )
})
