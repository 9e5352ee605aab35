// Masks on values: each transform, each kind, several at once, and inside JSON.

import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import type { FieldMask, FieldTransform } from '../../../src/core/decision.js'
import { VgateError } from '../../../src/core/errors.js'
import type { ValueKind } from '../../../src/core/masker.js'
import { createMasker } from '../../../src/masking/masker.js'

const hashKey = Buffer.alloc(32, 7)
const factory = createMasker({ hashKey })
const hash = (text: string): string =>
  createHmac('sha256', hashKey).update(text).digest('hex').slice(0, 16)

const mask = (transforms: readonly FieldTransform[], path?: readonly string[]): FieldMask => ({
  collection: 'docs',
  field: 'meta',
  ...(path === undefined ? {} : { path }),
  transforms,
  scores: 'exact',
  rule: 'roles.reader.mask[0]',
})
const value = (how: 'redact' | 'partial' | 'hash' | 'null'): FieldTransform => ({
  kind: 'value',
  with: how,
})
const detect = (
  how: 'redact' | 'partial' | 'hash' | 'null',
  ...detectors: string[]
): FieldTransform => ({ kind: 'detect', detectors, with: how })
const run = (text: string, kind: ValueKind, ...masks: FieldMask[]) =>
  factory.forField(masks, kind).mask(text)

test.each([
  ['redact', 'ana@example.org', '[masked]'],
  ['redact', '', '[masked]'],
  ['null', 'x', null],
  ['partial', 'ana@example.org', '*@example.org'],
  ['partial', '"a@b"@example.org', '*@example.org'],
  ['partial', ' ana%40example.org ', '*@example.org'],
  ['partial', 'Ana <ana@example.org>', '****org>'],
  ['partial', '4111111111111111', '****1111'],
  ['partial', '12345678', '****5678'],
  ['partial', '1234567', '****'],
  ['partial', '', '****'],
  ['partial', '😀😀😀😀', '****'],
  ['partial', 'xxxx😀😀😀😀', '****😀😀😀😀'],
  ['hash', 'ana@example.org', hash('ana@example.org')],
] as const)('%s of %j', (how, text, masked) => {
  expect(run(text, 'text', mask([value(how)]))).toEqual({ value: masked, masked: 1 })
})

test('other kinds become NULL, whatever the transform', () => {
  for (const kind of ['other', 'vector'] as const) {
    for (const transform of [
      value('redact'),
      value('partial'),
      value('hash'),
      value('null'),
      detect('redact', 'email'),
      { kind: 'vector' } as const,
    ]) {
      const masker = factory.forField([mask([transform])], kind)
      expect(masker.alwaysNull).toBe(true)
      expect(masker.mask('[1,2]')).toEqual({ value: null, masked: 1 })
    }
  }
  expect(factory.forField([mask([{ kind: 'vector' }])], 'text').alwaysNull).toBe(true)
  expect(factory.forField([mask([])], 'text').alwaysNull).toBe(true)
})

test('findings are masked inside the text, the rest is kept', () => {
  const text = 'ana@example.org or 555-010-4477, SSN 900-55-4001'
  expect(run(text, 'text', mask([detect('redact', 'email', 'phone', 'ssn')]))).toEqual({
    value: '[masked] or [masked], SSN [masked]',
    masked: 3,
  })
  expect(run(text, 'text', mask([detect('partial', 'email', 'phone')])).value).toBe(
    '*@example.org or ****4477, SSN 900-55-4001',
  )
  expect(run(text, 'text', mask([detect('hash', 'email')])).value).toContain(
    `${hash('ana@example.org')} or`,
  )
  expect(run(text, 'text', mask([detect('null', 'email')]))).toEqual({ value: null, masked: 1 })
  expect(run('nothing here', 'text', mask([detect('null', 'email')]))).toEqual({
    value: 'nothing here',
    masked: 0,
  })
})

test.each([
  [[value('partial'), value('hash')], hash('ana@example.org')],
  [[value('hash'), value('redact')], '[masked]'],
  [[value('redact'), value('null')], null],
  [[value('partial'), detect('redact', 'email')], '[masked]'],
  [[detect('partial', 'email'), detect('redact', 'email')], '[masked]'],
  [[detect('hash', 'email'), detect('partial', 're2:example')], hash('ana@example.org')],
])('the strictest of several wins: %j', (transforms, masked) => {
  expect(run('ana@example.org', 'text', mask(transforms)).value).toBe(masked)
  expect(run('ana@example.org', 'text', ...transforms.map((one) => mask([one]))).value).toBe(masked)
  expect(
    run('ana@example.org', 'text', ...transforms.map((one) => mask([one])).reverse()).value,
  ).toBe(masked)
})

