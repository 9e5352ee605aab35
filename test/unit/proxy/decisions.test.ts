import { expect, test } from 'vitest'
import type { Operation } from '../../../src/core/operation.js'
import { type Principal, principalId } from '../../../src/core/principal.js'
import { KNOWN_ACTIONS } from '../../../src/databases/list.js'
import { compilePolicy } from '../../../src/policy/compile.js'
import { loadPolicy } from '../../../src/policy/schema.js'
import { Decisions } from '../../../src/proxy/decisions.js'

const policyOf = (access: string) =>
  compilePolicy(
    loadPolicy(
      `roles:
  reader: { allow: [{ access: ${access}, collections: [docs] }] }
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: corp:all }, role: reader, targets: [one, two] }
  - { who: { group: corp:all }, role: writer, targets: [one] }
`,
      'policy.yaml',
    ),
    { actions: [...KNOWN_ACTIONS], peopleProviders: ['corp'] },
  )

const person = (name: string, groups: readonly string[]): Principal => ({
  id: principalId('https://id.example.test', name),
  kind: 'person',
  provider: 'corp',
  issuer: 'https://id.example.test',
  subject: name,
  name,
  groups,
  claims: {},
})

const READ: Operation = {
  name: 'scroll',
  access: 'read',
  collections: [{ collection: 'docs', access: 'read', action: 'scroll', effect: { kind: 'none' } }],
  fields: [],
  returns: { rows: 1, outputs: [] },
  risks: [],
  functions: [],
  text: 'SELECT id FROM docs WHERE id = 1',
}

const ann = person('ann', ['corp:all'])
const roles = ['reader']
const request = { principal: ann, roles, target: 'one', operation: READ, phase: 'execute' } as const
const policy = policyOf('read')

test('the same question is decided once', () => {
  const decisions = new Decisions()
  const first = decisions.decide(policy, request)
  expect(first.verdict).toBe('permit')
  expect(decisions.decide(policy, { ...request })).toBe(first)
})

test.each([
  ['another policy', policyOf('write'), {}],
  ['other roles', policy, { roles: [] }],
  ['another person', policy, { principal: person('eve', []) }],
  ['another target', policy, { target: 'three' }],
])('%s is decided anew, and so is what comes after it', (_name, other, over) => {
  const decisions = new Decisions()
  const first = decisions.decide(policy, request)
  const second = decisions.decide(other, { ...request, ...over })
  expect(second).not.toBe(first)
  if (Object.keys(over).length > 0) expect(second.verdict).toBe('deny')
  expect(decisions.decide(policy, request).verdict).toBe('permit')
})

test('another operation that looks the same is decided by itself', () => {
  const decisions = new Decisions()
  decisions.decide(policy, request)
  const use = {
    collection: 'secrets',
    access: 'read',
    action: 'scroll',
    effect: { kind: 'none' },
  } as const
  const operation: Operation = { ...READ, collections: [use] }
  expect(decisions.decide(policy, { ...request, operation }).verdict).toBe('deny')
})

test('what may be prepared is not what may run', () => {
  const decisions = new Decisions()
  const prepared = decisions.decide(policy, { ...request, phase: 'prepare' })
  expect(decisions.decide(policy, request)).not.toBe(prepared)
})
