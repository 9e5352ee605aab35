// What `gateway init` writes: whole or not at all, good for the check whatever the answers look like.

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkConfig } from '../../../src/gateway/config.js'
import { type InitAnswers, initGateway } from '../../../src/gateway/init.js'
import { selfSignedCertificate } from '../../support/certificates.js'

const answers: InitAnswers = {
  listen: '127.0.0.1:8443',
  publicUrl: 'http://127.0.0.1:8443',
  names: [],
  tls: 'off',
  provider: 'corp',
  issuer: 'https://id.example.com',
  clientId: 'vgate',
  scopes: ['openid', 'groups'],
  groupsClaim: 'groups',
  admins: 'platform',
  group: 'data-science',
  target: 'prod-vectors',
  address: 'postgres://db.internal:5432/vectors',
  databaseTls: 'system',
  databaseUser: 'vgate',
  password: 'env:PGPASS',
  collections: ['docs'],
}
const options = { force: false, now: Date.now() }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-init-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('a new gateway', () => {
  it.each<[string, Partial<InitAnswers>]>([
    ['plain', {}],
    [
      'words that mean something to YAML',
      {
        target: 'null',
        collections: ['*', 'true', '1'],
        databaseUser: 'a: b # c',
        clientId: '123',
      },
    ],
    [
      'a group with a colon, and a claim with a URL',
      { group: 'team:a', groupsClaim: 'https://x.example/groups' },
    ],
    ['a typed password', { password: 'file:db-password', passwordValue: 'p: "w" # x' }],
    ['IPv6', { listen: '[::1]:8443', publicUrl: 'http://[::1]:8443' }],
  ])('passes the check: %s', (_name, change) => {
    const result = initGateway(folder, { ...answers, ...change }, options)
    const { config } = checkConfig(result.config, { env: { PGPASS: 'x' } })
    const asked = { ...answers, ...change }
    const target = config.targets.get(asked.target)
    expect(target?.credential.username).toBe(asked.databaseUser)
    expect(config.providers[0]).toMatchObject({
      clientId: asked.clientId,
      groupsClaim: asked.groupsClaim,
    })
    expect(readdirSync(folder).some((name) => name.startsWith('.init-'))).toBe(false)
    for (const name of result.files) expect(statSync(join(folder, name)).mode & 0o077).toBe(0)
    expect(readFileSync(result.config, 'utf8')).not.toContain('p: "w"')
  })

  it('takes a certificate of your own', () => {
    const { cert, key } = selfSignedCertificate()
    const own = mkdtempSync(join(tmpdir(), 'vgate-own-'))
    const files = { cert: join(own, 'c.pem'), key: join(own, 'k.pem') }
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key, { mode: 0o600 })
    const result = initGateway(
      folder,
      { ...answers, publicUrl: 'https://localhost:8443', tls: files },
      options,
    )
    expect(result.files).toEqual(['vgate.yaml', 'policy.yaml'])
    expect(result.ca).toBeUndefined()
    rmSync(own, { recursive: true })
  })

  it.each<[string, Partial<InitAnswers>, RegExp]>([
    [
      'plain http for others',
      { listen: '0.0.0.0:8443' },
      /plain http is accepted on a literal loopback/,
    ],
    ['a database without TLS', { databaseTls: 'off' }, /off is accepted for a literal loopback/],
    ['a name that no target may have', { target: '-x' }, /vgate\.yaml:\d+:\d+: .*expected a name/],
  ])('is refused as a whole, and nothing is written: %s', (_name, change, message) => {
    const run = () => initGateway(folder, { ...answers, ...change }, options)
    expect(run).toThrow(message)
    expect(run).not.toThrow(/\.init-/)
    expect(readdirSync(folder)).toEqual([])
  })

  it('overwrites nothing without --force', () => {
    initGateway(folder, answers, options)
    const before = readFileSync(join(folder, 'vgate.yaml'), 'utf8')
    const again = { ...answers, clientId: 'another' }
    expect(() => initGateway(folder, again, options)).toThrow(
      /has vgate\.yaml, policy\.yaml already/,
    )
    expect(readFileSync(join(folder, 'vgate.yaml'), 'utf8')).toBe(before)
    initGateway(folder, again, { ...options, force: true })
    expect(readFileSync(join(folder, 'vgate.yaml'), 'utf8')).toContain('another')
    expect(existsSync(join(folder, 'ca'))).toBe(false)
  })
})