test('JSON stays JSON, and what is not masked is kept byte for byte', () => {
  const json =
    '{ "phone" : "555-010-4477", "n": 12345678901234567890.10, "s": ["a\\u0040example.org", null, true], "ana@example.org": {} }'
  expect(run(json, 'json', mask([value('redact')]))).toEqual({ value: '"[masked]"', masked: 1 })
  expect(run(json, 'json', mask([value('null')])).value).toBe(null)
  expect(run(json, 'json', mask([value('hash')])).value).toBe(null)
  expect(run('"ana@example.org"', 'json', mask([value('partial')])).value).toBe('"*@example.org"')
  expect(run(json, 'json', mask([detect('redact', 'email', 'phone')]))).toEqual({
    value:
      '{ "phone" : "[masked]", "n": 12345678901234567890.10, "s": ["[masked]", null, true], "[masked]": {} }',
    masked: 3,
  })
  expect(run('[4111111111111111]', 'json', mask([detect('redact', 'card')])).value).toBe(
    '["[masked]"]',
  )
  expect(run('{"a": }', 'json', mask([detect('redact', 'email')]))).toEqual({
    value: null,
    masked: 1,
  })
})

test.each([
  ['{"phone":"1","name":"Ana"}', '{"phone":"[masked]","name":"Ana"}'],
  ['{"ph\\u006fne":"1"}', '{"ph\\u006fne":"[masked]"}'],
  [
    '[{"phone":"1"},{"phone":[2,{"x":3}]},{"phone":{"a":"b"}}]',
    '[{"phone":"[masked]"},{"phone":"[masked]"},{"phone":"[masked]"}]',
  ],
  ['{"a":{"phone":"1"},"phone":null}', '{"a":{"phone":"1"},"phone":null}'],
  ['{"phone":"1","phone":"2"}', '{"phone":"[masked]","phone":"[masked]"}'],
  ['"phone"', '"phone"'],
  ['phone: 1', null],
  ['{"phone":"1"', null],
])('a path inside %s', (text, masked) => {
  for (const kind of ['json', 'text'] as const) {
    expect(run(text, kind, mask([value('redact')], ['phone'])).value).toBe(masked)
  }
})

test('deeper paths, other transforms, and a path beside a detector', () => {
  const json = '{"a":[{"b":{"c":"ana@example.org","d":1}}],"a.b.c":"x","t":"555-010-4477"}'
  expect(run(json, 'json', mask([value('partial')], ['a', 'b', 'c'])).value).toBe(
    '{"a":[{"b":{"c":"*@example.org","d":1}}],"a.b.c":"****","t":"555-010-4477"}',
  )
  expect(
    run(json, 'json', mask([value('null')], ['a', 'b']), mask([detect('redact', 'phone')])).value,
  ).toBe('{"a":[{"b":null}],"a.b.c":"x","t":"[masked]"}')
  expect(run(json, 'json', mask([detect('redact', 'email')], ['a'])).value).toContain(
    '"c":"[masked]"',
  )
  expect(run(json, 'other', mask([value('null')], ['a'])).value).toBe(null)
})

test('hostile JSON takes linear time and no stack', () => {
  const masks = [mask([value('redact')], ['a', 'b']), mask([detect('redact', 'email')])]
  const texts = [
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
    `{"${'x'.repeat(500_000)}":{${Array.from({ length: 50_000 }, (_, n) => `"k${n}":1`).join(',')}}}`,
    JSON.stringify('\\"'.repeat(300_000)),
    JSON.stringify('a@'.repeat(300_000)),
  ]
  for (const text of texts) {
    const begin = performance.now()
    expect(run(text, 'json', ...masks).value).not.toBe('')
    expect(performance.now() - begin).toBeLessThan(5000)
  }
})

test('what is not known is refused, and a weak key too', () => {
  expect(() => factory.forField([mask([detect('redact', 'nope')])], 'text')).toThrow(VgateError)
  const odd = { kind: 'value', with: 'rot13' } as unknown as FieldTransform
  expect(() => factory.forField([mask([odd])], 'text')).toThrow(
    'a mask that this gateway does not know',
  )
  expect(() => createMasker({ hashKey: Buffer.alloc(8) })).toThrow('shorter than 16 bytes')
  expect(run('x', 'text')).toEqual({ value: 'x', masked: 0 })
})
