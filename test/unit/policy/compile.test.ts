// What a policy may not say: form, names that lead nowhere, controls that could never take effect.

import { expect, test } from 'vitest'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { rolesFor, visibleTargets } from '../../../src/policy/access.js'
import type { CompileOptions } from '../../../src/policy/compile.js'
import { compile, OPTIONS, person, POLICY } from './fixture.js'

function problems(source: string, options: CompileOptions = OPTIONS): string[] {
  try {
    compile(source, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

/** The example policy with one text exchanged. */
function changed(from: string, to: string): string[] {
  expect(POLICY).toContain(from)
  return problems(POLICY.replace(from, to))
}

test('the example compiles', () => {
  expect(problems(POLICY)).toEqual([])
})

test.each([
  ['role: reader,', 'role: raeder,', 'policy.yaml:18:42: access[0].role: unknown role "raeder"; did you mean "reader"?'],
  ['[truncate]', '[trunkate]', 'policy.yaml:24:28: deny[0].match.operations[0]: unknown operation "trunkate"; did you mean "truncate"?'],
  ['operations: [scroll]', 'operations: [scrol]', 'policy.yaml:6:26: roles.reader.deny[0].operations[0]: unknown operation "scrol"; did you mean "scroll"?'],
  ['{ role: ingest }', '{ role: x }', 'policy.yaml:22:108: holds[0].except[0].role: unknown role "x"; roles: reader, ingest, owner'],
  ['group: corp:owners', 'group: crop:owners', 'policy.yaml:19:14: access[1].who.group: unknown provider "crop"; did you mean "corp"?'],
  ['default: 30m', 'default: 5h', 'policy.yaml:18:79: access[0].grant.default: the default is longer than the maximum; raise max, or lower default'],
  ['{ collections: [docs], vectors: drop }', '{ collections: [dosc], vectors: drop }', 'policy.yaml:11:25: roles.reader.mask[3].collections[0]: the mask could never apply: this role allows nothing on "dosc"; correct the name, or remove the mask'],
  ['detect: [email]', 'detect: ["re2:(?=x)"]', 'policy.yaml:10:56: roles.reader.mask[2].detect[0]: the pattern is not valid RE2 syntax: no look-around, no back-references'],
  ['detect: [email]', 'detect: ["re2:x*"]', 'policy.yaml:10:56: roles.reader.mask[2].detect[0]: the pattern matches empty text'],
  ['"products_*"', '"p*x*"', 'policy.yaml:5:41: roles.reader.allow[0].collections[1]: got "p*x*", expected at most one `*`'],
  ['access: read,', 'access: reed,', 'policy.yaml:5:11: roles.reader.allow[0].access: got "reed", expected one of read, write, admin'],
  ['access: read,', '', 'policy.yaml:5:9: roles.reader.allow[0]: got a map, expected either access or operations'],
  ['vectors: drop', 'vectors: drop, with: redact', 'policy.yaml:11:9: roles.reader.mask[3]: got a map, expected nothing but scores beside vectors: drop'],
  ['fields: [ssn], with: null', 'fields: [ssn]', 'policy.yaml:9:9: roles.reader.mask[1]: got a map, expected with: redact, partial, hash or null'],
  ['{ rows: 500 }', '{ rows: 500, bytes: 5MB }', 'policy.yaml:12:26: roles.reader.limits.bytes: not supported yet'],
  ['{ rows: 500 }', '{ rows: 500, rate: 50/s }', 'policy.yaml:12:26: roles.reader.limits.rate: not supported yet'],
  ['    limits:', '    budget: []\n    limits:', 'policy.yaml:12:5: roles.reader.budget: not supported yet'],
  ['access: read,', 'access: read, when: "true",', 'policy.yaml:5:25: roles.reader.allow[0].when: not supported yet'],
  ['group: data-science', 'provider: github, claims: {}, group: x', 'policy.yaml:18:12: access[0].who.provider: not supported yet'],
  ['targets: ["*"] }', 'targets: ["*"], owner: corp:ana, until: 2027-06-30 }', 'policy.yaml:20:66: access[2].owner: not supported yet'],
  ['targets: ["*"] }', 'targets: ["*"], requires: { acr: [mfa] } }', 'policy.yaml:20:66: access[2].requires: not supported yet'],
  ['max: 1h,', 'approval: { by: [x] },', 'policy.yaml:19:75: access[1].grant.approval: not supported yet'],
  ['max: 1h,', 'schedule: x,', 'policy.yaml:19:75: access[1].grant.schedule: not supported yet'],
  ['deny:\n', 'breakGlass: {}\ndeny:\n', 'policy.yaml:23:1: breakGlass: not supported yet'],
  ['roles:', 'rolls:', 'policy.yaml:2:1: rolls: unknown key; did you mean "roles"?'],
])('%j as %j', (from, to, message) => {
  expect(changed(from, to)).toContain(message)
})

test('a role without allow, or with an empty one, is refused', () => {
  expect(problems('roles: { a: {} }\naccess: []')).toEqual(['policy.yaml:1:10: roles.a.allow: got nothing, expected a list'])
  expect(problems('roles: { a: { allow: [] } }\naccess: []')).toEqual([
    'policy.yaml:1:15: roles.a.allow: got a list, expected a list of at least 1',
  ])
})

test('a bare group name needs exactly one provider of people', () => {
  const two = { ...OPTIONS, peopleProviders: ['corp', 'other'] }
  expect(problems(POLICY, two)).toContain(
    'policy.yaml:18:12: access[0].who.group: got a bare group name while there are 2 providers of people, expected provider:name; providers: corp, other',
  )
  expect(problems(POLICY, { ...OPTIONS, peopleProviders: [] }).length).toBeGreaterThan(0)
})

test('a pattern that matches no configured target is refused', () => {
  expect(problems(POLICY, { ...OPTIONS, targets: ['prod-vectors'] })).toEqual([])
  expect(problems(POLICY, { ...OPTIONS, targets: ['prod-vector', 'dev'] })).toEqual([
    'policy.yaml:19:58: access[1].targets[0]: no target matches "prod-vectors"; did you mean "prod-vector"?',
  ])
})

test('every issue is told at once', () => {
  const source = POLICY.replace('role: reader,', 'role: x,').replace('[truncate]', '[y]').replace('[upsert,', '[z,')
  expect(problems(source).length).toBe(3)
})

test('roles offered, targets seen', () => {
  const policy = compile(`${POLICY.replace('deny:\n  - { match', '# ')}`.replace(/^# .*$/m, ''))
  expect(rolesFor(policy, person('corp:data-science'), 'prod-vectors')).toEqual([
    { role: 'reader', rule: 'access[0]', defaultMs: 1_800_000, maxMs: 14_400_000, reason: 'required' },
  ])
  expect(rolesFor(policy, person('corp:owners', 'corp:pipelines'), 'prod-vectors')).toEqual([
    { role: 'owner', rule: 'access[1]', defaultMs: 3_600_000, maxMs: 3_600_000, ticket: 'optional' },
    { role: 'ingest', rule: 'access[2]', defaultMs: 3_600_000, maxMs: 28_800_000 },
  ])
  expect(rolesFor(policy, person('other:owners', 'owners', 'corp:Owners'), 'prod-vectors')).toEqual([])
  expect(visibleTargets(policy, person('corp:owners'), ['dev', 'prod-vectors', 'prod-x'])).toEqual(['prod-vectors'])
  expect(visibleTargets(policy, person(), ['dev', 'prod-vectors'])).toEqual([])
})
