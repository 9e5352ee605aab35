// Strict reading of configuration files: what is refused, where it points, and what it says.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { notSupportedYet } from '../../../src/core/config-issues.js'
import { ConfigError, loadStrictYaml, readStrictYaml } from '../../../src/core/strict-yaml.js'
import { duration, size } from '../../../src/core/units.js'

const schema = z.strictObject({
  listen: z.string().optional(),
  clientSecret: z.number().optional(),
  limits: z.strictObject({ rows: z.number().int().min(1), bytes: size().optional() }).optional(),
  ttl: duration().optional(),
  later: notSupportedYet(),
  rules: z
    .array(
      z.union([
        z.strictObject({ access: z.enum(['read', 'write']), collections: z.array(z.string()) }),
        z.strictObject({ operations: z.array(z.string()), collections: z.array(z.string()) }),
      ]),
    )
    .optional(),
  roles: z.record(z.string().regex(/^[a-z]+$/), z.strictObject({ rows: z.number() })).optional(),
})

function problem(source: string): string {
  try {
    loadStrictYaml(source, 'x.yaml', schema)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    if (error instanceof ConfigError) {
      expect(error.code).toBe('VGATE_CONFIG_INVALID')
      expect(error.faces.exit).toBe(11)
      return error.message
    }
  }
  return 'accepted'
}

test('a good file is read', () => {
  const value = loadStrictYaml(
    'listen: yes\nttl: 30m\nlimits: { rows: 10, bytes: 64MiB }\n',
    'x.yaml',
    schema,
  )
  expect(value).toEqual({ listen: 'yes', ttl: 1_800_000, limits: { rows: 10, bytes: 67_108_864 } })
})

test.each([
  ['lisen: x', 'x.yaml:1:1: lisen: unknown key; did you mean "listen"?'],
  [
    'a: 1\n',
    'x.yaml:1:1: a: unknown key; known keys: listen, clientSecret, limits, ttl, rules, roles',
  ],
  [
    'limits:\n  rows: 1\n  bites: 3MB',
    'x.yaml:3:3: limits.bites: unknown key; did you mean "bytes"?',
  ],
  ['limits: {}', 'x.yaml:1:1: limits.rows: got nothing, expected a number'],
  ['limits: { rows: 0 }', 'x.yaml:1:11: limits.rows: got 0, expected at least 1'],
  ['limits: { rows: 1.5 }', 'x.yaml:1:11: limits.rows: got 1.5, expected a whole number'],
  ['limits: { rows: .nan }', 'x.yaml:1:11: limits.rows: got NaN, expected a number'],
  ['listen: 5', 'x.yaml:1:1: listen: got 5, expected text'],
  ['listen:', 'x.yaml:1:1: listen: got nothing, expected text'],
  ['later: { a: 1 }', 'x.yaml:1:1: later: not supported yet'],
  ['later:', 'x.yaml:1:1: later: not supported yet'],
  [
    'ttl: 30',
    'x.yaml:1:1: ttl: got 30, expected a duration with its unit, such as 60s, 30m, 24h or 365d',
  ],
  [
    'ttl: 1w',
    'x.yaml:1:1: ttl: got "1w", expected a duration with its unit, such as 60s, 30m, 24h or 365d',
  ],
  ['clientSecret: hunter2', 'x.yaml:1:1: clientSecret: got text, expected a number'],
  ['limits: postgres://u:p@h/db', 'x.yaml:1:1: limits: got text, expected a map'],
  [
    'rules:\n  - { access: reed, collections: [a] }',
    'x.yaml:2:7: rules[0].access: got "reed", expected one of read, write',
  ],
  ['rules:\n  - 3', 'x.yaml:2:5: rules[0]: got 3, expected a map'],
  [
    'roles: { A1: { rows: 1 } }',
    'x.yaml:1:10: roles.A1: got "A1", expected text that matches /^[a-z]+$/',
  ],
  ['', 'x.yaml:1:1: got nothing, expected a map'],
  ['listen: a\nlisten: b', 'x.yaml:2:1: map keys must be unique'],
  ['limits:\n\trows: 1', 'x.yaml:2:1: tabs are not allowed as indentation'],
  ['listen: &a x', 'x.yaml:1:12: an anchor is refused; write the value out'],
  [
    'listen: a\n---\nlisten: b',
    'x.yaml:2:1: source contains multiple documents; please use YAML.parseAllDocuments()',
  ],
  ['listen: !secret x', 'x.yaml:1:9: unresolved tag: !secret'],
  ['__proto__: { listen: x }', 'x.yaml:1:1: the key "__proto__" is refused'],
  ['? [a]\n: b', 'x.yaml:1:3: a key that is not text; put it in quotes'],
  ['1: b', 'x.yaml:1:1: a key that is not text; put it in quotes'],
  [
    '<<: { listen: x }',
    'x.yaml:1:1: ["<<"]: unknown key; known keys: listen, clientSecret, limits, ttl, rules, roles',
  ],
])('%j is refused', (source, message) => {
  expect(problem(source)).toBe(message)
})

test('aliases are refused, so a bomb of them never expands', () => {
  const bomb = `a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n`
  expect(problem(bomb)).toContain('x.yaml:2:8: an alias is refused')
})

test('another YAML version is refused', () => {
  expect(problem('%YAML 1.1\n---\nlisten: no\n')).toContain('expected YAML 1.2')
})

test('a file nested without end is refused, quickly', () => {
  for (const piece of ['[', '{', '[{', '- ', '? ', '{a: ', '[\n', '- ? ']) {
    expect(problem(piece.repeat(100_000))).toContain('nested deeper than 64')
  }
  const stairs = Array.from({ length: 700 }, (_, depth) => `${' '.repeat(depth)}a:\n`).join('')
  expect(problem(stairs)).toContain('nested deeper than 64')
  expect(problem(`listen: ${'['.repeat(100)}${']'.repeat(100)}`)).toContain('nested deeper than 64')
  expect(problem(`listen: ${'a'.repeat(1024 * 1024)}`)).toContain('longer than')
})

test('a wide file is not a deep one', () => {
  const wide = Array.from({ length: 200 }, (_, index) => `k${index}: [[]]`).join(', ')
  expect(() => loadStrictYaml(`{ ${wide} }`, 'x.yaml', z.unknown())).not.toThrow()
  expect(() => loadStrictYaml(`a: { ${wide} }\nb: c`, 'x.yaml', z.unknown())).not.toThrow()
})

test('every issue is told, in the order of the file', () => {
  expect(
    problem('ttl: 3\nlater: 1\nlisen: x')
      .split('\n')
      .map((line) => line.slice(0, 11)),
  ).toEqual(['x.yaml:1:1:', 'x.yaml:2:1:', 'x.yaml:3:1:'])
})

test('a later check points at a place of the file', () => {
  const read = readStrictYaml('rules:\n  - { access: read, collections: [a, b] }', 'x.yaml', schema)
  expect(read.issueAt(['rules', 0, 'collections', 1], 'no such thing', 'try c')).toEqual({
    file: 'x.yaml',
    line: 2,
    column: 38,
    path: 'rules[0].collections[1]',
    message: 'no such thing',
    hint: 'try c',
  })
})
