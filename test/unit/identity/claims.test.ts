// Owns the proof that hostile claims become less, never more.

import { describe, expect, it } from 'vitest'
import { MAX_GROUPS, personFromClaims } from '../../../src/identity/claims.js'

const rules = { provider: 'corp', issuer: 'https://i', groupsClaim: 'groups', nameClaim: 'email' }
const person = (over: Record<string, unknown>) => personFromClaims({ sub: 'ana', ...over }, rules)

describe('groups', () => {
  it.each<[string, unknown, string[]]>([
    ['a list', ['b', 'a', 'a'], ['corp:a', 'corp:b']],
    ['text with spaces and commas', 'a, b  c', ['corp:a', 'corp:b', 'corp:c']],
    ['names with spaces in a list', ['data science'], ['corp:data science']],
    ['a name with a colon stays inside its provider', ['github:admins'], ['corp:github:admins']],
    ['things that are no names', [1, null, {}, ['a'], '', true], []],
    ['control characters', ['a\nb', 'a\u0000', 'a\u202eb', 'a\u200bb', 'ok'], ['corp:ok']],
    ['names too long, which are not cut', ['x'.repeat(257)], []],
    ['an object', { 0: 'admin' }, []],
    ['a number', 7, []],
    ['nothing', undefined, []],
  ])('%s', (_what, groups, expected) => {
    expect(person({ groups }).groups).toEqual(expected)
  })

  it('are refused when too many, or kept elsewhere', () => {
    const many = Array.from({ length: MAX_GROUPS + 1 }, (_, n) => `g${n}`)
    expect(() => person({ groups: many })).toThrow(
      'the identity token of corp lists more than 200 groups',
    )
    expect(() => person({ _claim_names: { groups: 'src1' } })).toThrow(
      'the identity token of corp refers to its groups instead of holding them',
    )
  })

  it('come from own members only', () => {
    const inherited = Object.create({ groups: ['admin'] }) as Record<string, unknown>
    inherited['sub'] = 'ana'
    expect(personFromClaims(inherited, rules).groups).toEqual([])
    expect(personFromClaims({ sub: 'a' }, { ...rules, groupsClaim: 'constructor' }).groups).toEqual(
      [],
    )
  })
})

describe('the name', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['the configured claim', { email: 'a@x', name: 'Ana' }, 'a@x'],
    ['another one where that is no text', { email: 7, name: 'Ana' }, 'Ana'],
    ['the subject where there is none', {}, 'ana'],
    ['without control and bidirectional characters', { email: '\u001b[31ma\u202e\u0007' }, '[31ma'],
    ['cut', { email: 'x'.repeat(100_000) }, 'x'.repeat(200)],
    ['not empty', { email: '\u0000 ' }, 'ana'],
  ])('is %s', (_what, claims, name) => {
    expect(person(claims).name).toBe(name)
  })
})

it('other claims are kept when short and plain, and no others', () => {
  const { claims } = person({
    acr: 'mfa',
    level: 3,
    ok: true,
    amr: ['pwd'],
    nested: { a: 1 },
    long: 'x'.repeat(257),
    list: Array.from({ length: 17 }, () => 1),
    mixed: ['a', {}],
    control: 'a\n',
    nonce: 'n',
    groups: ['a'],
  })
  expect(claims).toEqual({ acr: 'mfa', level: 3, ok: true, amr: ['pwd'] })
  const hostile = JSON.parse('{"sub":"ana","__proto__":"x"}') as Record<string, unknown>
  expect(Object.keys(personFromClaims(hostile, rules).claims)).toEqual([])
})
