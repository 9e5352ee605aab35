// docs/policy.md says nothing that the policy does not do.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { DEFAULT_THRESHOLDS } from '../../../src/policy/defaults.js'
import { ACTIONS, compile, OPTIONS, POLICY } from './fixture.js'

const text = readFileSync(new URL('../../../docs/policy.md', import.meta.url), 'utf8')
const examples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')

const WORKLOADS = [{ name: 'github', issuer: 'https://token.actions.githubusercontent.com' }]

test('there are examples', () => {
  expect(examples.length).toBe(7)
})

test.each(examples.map((source, index) => ({ source, index })))('example $index compiles', ({
  source,
}) => {
  expect(() => compile(source, { ...OPTIONS, workloadProviders: WORKLOADS })).not.toThrow()
})

test('the defaults in the table are the defaults', () => {
  expect(text).toContain(`so is one that names no keys | ${DEFAULT_THRESHOLDS.ids} |`)
  expect(text).toContain(`a read or write of more rows is bulk | ${DEFAULT_THRESHOLDS.rows} |`)
})

const LATER: Readonly<Record<string, readonly [string, string]>> = {
  when: ['access: read,', 'access: read, when: x,'],
  requires: ['role: reader,', 'role: reader, requires: {},'],
  'grant.schedule': ['default: 30m,', 'schedule: x,'],
  breakGlass: ['holds:\n', 'breakGlass: {}\nholds:\n'],
}

test('the table of what is not supported is whole', () => {
  const rows = text.slice(text.indexOf('## Not supported yet')).matchAll(/^\| (`.*?`) \|/gm)
  const listed = [...rows].flatMap((row) =>
    [...(row[1] ?? '').matchAll(/`([^`]+)`/g)].map((name) => name[1]),
  )
  expect(listed.sort()).toEqual(Object.keys(LATER).sort())
})

test.each(Object.entries(LATER))('%s is refused by name', (_key, [from, to]) => {
  expect(POLICY).toContain(from)
  expect(() =>
    compile(POLICY.replace(from, to), { actions: ACTIONS, peopleProviders: ['corp'] }),
  ).toThrow(ConfigError)
  expect(() => compile(POLICY.replace(from, to))).toThrow('not supported yet')
})
