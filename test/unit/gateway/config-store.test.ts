// Owns the table of connection URLs that `store.postgres` may refer to, and the proof that no issue repeats one.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { checkConfig } from '../../../src/gateway/config.js'
import { selfSignedCertificate } from '../../support/certificates.js'

const directory = mkdtempSync(join(tmpdir(), 'vgate-config-store-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const { cert } = selfSignedCertificate()
writeFileSync(join(directory, 'ca.pem'), cert)
writeFileSync(join(directory, 'planted.pem'), 'no certificate')
writeFileSync(
  join(directory, 'policy.yaml'),
  `roles: { reader: { allow: [{ access: read, collections: [docs] }] } }
access: [{ who: { group: data }, role: reader, targets: [prod] }]
`,
)

function check(url: string | undefined, store = '{ postgres: env:STORE_URL }') {
  const file = join(directory, 'vgate.yaml')
  writeFileSync(
    file,
    `store: ${store}
identity: { providers: { corp: { type: oidc, issuer: "https://id.example.com", clientId: vgate } } }
targets:
  prod:
    database: pgvector
    address: postgres://127.0.0.1:5432/vectors
    credential: { username: vgate, password: env:PGPASS }
policy: file:policy.yaml
`,
  )
  return checkConfig(file, { env: { PGPASS: 'x', STORE_URL: url } }).config.store
}

describe('store.postgres', () => {
  it('refers to a database whose certificate is checked', () => {
    const store = check('postgres://vg%40te:p%2Fw%40x@db.internal/vgate%20store')
    expect(store).toMatchObject({
      host: 'db.internal',
      port: 5432,
      user: 'vg@te',
      database: 'vgate store',
      tls: { verify: 'full' },
    })
    expect(store?.password().reveal()).toBe('p/w@x')
    expect(JSON.stringify(store)).not.toContain('p/w@x')
  })

  it.each([
    ['postgresql://u:p@[::1]:6432/d', { host: '::1', port: 6432, tls: { verify: 'off' } }],
    ['postgres://u:p@127.0.0.1/d?sslmode=disable', { tls: { verify: 'off' } }],
    ['postgres://u:p@127.0.0.1/d?sslmode=verify-full', { tls: { verify: 'full' } }],
    [
      'postgres://u:p@db/d?sslmode=verify-full&sslrootcert=ca.pem',
      { tls: { verify: 'full', ca: cert } },
    ],
  ])('%s', (url, settings) => {
    expect(check(url)).toMatchObject(settings)
  })

  it.each([
    ['planted', 'is not a URL'],
    ['mysql://u:planted@db/d', 'does not begin with postgres://'],
    ['postgres:///planted', 'names no host'],
    ['postgres://u:planted@%2Fvar%2Frun/d', 'names no host'],
    ['postgres://u:planted@one,two/d', 'names no host'],
    ['postgres://u:planted@db:0/d', 'has no usable port'],
    ['postgres://:planted@db/d', 'has no user'],
    ['postgres://planted@db/d', 'has no password'],
    ['postgres://u:planted@db', 'has no database'],
    ['postgres://u:planted@db/planted/d', 'names no single database'],
    ['postgres://u:planted%ff@db/d', 'has a password that is not well encoded'],
    ['postgres://u:planted%00@db/d', 'has a NUL in its password'],
    ['postgres://u:p@db/d?planted=1', 'has a parameter that is not known'],
    ['postgres://u:p@db/d#planted', 'has a parameter that is not known'],
    ['postgres://u:p@db/d?sslmode=verify-full&sslmode=disable', 'has a parameter twice'],
    ['postgres://u:planted@db/d?sslmode=require', 'has an sslmode that proves too little'],
    [
      'postgres://u:planted@localhost/d?sslmode=disable',
      'asks for no TLS, which is accepted for a literal loopback address only',
    ],
    [
      'postgres://u:p@127.0.0.1/d?sslrootcert=planted',
      'has sslrootcert without sslmode=verify-full',
    ],
  ])('refuses %s', (url, what) => {
    expect(issuesOf(url)).toEqual([`1:10 store.postgres: the URL that it refers to ${what}`])
  })

  it.each([
    ['planted-too.pem', 'cannot be read'],
    ['planted.pem', 'holds no certificate in PEM form'],
  ])('refuses the authority %s', (name, what) => {
    expect(issuesOf(`postgres://u:planted@db/d?sslrootcert=${name}`)).toEqual([
      `1:10 store.postgres: the file that its sslrootcert names ${what}`,
    ])
  })

  it('must be a reference that gives something, and the only store', () => {
    expect(issuesOf(undefined)).toEqual(['1:10 store.postgres: env:STORE_URL is not set'])
    const held = issuesOf('x', '{ postgres: "postgres://u:planted@db/d" }')
    expect(held).toEqual([
      '1:10 store.postgres: must refer to a secret as env:NAME or file:PATH, never hold it',
    ])
    expect(issuesOf('x', '{ libsql: x }').join()).toContain('store.libsql: unknown key')
  })
})

function issuesOf(url: string | undefined, store?: string): string[] {
  try {
    check(url, store)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(JSON.stringify([error.issues, error.message])).not.toContain('planted')
    return error.issues.map((it) => `${it.line}:${it.column} ${it.path}: ${it.message}`)
  }
  return []
}
