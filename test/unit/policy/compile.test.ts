// What a policy may not say: form, names that lead nowhere, controls that could never take effect.

import { expect, test } from 'vitest'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { rolesFor } from '../../../src/policy/access.js'
import type { CompileOptions } from '../../../src/policy/compile.js'
import { compile, OPTIONS, POLICY, person } from './fixture.js'

function problems(source: string, options: CompileOptions = OPTIONS): string[] {
  try {
    compile(source, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

/** The messages without their positions, once each position was seen to be that of the key or item named. */
function placed(source: string, messages: readonly string[]): string[] {
  return messages.map((message) => {
    const parts = /^policy\.yaml:(\d+):(\d+): (\S+?)(\[\d+\])?: /.exec(message)
    const at = source.split('\n')[Number(parts?.[1]) - 1]?.slice(Number(parts?.[2]) - 1) ?? ''
    const key = parts?.[4] === undefined ? (parts?.[3]?.split('.').at(-1) ?? '?') : ''
    if (!message.includes('got nothing'))
      expect(at.startsWith(key) && /^\S/.test(at), message).toBe(true)
    return message.replace(/^policy\.yaml:\d+:\d+: /, '')
  })
}

/** The example policy with one text exchanged. */
function changed(from: string, to: string): string[] {
  expect(POLICY).toContain(from)
  const source = POLICY.replace(from, to)
  return placed(source, problems(source))
}

test('the example compiles', () => {
  expect(problems(POLICY)).toEqual([])
})

test.each([
  [
    'role: reader,',
    'role: raeder,',
    'access[0].role: unknown role "raeder"; did you mean "reader"?',
  ],
  [
    '[truncate]',
    '[trunkate]',
    'deny[0].match.operations[0]: unknown operation "trunkate"; did you mean "truncate"?',
  ],
  [
    'operations: [scroll]',
    'operations: [scrol]',
    'roles.reader.deny[0].operations[0]: unknown operation "scrol"; did you mean "scroll"?',
  ],
  [
    '{ role: ingest }',
    '{ role: x }',
    'holds[0].except[0].role: unknown role "x"; roles: reader, ingest, owner',
  ],
  [
    'group: corp:owners',
    'group: crop:owners',
    'access[1].who.group: unknown provider "crop"; did you mean "corp"?',
  ],
  [
    'default: 30m',
    'default: 5h',
    'access[0].grant.default: the default is longer than the maximum; raise max, or lower default',
  ],
  [
    '{ collections: [docs], vectors: drop }',
    '{ collections: [dosc], vectors: drop }',
    'roles.reader.mask[3].collections[0]: the mask could never apply: this role allows nothing on "dosc"; correct the name, or remove the mask',
  ],
  [
    'detect: [email]',
    'detect: ["re2:(?=x)"]',
    'roles.reader.mask[2].detect[0]: the pattern is not valid RE2 syntax: no look-around, no back-references',
  ],
  [
    'detect: [email]',
    'detect: ["re2:x*"]',
    'roles.reader.mask[2].detect[0]: the pattern matches empty text',
  ],
  [
    '"products_*"',
    '"p*x*"',
    'roles.reader.allow[0].collections[1]: got "p*x*", expected at most one `*`',
  ],
  [
    'access: read,',
    'access: reed,',
    'roles.reader.allow[0].access: got "reed", expected one of read, write, admin',
  ],
  ['access: read,', '', 'roles.reader.allow[0]: got a map, expected either access or operations'],
  [
    'vectors: drop',
    'vectors: drop, with: redact',
    'roles.reader.mask[3]: got a map, expected nothing but scores beside vectors: drop',
  ],
  [
    'fields: [ssn], with: null',
    'fields: [ssn]',
    'roles.reader.mask[1]: got a map, expected with: redact, partial, hash or null',
  ],
  [
    '{ rows: 500 }',
    '{ rows: 500, bytes: 5000 }',
    'roles.reader.limits.bytes: got 5000, expected a size with its unit, such as 50MB or 64MiB',
  ],
  [
    '{ rows: 500 }',
    '{ rows: 500, rate: 50/h }',
    'roles.reader.limits.rate: got "50/h", expected a rate such as 50/s or 600/m, at most 100000',
  ],
  [
    '    limits:',
    '    budget: [{ collections: [docs], per: 1h }]\n    limits:',
    'roles.reader.budget[0]: got a map, expected at least one of rows, vectors, share and probes',
  ],
  [
    '    limits:',
    '    budget: [{ collections: [docs], share: 101%, per: 1h }]\n    limits:',
    'roles.reader.budget[0].share: got text, expected a percentage such as 10% or 0.5%',
  ],
  [
    '    limits:',
    '    budget: [{ collections: [elsewhere], rows: 1, per: 1h }]\n    limits:',
    'roles.reader.budget[0].collections[0]: the budget could never apply: this role allows nothing on "elsewhere"; correct the name, or remove the budget',
  ],
  ['access: read,', 'access: read, when: "true",', 'roles.reader.allow[0].when: not supported yet'],
  [
    'group: data-science',
    'provider: github, claims: {}, group: x',
    'access[0].who: got a map, expected either group, or provider and claims',
  ],
  [
    'targets: ["*"] }',
    'targets: ["*"], owner: corp:ana, until: 2027-06-30 }',
    'access[2].owner: expected owner in a rule for workloads only; remove it',
  ],
  [
    'targets: ["*"] }',
    'targets: ["*"], requires: { acr: [mfa] } }',
    'access[2].requires: not supported yet',
  ],
  ['max: 1h,', 'schedule: x,', 'access[1].grant.schedule: not supported yet'],
  ['deny:\n', 'breakGlass: {}\ndeny:\n', 'breakGlass: not supported yet'],
  ['roles:', 'rolls:', 'rolls: unknown key; did you mean "roles"?'],
])('%j as %j', (from, to, message) => {
  expect(changed(from, to)).toContain(message)
})

test('a role without allow, or with an empty one, is refused', () => {
  expect(problems('roles: { a: {} }\naccess: []')).toEqual([
    'policy.yaml:1:10: roles.a.allow: got nothing, expected a list',
  ])
  expect(problems('roles: { a: { allow: [] } }\naccess: []')).toEqual([
    'policy.yaml:1:15: roles.a.allow: got a list, expected a list of at least 1',
  ])
})

test('a bare group name needs exactly one provider of people', () => {
  const two = { ...OPTIONS, peopleProviders: ['corp', 'other'] }
  expect(placed(POLICY, problems(POLICY, two))).toContain(
    'access[0].who.group: got a bare group name while there are 2 providers of people, expected provider:name; providers: corp, other',
  )
  expect(problems(POLICY, { ...OPTIONS, peopleProviders: [] }).length).toBeGreaterThan(0)
})

test('a pattern that matches no configured target is refused', () => {
  expect(problems(POLICY, { ...OPTIONS, targets: ['prod-vectors'] })).toEqual([])
  expect(placed(POLICY, problems(POLICY, { ...OPTIONS, targets: ['prod-vector', 'dev'] }))).toEqual(
    ['access[1].targets[0]: no target matches "prod-vectors"; did you mean "prod-vector"?'],
  )
})

test('every issue is told at once', () => {
  const source = POLICY.replace('role: reader,', 'role: x,')
    .replace('[truncate]', '[y]')
    .replace('[upsert,', '[z,')
  expect(problems(source).length).toBe(3)
})

test('roles offered', () => {
  const policy = compile(`${POLICY.replace('deny:\n  - { match', '# ')}`.replace(/^# .*$/m, ''))
  expect(rolesFor(policy, person('corp:data-science'), 'prod-vectors')).toEqual([
    {
      role: 'reader',
      rule: 'access[0]',
      defaultMs: 1_800_000,
      maxMs: 14_400_000,
      reason: 'required',
    },
  ])
  expect(rolesFor(policy, person('corp:owners', 'corp:pipelines'), 'prod-vectors')).toEqual([
    {
      role: 'owner',
      rule: 'access[1]',
      defaultMs: 3_600_000,
      maxMs: 3_600_000,
      ticket: 'optional',
    },
    { role: 'ingest', rule: 'access[2]', defaultMs: 3_600_000, maxMs: 28_800_000 },
  ])
  expect(rolesFor(policy, person('other:owners', 'owners', 'corp:Owners'), 'prod-vectors')).toEqual(
    [],
  )
  for (const target of ['dev', 'prod-x'])
    expect(rolesFor(policy, person('corp:owners'), target)).toEqual([])
  expect(rolesFor(policy, person(), 'prod-vectors')).toEqual([])
})
