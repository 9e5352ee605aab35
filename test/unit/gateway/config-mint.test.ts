// Owns what targets.*.mint takes: names that cannot be cut, reserved or doubled, and never the gateway's own user.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { checkConfig } from '../../../src/gateway/config.js'

const POLICY = `roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data }, role: reader, targets: [prod] }
`
const directory = mkdtempSync(join(tmpdir(), 'vgate-config-mint-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** What a target with this `mint` is read as, or the issues as `path: message`. */
function read(mint: string): unknown {
  const source = `identity:
  providers:
    corp: { type: oidc, issuer: "https://id.example.com", clientId: vgate }
targets:
  prod:
    database: pgvector
    address: postgres://127.0.0.1:5432/vectors
    credential: { username: vgate, password: env:PGPASS }
    mint: ${mint}
policy: file:policy.yaml
`
  writeFileSync(join(directory, 'vgate.yaml'), source)
  writeFileSync(join(directory, 'policy.yaml'), POLICY)
  try {
    const { config } = checkConfig(join(directory, 'vgate.yaml'), { env: { PGPASS: 'x' } })
    return config.targets.get('prod')?.spec.mint
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.issues.map(({ path, message }) => `${path}: ${message}`)
  }
}

describe('targets.*.mint', () => {
  it('names roles and a prefix', () => {
    const role = { memberOf: ['vgate_reader', 'Odd " name'], prefix: 'team_1_' }
    expect(read(`{ role: { memberOf: [vgate_reader, 'Odd " name'], prefix: team_1_ } }`)).toEqual({
      role,
    })
    expect(read('{ role: { memberOf: [vgate_reader] } }')).toEqual({
      role: { memberOf: ['vgate_reader'], prefix: 'vg_' },
    })
  })

  it.each([
    ['{}', 'role', 'a map'],
    ['{ role: { prefix: vg_ } }', 'role.memberOf', 'a list'],
    ['{ role: { memberOf: [] } }', 'role.memberOf', 'at least 1'],
    ['{ role: { memberOf: [a, a] } }', 'role.memberOf', 'named twice'],
    ['{ role: { memberOf: [vgate] } }', 'role.memberOf', "the gateway's own user"],
    [`{ role: { memberOf: [${'ä'.repeat(32)}] } }`, 'role.memberOf[0]', 'at most 63 bytes'],
    ['{ role: { memberOf: [a], prefix: "" } }', 'role.prefix', 'lower-case letters'],
    ['{ role: { memberOf: [a], prefix: Vg } }', 'role.prefix', 'lower-case letters'],
    ['{ role: { memberOf: [a], prefix: "v\\"; --" } }', 'role.prefix', 'lower-case letters'],
    ['{ role: { memberOf: [a], prefix: pg_x } }', 'role.prefix', 'for itself'],
    [`{ role: { memberOf: [a], prefix: ${'v'.repeat(41)} } }`, 'role.prefix', 'at most 40'],
    ['{ jwt: {} }', '', 'mint'],
  ])('refuses %s', (mint, path, issue) => {
    const said = String(read(mint))
    expect(said).toContain(path === '' ? 'targets.prod.mint' : `targets.prod.mint.${path}: `)
    expect(said).toContain(issue)
  })
})
