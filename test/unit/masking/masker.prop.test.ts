// Whatever the text: nothing that was found remains, and JSON stays JSON.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FieldMask } from '../../../src/core/decision.js'
import { createMasker } from '../../../src/masking/masker.js'

const factory = createMasker({ hashKey: Buffer.alloc(32, 1) })
const all: FieldMask = {
  collection: 'docs',
  field: 'body',
  transforms: [
    { kind: 'detect', detectors: ['email', 'phone', 'card', 'iban', 'ssn'], with: 'redact' },
  ],
  scores: 'exact',
  rule: 'roles.r.mask[0]',
}
const secret = fc.constantFrom(
  'ana@example.org',
  '+49 170 1234567',
  '4111 1111 1111 1111',
  'DE89370400440532013000',
  '900-55-4001',
)

test('a secret between words does not remain', () => {
  const masker = factory.forField([all], 'text')
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.lorem({ maxCount: 3 }), secret), { minLength: 1, maxLength: 5 }),
      (parts) => {
        const { value } = masker.mask(parts.map(([words, one]) => `${words}: ${one};`).join(' '))
        for (const [, one] of parts) expect(value).not.toContain(one)
      },
    ),
    { seed: 1, numRuns: 300 },
  )
})

test('JSON stays JSON of the same shape, and secrets in it do not remain', () => {
  const masker = factory.forField([all], 'json')
  const leaf = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    secret,
    fc.integer({ max: 999 }),
    fc.boolean(),
    fc.constant(null),
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('tree')),
      fc.dictionary(fc.string(), tie('tree')),
    ),
  }))
  fc.assert(
    fc.property(tree, fc.constantFrom(0, 2), (input, indent) => {
      const { value } = masker.mask(JSON.stringify(input, null, indent))
      const output: unknown = JSON.parse(value ?? '')
      expect(Array.isArray(output)).toBe(Array.isArray(input))
      expect(typeof output).toBe(typeof input)
      expect(value).not.toContain('ana@example.org')
      expect(value).not.toContain('900-55-4001')
    }),
    { seed: 1, numRuns: 500 },
  )
})

test('any text is masked without a throw, and masking twice changes nothing more', () => {
  const masker = factory.forField([all], 'text')
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom('a', '@', '.', '1', '4', ' ', '-', '(', '+', '"', 'é', '٣', 'DE89'),
      }),
      (text) => {
        const once = masker.mask(text).value ?? ''
        expect(typeof once).toBe('string')
        expect(masker.mask(once).value?.includes('[masked]')).toBe(
          once.includes('[masked]') || masker.mask(once).masked > 0,
        )
      },
    ),
    { seed: 1, numRuns: 1000 },
  )
})
