// Owns the table of configurations that must stop the start, each with its line and column.

import { chmodSync, mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { VgateError } from '../../../src/core/errors.js'
import { ConfigError } from '../../../src/core/strict-yaml.js'
import { checkConfig, prepareDataDirectory } from '../../../src/gateway/config.js'

const POLICY = `roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data }, role: reader, targets: [prod] }
`
const GOOD = `identity:
  providers:
    corp: { type: oidc, issuer: "https://id.example.com", clientId: vgate }
targets:
  prod:
    database: pgvector
    address: postgres://127.0.0.1:5432/vectors
    credential: { username: vgate, password: env:PGPASS }
policy: file:policy.yaml
`
const PLANTED = 'planted-secret'
const env = { PGPASS: PLANTED }
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vgate-config-'))
})

function check(source: string, policy = POLICY) {
  writeFileSync(join(directory, 'vgate.yaml'), source)
  writeFileSync(join(directory, 'policy.yaml'), policy)
  return checkConfig(join(directory, 'vgate.yaml'), { env })
}

/** Issues as `line:column path: message`, and the proof that the exit code is 11. */
function issuesOf(source: string, policy?: string): string[] {
  try {
    check(source, policy)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    if (!(error instanceof ConfigError)) throw error
    expect(error.faces.exit).toBe(11)
    expect(error.message).not.toContain(PLANTED)
    return error.issues.map((it) => `${it.line}:${it.column} ${it.path}: ${it.message}`)
  }
  return []
}

const gateway = (yaml: string) => `gateway: ${yaml}\n${GOOD}`

describe('a good configuration', () => {
  it('needs little; the rest has defaults', () => {
    const { config, policy, warnings } = check(GOOD)
    expect(config).toMatchObject({
      listen: { host: '127.0.0.1', port: 8443 },
      publicUrl: 'http://127.0.0.1:8443',
      data: join(directory, 'data'),
      administrators: [],
      auditors: [],
      providers: [
        {
          name: 'corp',
          issuer: 'https://id.example.com',
          clientId: 'vgate',
          scopes: ['openid', 'profile', 'email', 'offline_access'],
          groupsClaim: 'groups',
          nameClaim: 'email',
        },
      ],
      durability: 'standard',
      limits: {
        connectionsPerSession: 100,
        sessionsPerPrincipal: 20,
        handshakeMs: 10_000,
        messageBytes: 64 * 1024 ** 2,
      },
    })
    expect(config.targets.get('prod')).toEqual({
      spec: {
        name: 'prod',
        database: 'pgvector',
        host: '127.0.0.1',
        port: 5432,
        databaseName: 'vectors',
        tls: { verify: 'off' },
      },
      credential: { username: 'vgate', password: { kind: 'env', name: 'PGPASS' } },
    })
    expect([policy.source, warnings]).toEqual([POLICY, []])
    expect(policy.compiled.roles.has('reader')).toBe(true)
  })

  it('is frozen and holds no secret', () => {
    const { config } = check(
      gateway('{ administrators: [{ group: platform }], auditors: [{ group: corp:security }] }'),
    )
    expect(config.administrators).toEqual(['corp:platform'])
    expect(config.auditors).toEqual(['corp:security'])
    expect(
      Object.isFrozen(config) &&
        Object.isFrozen(config.limits) &&
        Object.isFrozen(config.providers[0]),
    ).toBe(true)
    expect(JSON.stringify({ ...config, secretDeps: undefined })).not.toContain(PLANTED)
  })

  it('finds files beside itself and warns of a readable secret', () => {
    writeFileSync(join(directory, 'pg'), PLANTED)
    chmodSync(join(directory, 'pg'), 0o644)
    expect(check(GOOD.replace('env:PGPASS', 'file:pg')).warnings).toEqual([
      'file:pg is readable by every user of this machine: chmod 600',
    ])
  })

  it.each([
    'tls: verify-full',
    'tls: { verify: full }',
  ])('reaches a database elsewhere with %s', (tls) => {
    const source = GOOD.replace('127.0.0.1:5432/vectors', `db.internal/vectors\n    ${tls}`)
    expect(check(source).config.targets.get('prod')?.spec.tls).toEqual({ verify: 'full' })
  })

  it('may have an issuer on loopback over plain http', () => {
    for (const issuer of ['http://127.0.0.1:4000', 'http://[::1]:4000', 'http://localhost:4000']) {
      expect(
        check(GOOD.replace('https://id.example.com', issuer)).config.providers[0]?.issuer,
      ).toBe(issuer)
    }
  })
})

