// Owns the table of claims against patterns, what a rule for workloads may not say, and the end of a rule.

import { expect, test } from 'vitest'
import type { JsonValue } from '../../../src/core/json.js'
import type { Principal } from '../../../src/core/principal.js'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { mayTake, rolesFor, workloadStanding } from '../../../src/policy/access.js'
import { policyWarnings } from '../../../src/policy/check-who.js'
import { claimsMatch, compileClaim } from '../../../src/policy/claims.js'
import type { CompileOptions } from '../../../src/policy/compile.js'
import { compilePolicy } from '../../../src/policy/compile.js'
import { loadPolicy } from '../../../src/policy/schema.js'
import { parseUntil } from '../../../src/policy/until.js'
import { ACTIONS, person } from './fixture.js'

const GITHUB = 'https://token.actions.githubusercontent.com'
const OPTIONS: CompileOptions = {
  actions: ACTIONS,
  peopleProviders: ['corp'],
  workloadProviders: [
    { name: 'github', issuer: GITHUB },
    { name: 'k8s', issuer: 'https://cluster.example.com' },
  ],
}

function workload(claims: Record<string, JsonValue>, more: Partial<Principal> = {}): Principal {
  return {
    id: 'usr_w',
    kind: 'workload',
    provider: 'github',
    issuer: GITHUB,
    subject: 'repo:acme/ingest:ref:refs/heads/main',
    name: 'w',
    groups: [],
    claims,
    ...more,
  }
}

test.each<[string, JsonValue, JsonValue | undefined, boolean]>([
  ['equal', 'acme/ingest', 'acme/ingest', true],
  ['another case', 'acme/ingest', 'Acme/ingest', false],
  ['longer', 'acme/app', 'acme/app-evil', false],
  ['a space more', 'acme/app', 'acme/app ', false],
  ['absent', 'acme/app', undefined, false],
  ['one segment', 'acme/*', 'acme/app', true],
  ['two segments for one', 'acme/*', 'acme/app/x', false],
  ['no segment', 'acme/*', 'acme/', false],
  ['only the first', 'acme/*', 'acme', false],
  ['another owner', 'acme/*', 'evil/app', false],
  ['the owner as the repository', 'acme/*', 'evil:acme/app', false],
  ['another separator', 'repo:acme/*', 'repo/acme/app', false],
  ['a slash for a colon', 'repo:*:ref', 'repo:a/ref', false],
  ['a segment in the middle', 'repo:*/app:environment:prod', 'repo:x/app:environment:prod', true],
  [
    'a colon inside a branch',
    'repo:acme/app:ref:refs/heads/*',
    'repo:acme/app:ref:refs/heads/a:b',
    false,
  ],
  ['a pull request', 'repo:acme/app:ref:refs/heads/*', 'repo:acme/app:pull_request', false],
  ['alone, one segment', '*', 'prod', true],
  ['alone, two segments', '*', 'a/b', false],
  ['text for a number', '42', 42, false],
  ['a number for text', 42, '42', false],
  ['a list for text', 'a', ['a'], false],
  ['a star for a list', '*', ['a'], false],
  ['an equal list', ['a', 'b'], ['a', 'b'], true],
  ['a list in another order', ['a', 'b'], ['b', 'a'], false],
  ['a list with one more', ['a'], ['a', 'b'], false],
  ['a star inside a list is a star', ['*'], ['a'], false],
  ['an equal map', { namespace: 'ml', x: 1 }, { x: 1, namespace: 'ml' }, true],
  ['a map with one more', { namespace: 'ml' }, { namespace: 'ml', pod: 'p' }, false],
  ['null for text', 'null', null, false],
])('a claim: %s', (_what, wanted, value, matches) => {
  const claims = value === undefined ? {} : { it: value }
  expect(claimsMatch([compileClaim('it', wanted)], workload(claims))).toBe(matches)
})

test('sub is the subject, never a claim of that name; inherited names are no claims; no rule matches nothing', () => {
  const rule = [compileClaim('sub', 'repo:acme/*:ref:refs/heads/main')]
  expect(claimsMatch(rule, workload({}))).toBe(true)
  const liar = workload({ sub: 'repo:acme/ingest:ref:refs/heads/main' }, { subject: 'repo:evil/x' })
  expect(claimsMatch(rule, liar)).toBe(false)
  expect(claimsMatch([compileClaim('constructor', 'x')], workload({}))).toBe(false)
  expect(claimsMatch([], workload({}))).toBe(false)
})

const policyOf = (access: string): string => `
roles:
  ingest: { allow: [{ operations: [insert], collections: [docs] }] }
access:
  - ${access}
`
const RULE =
  '{ who: { provider: github, claims: { repository: acme/ingest, ref: refs/heads/main } }, role: ingest, targets: ["*"], owner: corp:ana@example.com, until: 2027-06-30 }'

