// limits.bytes: the smallest of the roles held, on whatever reads data and may give a row; no approval lifts it.

import { expect, test } from 'vitest'
import { CATALOG } from '../../../src/core/operation.js'
import { ask, compile, operation, POLICY, use } from './fixture.js'

const policy = compile(
  POLICY.replace('{ rows: 500 }', '{ rows: 500, bytes: 2MB }').replace(
    'record: metadata }',
    'limits: { bytes: 1MiB } }',
  ),
)
const limitOf = (roles: readonly string[], collection: string, rows: number | 'unbounded') => {
  const one = operation('get', [use(collection, 'get')], { returns: { rows, outputs: [] } })
  const decision = ask(roles, one, { policy })
  return decision.verdict === 'deny' ? decision.rule : decision.obligations.byteLimit
}
const reader = { bytes: 2_000_000, rule: 'roles.reader.limits.bytes' }
const owner = { bytes: 1_048_576, rule: 'roles.owner.limits.bytes' }

test('the smallest of the roles held', () => {
  expect(limitOf(['reader'], 'docs', 1)).toEqual(reader)
  expect(limitOf(['reader'], 'docs', 'unbounded')).toEqual(reader)
  expect(limitOf(['reader', 'owner'], 'docs', 1)).toEqual(owner)
  expect(limitOf(['owner', 'reader'], 'docs', 1)).toEqual(owner)
})

test('what gives no row, and the catalogue, has none', () => {
  expect(limitOf(['owner'], 'docs', 0)).toBeUndefined()
  expect(limitOf(['owner'], CATALOG, 'unbounded')).toBeUndefined()
})

test('what is held keeps it', () => {
  const one = operation('export', [use('docs', 'export')], {
    returns: { rows: 'unbounded', outputs: [] },
  })
  expect(ask(['owner'], one, { policy })).toMatchObject({
    verdict: 'hold',
    obligations: { byteLimit: owner },
  })
})
