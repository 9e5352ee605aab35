// Owns the proof that docs/configuration.md names every key of the schema, no other, and shows files that start.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { checkConfig } from '../../../src/gateway/config.js'
import { configSchema } from '../../../src/gateway/config-schema.js'

const docs = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8')
const [supportedPart = '', laterPart = ''] = docs.split('## Not supported yet')

interface Keys {
  readonly supported: Set<string>
  readonly later: Set<string>
}

/** Every key of the schema that has a value of its own, as `a.*.b` and `a[].b`. */
function collect(schema: unknown, path: string, keys: Keys): void {
  if (schema instanceof z.ZodOptional && schema.unwrap() instanceof z.ZodNever) {
    keys.later.add(path)
  } else if (schema instanceof z.ZodObject) {
    for (const [name, member] of Object.entries(schema.shape)) {
      collect(member, path === '' ? name : `${path}.${name}`, keys)
    }
  } else if (schema instanceof z.ZodRecord) {
    collect(schema.valueType, `${path}.*`, keys)
  } else if (schema instanceof z.ZodArray && schema.element instanceof z.ZodObject) {
    collect(schema.element, `${path}[]`, keys)
  } else if (schema instanceof z.ZodUnion) {
    for (const option of schema.options) collect(option, path, keys)
  } else if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    collect(schema.def.innerType, path, keys)
  } else {
    keys.supported.add(path)
  }
}

function quoted(text: string): Set<string> {
  const cells = text.split('\n').flatMap((line) => /^\| ([^|]*) \|/.exec(line)?.[1] ?? [])
  const names = cells.flatMap((cell) =>
    [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''),
  )
  return new Set(names.filter((name) => /^[a-z]+(?:$|[.[])/.test(name)))
}

describe('docs/configuration.md', () => {
  const keys: Keys = { supported: new Set(), later: new Set() }
  collect(configSchema, '', keys)

  it('lists every supported key, and no other', () => {
    expect([...quoted(supportedPart)].sort()).toEqual([...keys.supported].sort())
  })

  it('lists every key that is not supported yet', () => {
    const listed = quoted(laterPart)
    expect(keys.later.size).toBeGreaterThan(10)
    for (const key of keys.later) expect([...listed]).toContain(key)
  })

  const examples = [...docs.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  it.each(
    examples.map((example, index) => [index, example] as const),
  )('example %i starts', (_index, example) => {
    const directory = mkdtempSync(join(tmpdir(), 'vgate-docs-'))
    writeFileSync(join(directory, 'vgate.yaml'), example)
    writeFileSync(
      join(directory, 'policy.yaml'),
      'roles:\n  reader: { allow: [{ access: read, collections: [docs] }] }\n' +
        'access: [{ who: { group: corp:data }, role: reader, targets: [prod-vectors] }]\n',
    )
    const VGATE_DATABASE_URL = 'postgres://vgate:x@db.internal/vgate'
    const env = { PGPASS: 'x', VGATE_MASTER_KEY: 'A'.repeat(43), VGATE_DATABASE_URL }
    const { config } = checkConfig(join(directory, 'vgate.yaml'), { env })
    expect(config.targets.get('prod-vectors')?.spec.databaseName).toBe('vectors')
  })
})
