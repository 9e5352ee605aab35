// Patterns: what they match when they restrict, and when they permit.

import { expect, test } from 'vitest'
import {
  compilePattern,
  covers,
  overlaps,
  patternProblem,
  permits,
} from '../../../src/policy/glob.js'

test.each([
  ['docs', 'docs', true, true],
  ['docs', 'Docs', false, false],
  ['docs', 'docs2', false, false],
  ['docs', 'shadow.docs', false, false],
  ['*', 'docs', true, true],
  ['*', 'shadow.docs', true, true],
  ['*', '$catalog', false, false],
  ['$catalog', '$catalog', true, true],
  ['products_*', 'products_a', true, true],
  ['products_*', 'products_', true, true],
  ['products_*', 'products', false, false],
  ['products_*', 'products_a.secret', true, false],
  ['idx/*', 'idx/ns', true, true],
  ['idx*', 'idx/ns', true, false],
  ['shadow.*', 'shadow.docs', true, true],
  ['*_raw', 'docs_raw', true, true],
  ['a*a', 'a', false, false],
  ['public.docs', 'docs', true, true],
  ['public.docs', 'public.docs', true, true],
  ['public.*', 'docs', true, true],
  ['public.*', 'shadow.docs', false, false],
])('%s on %s', (source, name, restricts, permitted) => {
  const pattern = compilePattern(source)
  expect([covers(pattern, name), permits(pattern, name)]).toEqual([restricts, permitted])
})

test.each([
  '',
  ' a',
  'a?',
  '**',
  'a*b*',
  '$stats',
  'a\u202eb',
  'a\n',
])('%j is refused', (source) => {
  expect(patternProblem(source)).toMatch(/^expected/)
})

test.each([
  ['docs', 'docs', true],
  ['docs', 'do*', true],
  ['a*', '*b', true],
  ['a*', 'b*', false],
  ['*a', '*b', false],
  ['public.docs', 'docs', true],
  ['docs', 'notes', false],
])('%s and %s', (a, b, expected) => {
  expect([
    overlaps(compilePattern(a), compilePattern(b)),
    overlaps(compilePattern(b), compilePattern(a)),
  ]).toEqual([expected, expected])
})