function problems(access: string): string[] {
  try {
    compilePolicy(loadPolicy(policyOf(access), 'policy.yaml'), OPTIONS)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

test('a whole rule compiles, and one for a group of workloads', () => {
  expect(problems(RULE)).toEqual([])
  const group = RULE.replace(/\{ provider.*?\} \}/, '{ group: k8s:jobs }')
  expect(problems(group)).toEqual([])
})

test.each([
  ['owner: corp:ana@example.com, ', '', 'access[0]: owner is missing'],
  [', until: 2027-06-30', '', 'access[0]: until is missing'],
  ['corp:ana', 'github:ana', '"github" is a provider of workloads'],
  ['corp:ana', 'crop:ana', 'unknown provider "crop"; did you mean "corp"?'],
  ['2027-06-30', '2027-02-30', 'expected a date such as 2027-06-30'],
  ['2027-06-30', 'next year', 'expected a date such as 2027-06-30'],
  ['provider: github', 'provider: githib', 'unknown provider "githib"; did you mean "github"?'],
  ['provider: github', 'provider: corp', '"corp" is a provider of people'],
  ['provider: github, ', '', 'expected provider beside claims'],
  [
    'provider: github',
    'group: x, provider: github',
    'expected either group, or provider and claims',
  ],
  ['{ repository: acme/ingest, ref: refs/heads/main }', '{}', 'expected claims beside provider'],
  ['acme/ingest', 'acme/app*', 'a `*` beside other characters is refused'],
  ['acme/ingest', '"**"', 'a `*` beside other characters is refused'],
  ['acme/ingest', '"*/ingest"', 'everybody can get a token of https://token.actions'],
  ['repository: acme/ingest, ', '', 'everybody can get a token of https://token.actions'],
  [
    'repository: acme/ingest',
    'sub: "repo:*"',
    'everybody can get a token of https://token.actions',
  ],
  ['ref: refs', 'aud: refs', 'the claim "aud" is never compared here'],
  ['ref: refs/heads/main', 'ref: ""', 'expected a value'],
  ['ref: refs/heads/main', 'ref: null', 'expected a value'],
])('a rule with %j as %j stops the start', (from, to, message) => {
  expect(RULE).toContain(from)
  expect(problems(RULE.replace(from, to)).join('\n')).toContain(message)
})

test('an owner has no place in a rule for people; an end has', () => {
  const people = '{ who: { group: data }, role: ingest, targets: ["*"], until: 2027-06-30 }'
  expect(problems(people)).toEqual([])
  expect(problems(people.replace('until', 'owner: corp:a, until')).join()).toContain('remove it')
})

test('workloads never approve', () => {
  const source = `${policyOf(RULE)}holds:\n  - { name: h, match: { risk: [drop] }, approval: { by: [github:x] } }\n`
  expect(() => compilePolicy(loadPolicy(source, 'policy.yaml'), OPTIONS)).toThrow(
    'neither approve, own nor administer',
  )
})

const END = Date.parse('2027-06-30T00:00:00Z')
const DAY = 86_400_000
const claims = { repository: 'acme/ingest', ref: 'refs/heads/main' }

test('a rule gives until its date begins, and is spoken of a week before', () => {
  const document = loadPolicy(policyOf(RULE), 'policy.yaml')
  const policy = compilePolicy(document, OPTIONS)
  const job = workload(claims)
  expect(rolesFor(policy, job, 'prod', END - 1)).toMatchObject([
    { role: 'ingest', until: END, defaultMs: 8 * 3_600_000 },
  ])
  expect(rolesFor(policy, job, 'prod', END)).toEqual([])
  expect(mayTake(policy, job, 'ingest', 'prod', END)).toBe(false)
  expect(workloadStanding(policy, job, END - 1)).toEqual({ found: true })
  expect(workloadStanding(policy, job, END)).toMatchObject({ ended: { rule: 'access[0]' } })
  expect(workloadStanding(policy, workload({}), 0)).toEqual({ found: false })
  const said = (now: number): string[] => policyWarnings(document, policy, OPTIONS, now)
  expect(said(END - 8 * DAY)).toEqual([])
  expect(said(END - 6 * DAY)).toEqual([
    'access[0] (role ingest) ends on 2027-06-30: renew it, or let it end; its owner is corp:ana@example.com',
  ])
  expect(said(END + DAY)[0]).toContain('ended on 2027-06-30 and gives nothing any more')
})

test('a rule without branch or environment is called wide', () => {
  const document = loadPolicy(policyOf(RULE.replace(', ref: refs/heads/main', '')), 'policy.yaml')
  const policy = compilePolicy(document, OPTIONS)
  expect(policyWarnings(document, policy, OPTIONS, 0)).toEqual([
    'access[0] names no ref or environment: every branch and pull request of it may use the role',
  ])
})

test('a rule serves its own provider and kind alone', () => {
  const policy = compilePolicy(loadPolicy(policyOf(RULE), 'policy.yaml'), OPTIONS)
  const offered = (one: Principal): number => rolesFor(policy, one, 'prod', 0).length
  expect(offered(workload(claims))).toBe(1)
  expect(offered(workload(claims, { provider: 'k8s' }))).toBe(0)
  expect(offered({ ...person(), provider: 'github', claims })).toBe(0)
  const people = compilePolicy(
    loadPolicy(policyOf('{ who: { group: data }, role: ingest, targets: ["*"] }'), 'policy.yaml'),
    OPTIONS,
  )
  expect(rolesFor(people, workload({}, { groups: ['corp:data'] }), 'prod')).toEqual([])
})

test.each([
  ['2027-06-30', END],
  ['2027-06-30T18:00:00Z', END + 18 * 3_600_000],
  ['2027-6-30', undefined],
  ['2027-06-31', undefined],
  ['2027-06-30T25:00:00Z', undefined],
  ['2027-06-30T18:00:00+02:00', undefined],
])('until %j', (text, at) => {
  expect(parseUntil(text)).toBe(at)
})
