// Whatever the shape of a file, an issue's line and column are those of the key or item it names.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { z } from 'zod'
import { ConfigError, loadStrictYaml } from '../../../src/core/strict-yaml.js'

const MARK = 'markedkey'
const key = fc
  .stringMatching(/^[a-z][a-z_-]{0,11}$/)
  .filter((text) => text !== 'constructor' && text !== MARK)
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('x', 'two words', 'löng ünïcode 🜁', 7, true, 'multi\nline\ntext'),
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(key, tie('node'), { maxKeys: 4 }),
  ),
}))

/** A schema that accepts anything except a key called MARK, and tells its path as a strict object would. */
const anything: z.ZodType<unknown> = z
  .unknown()
  .superRefine((value, context) => walk(value, [], context))

function walk(
  value: unknown,
  path: (string | number)[],
  context: z.core.$RefinementCtx<unknown>,
): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) walk(item, [...path, index], context)
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      if (name === MARK)
        context.addIssue({ code: 'custom', message: 'marked', path: [...path, name] })
      else walk(member, [...path, name], context)
    }
  }
}

test('line and column point at the key', () => {
  fc.assert(
    fc.property(
      fc.dictionary(key, tree.node, { maxKeys: 5 }),
      fc.boolean(),
      fc.nat(),
      (root, flow, where) => {
        const maps: Record<string, unknown>[] = []
        const collect = (value: unknown): void => {
          if (Array.isArray(value)) value.forEach(collect)
          else if (typeof value === 'object' && value !== null) {
            maps.push(value as Record<string, unknown>)
            Object.values(value).forEach(collect)
          }
        }
        const copy: unknown = structuredClone(root)
        collect(copy)
        const chosen = maps[where % maps.length]
        if (chosen !== undefined) chosen[MARK] = 1
        const source = stringify(copy, flow ? { collectionStyle: 'flow' } : {})
        try {
          loadStrictYaml(source, 'f.yaml', anything)
          expect.unreachable()
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error
          const [issue] = error.issues
          const line = source.split('\n')[(issue?.line ?? 0) - 1] ?? ''
          expect(line.slice((issue?.column ?? 0) - 1).startsWith(MARK)).toBe(true)
        }
      },
    ),
    { seed: 1, numRuns: 500 },
  )
})