describe('a configuration stops the start with', () => {
  it.each<[string, string, string[]]>([
    ['an unknown key', gateway('{ lisen: x }'), ['1:12 gateway.lisen: unknown key']],
    ['a wrong type', gateway('{ data: 7 }'), ['1:12 gateway.data: got 7, expected text']],
    [
      'a bad listen address',
      gateway('{ listen: 8443 }'),
      ['1:12 gateway.listen: got 8443, expected text'],
    ],
    [
      'a port too high',
      gateway('{ listen: "127.0.0.1:70000" }'),
      ['1:12 gateway.listen: got "127.0.0.1:70000", expected HOST:PORT or [IPV6]:PORT'],
    ],
    [
      'plain http on all addresses',
      gateway('{ listen: "0.0.0.0:8443", publicUrl: "https://v" }'),
      ['1:12 gateway.listen: plain http is accepted on a literal loopback address only'],
    ],
    [
      'plain http on a name',
      gateway('{ listen: "localhost:8443", publicUrl: "https://v" }'),
      ['1:12 gateway.listen: plain http is accepted on a literal loopback address only'],
    ],
    [
      'plain http public',
      gateway('{ publicUrl: "http://vgate.example.com" }'),
      ['1:12 gateway.publicUrl: plain http is accepted for a loopback address only'],
    ],
    [
      'a public URL with a path',
      gateway('{ publicUrl: "https://x.example/vgate" }'),
      ['1:12 gateway.publicUrl: a path is not supported yet'],
    ],
    [
      'a master key that is no reference',
      gateway(`{ keys: ${PLANTED} }`),
      ['1:12 gateway.keys: must refer to a secret as env:NAME or file:PATH, never hold it'],
    ],
    [
      'a master key that is missing',
      gateway('{ keys: env:NONE }'),
      ['1:12 gateway.keys: env:NONE is not set'],
    ],
    [
      'certificates that are not there',
      gateway('{ tls: { cert: file:a, key: env:PGPASS } }'),
      ['1:19 gateway.tls.cert: file:a cannot be read'],
    ],
    [
      'a certificate that is none',
      gateway('{ tls: { cert: file:policy.yaml, key: env:PGPASS } }'),
      ['1:19 gateway.tls.cert: file:policy.yaml holds no certificate in PEM form'],
    ],
    [
      'a group of nobody',
      gateway('{ auditors: [{ group: github:x }] }'),
      ['1:25 gateway.auditors[0].group: unknown provider "github"'],
    ],
    [
      'a group beside claims',
      gateway('{ administrators: [{ group: x, claims: {} }] }'),
      ['1:41 gateway.administrators[0].claims: not supported yet'],
    ],
    ['a duplicate key', `${GOOD}policy: file:policy.yaml\n`, ['10:1 : map keys must be unique']],
    [
      'no target',
      GOOD.replace(/targets:[\s\S]*\npolicy:/, 'targets: {}\npolicy:'),
      ['4:1 targets: got a map, expected at least one target'],
    ],
    [
      'a plain http issuer',
      GOOD.replace('https://id', 'http://id'),
      ['3:25 identity.providers.corp.issuer: plain http is accepted for a loopback address only'],
    ],
    [
      'a secret in an issuer',
      GOOD.replace('https://id', `https://u:${PLANTED}@id`),
      [
        '3:25 identity.providers.corp.issuer: got text, expected the URL of the issuer, such as https://id.example.com',
      ],
    ],
    [
      'scopes without openid',
      GOOD.replace('clientId: vgate', 'clientId: vgate, scopes: [groups]'),
      ['3:76 identity.providers.corp.scopes: got a list, expected "openid" among the scopes'],
    ],
    [
      'a provider with a colon',
      GOOD.replace('corp:', '"a:b":'),
      ['3:5 identity.providers["a:b"]: got "a:b", expected a name of letters, digits, - and _'],
    ],
    [
      'no TLS to elsewhere',
      GOOD.replace('127.0.0.1', 'db.internal'),
      [
        '5:3 targets.prod: tls is missing; a connection without TLS is accepted to a literal loopback address only',
      ],
    ],
    [
      'no TLS to localhost',
      GOOD.replace('127.0.0.1', 'localhost'),
      [
        '5:3 targets.prod: tls is missing; a connection without TLS is accepted to a literal loopback address only',
      ],
    ],
    [
      'TLS off to elsewhere',
      GOOD.replace('127.0.0.1:5432/vectors', '10.0.0.1/vectors\n    tls: off'),
      ['8:5 targets.prod.tls: off is accepted for a literal loopback address only'],
    ],
    [
      'TLS unverified',
      GOOD.replace('/vectors', '/vectors\n    tls: { verify: none }'),
      ['8:12 targets.prod.tls.verify: got "none", expected full'],
    ],
    [
      'an address with a password',
      GOOD.replace('127.0.0.1', `vgate:${PLANTED}@127.0.0.1`),
      [
        '7:5 targets.prod.address: the address of a pgvector target must not hold a user name or password',
      ],
    ],
    [
      'a password in the file',
      GOOD.replace('env:PGPASS', PLANTED),
      [
        '8:36 targets.prod.credential.password: must refer to a secret as env:NAME or file:PATH, never hold it',
      ],
    ],
    [
      'a password that is missing',
      GOOD.replace('env:PGPASS', 'env:NONE'),
      ['8:36 targets.prod.credential.password: env:NONE is not set'],
    ],
    [
      'a password file that is missing',
      GOOD.replace('env:PGPASS', 'file:none'),
      ['8:36 targets.prod.credential.password: file:none cannot be read'],
    ],
    [
      'an unknown database',
      GOOD.replace('pgvector', 'pgvectro'),
      [
        '6:5 targets.prod.database: got "pgvectro", expected one of pgvector, qdrant, chroma, weaviate, milvus, pinecone, opensearch, elasticsearch, http',
      ],
    ],
    [
      'a bare duration',
      `${GOOD}limits: { handshake: 10 }\n`,
      [
        '10:11 limits.handshake: got 10, expected a duration with its unit, such as 60s, 30m, 24h or 365d',
      ],
    ],
    [
      'a handshake too long',
      `${GOOD}limits: { handshake: 10m }\n`,
      ['10:11 limits.handshake: got "10m", expected 1s to 5m'],
    ],
    [
      'a limit of none',
      `${GOOD}limits: { sessionsPerPrincipal: 0 }\n`,
      ['10:11 limits.sessionsPerPrincipal: got 0, expected at least 1'],
    ],
    [
      'no policy file',
      GOOD.replace('policy.yaml', 'none.yaml'),
      ['9:1 policy: file:none.yaml cannot be read'],
    ],
  ])('%s', (_what, source, issues) => {
    expect(issuesOf(source)).toEqual(issues)
  })

  it.each<[string, string, string]>([
    ['gateway.trustedProxies', gateway('{ trustedProxies: [10.0.0.0/8] }'), '1:12'],
    ['gateway.workers', gateway('{ workers: 1 }'), '1:12'],
    ['audit', `audit: { heartbeat: 1h }\n${GOOD}`, '1:1'],
    ['notifications', `notifications: {}\n${GOOD}`, '1:1'],
    ['recordings.encryptTo', `recordings: { encryptTo: [age1] }\n${GOOD}`, '1:15'],
    ['recordings.storage', `recordings: { storage: {} }\n${GOOD}`, '1:15'],
    ['recordings.retention', `recordings: { retention: {} }\n${GOOD}`, '1:15'],
    [
      'identity.providers.corp.type',
      GOOD.replace('type: oidc', 'type: saml, metadata: file:x'),
      '3:13',
    ],
    [
      'identity.providers.corp.clientSecret',
      GOOD.replace('clientId: vgate', 'clientId: vgate, clientSecret: env:X'),
      '3:76',
    ],
    [
      'identity.providers.corp.groupsSource',
      GOOD.replace('clientId: vgate', 'clientId: vgate, groupsSource: userinfo'),
      '3:76',
    ],
    ['targets.prod.database', GOOD.replace('pgvector', 'qdrant'), '6:5'],
    ['targets.prod.listen', GOOD.replace('database:', 'listen: {}\n    database:'), '6:5'],
    ['targets.prod.agent', GOOD.replace('database:', 'agent: eu-1\n    database:'), '6:5'],
    [
      'targets.prod.operations',
      GOOD.replace('database:', 'operations: file:ops.yaml\n    database:'),
      '6:5',
    ],
  ])('%s, which is not supported yet', (path, source, position) => {
    expect(issuesOf(source)).toEqual([`${position} ${path}: not supported yet`])
  })

  it('references that are not built', () => {
    for (const scheme of ['exec', 'vault', 'aws-sm']) {
      expect(issuesOf(GOOD.replace('env:PGPASS', `${scheme}:x`))).toEqual([
        `8:36 targets.prod.credential.password: ${scheme}: not supported yet; use env:NAME or file:PATH`,
      ])
    }
  })

  it('everything that is wrong at once, the policy included, each in its own file', () => {
    const source = GOOD.replace('127.0.0.1', 'db').replace('https://id', 'http://id')
    const policy = POLICY.replace('role: reader', 'role: raeder')
    try {
      check(source, policy)
      expect.unreachable()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      const files = error.issues.map((it) => `${it.file.replace(`${directory}/`, '')} ${it.path}`)
      expect(files.sort()).toEqual([
        'policy.yaml access[0].role',
        'vgate.yaml identity.providers.corp.issuer',
        'vgate.yaml targets.prod',
      ])
    }
  })

  it('a policy for targets that are not there', () => {
    const issues = issuesOf(GOOD, POLICY.replace('[prod]', '["staging-*"]'))
    expect(issues).toHaveLength(1)
    expect(issues[0]).toContain('access[0].targets[0]')
  })

  it('no file at all', () => {
    expect(() => checkConfig(join(directory, 'none.yaml'), { env })).toThrow(VgateError)
    expect(() => checkConfig(join(directory, 'none.yaml'), { env })).toThrow(
      'none.yaml cannot be read',
    )
  })
})

it('the data directory and its parts are made for their owner alone', () => {
  const data = join(directory, 'data')
  prepareDataDirectory(data)
  chmodSync(join(data, 'keys'), 0o755)
  prepareDataDirectory(data)
  for (const part of ['', 'recordings', 'audit', 'keys']) {
    expect(statSync(join(data, part)).mode & 0o777).toBe(0o700)
  }
  writeFileSync(join(directory, 'plain'), '')
  expect(() => prepareDataDirectory(join(directory, 'plain'))).toThrow(
    expect.objectContaining({ code: 'VGATE_CONFIG_INVALID' }),
  )
})
