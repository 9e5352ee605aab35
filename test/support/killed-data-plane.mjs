// Owns the process that the kill test kills: the built data plane on loopback, with an authority that says yes. Its
// one argument is JSON; it prints one line of JSON with where to connect, and serves until it is killed.

import { createHash, createHmac, createPrivateKey, pbkdf2Sync, randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { pairOf } from '../../src/audit/keys.js'
import { DEFAULT_LIMITS } from '../../src/core/adapter.js'
import { systemClock } from '../../src/core/clock.js'
import { newId } from '../../src/core/ids.js'
import { KNOWN_ACTIONS } from '../../src/databases/list.js'
import { compilePolicy } from '../../src/policy/compile.js'
import { loadPolicy } from '../../src/policy/schema.js'
import { DataPlane } from '../../src/proxy/data-plane.js'

const given = JSON.parse(process.argv[2])
const { directory, keyPem, durability, policy, postgres, database, role } = given
const compiled = { actions: [...KNOWN_ACTIONS], peopleProviders: ['corp'] }
const principal = { id: 'prn_killed', kind: 'person', provider: 'corp', name: 'alice' }
const person = {
  ...principal,
  issuer: 'https://id.example.test',
  subject: 'alice',
  groups: ['corp:team'],
}
const lease = () => {
  const now = Date.now()
  const session = newId('ses')
  const span = { startsAt: now, endsAt: now + 3_600_000 }
  const hash = createHash('sha256').update(policy).digest('hex')
  return {
    session,
    requests: [],
    principal: { ...person, claims: {} },
    grant: { id: 'grt_killed', principal: person.id, target: 'killed', roles: [role], ...span },
    target: {
      name: 'killed',
      database: 'pgvector',
      host: postgres.host,
      port: postgres.port,
      databaseName: database,
      tls: { verify: 'off' },
    },
    policy: { source: policy, hash },
    leaseUntil: now + 60_000,
  }
}
const dataPlane = new DataPlane({
  authority: {
    openSession: async () => lease(),
    leaseCredential: async () => ({ username: postgres.superuser, password: postgres.password }),
    renewLease: async () => ({ leaseUntil: Date.now() + 60_000, policyHash: '' }),
    watch: () => () => undefined,
    closeSession: async () => undefined,
  },
  clock: systemClock,
  limits: DEFAULT_LIMITS,
  connectionsPerSession: 100,
  handshakeMs: 10_000,
  recordings: {
    directory,
    key: pairOf(createPrivateKey(keyPem), '2026-03-01T12:00:00.000Z'),
    durability,
  },
  maskKey: () => Buffer.alloc(32, 1),
  compilePolicy: (source) => compilePolicy(loadPolicy(source, 'policy.yaml'), compiled),
  report: (event, error) => process.stderr.write(`${event} ${error}\n`),
})
await dataPlane.prepare(['pgvector'])

/** RFC 5802 §3: what the client sends in place of the secret. */
const verifierOf = (password) => {
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(password, salt, 4096, 32, 'sha256')
  const key = (label) => createHmac('sha256', salted).update(label).digest()
  return {
    iterations: 4096,
    salt: salt.toString('base64'),
    storedKey: createHash('sha256').update(key('Client Key')).digest('base64'),
    serverKey: key('Server Key').toString('base64'),
  }
}
const open = async () => {
  const password = randomBytes(18).toString('base64url')
  const client = { version: 'test', platform: 'test', command: 'connect' }
  const nothing = () => undefined
  const session = await dataPlane.open(
    { grant: 'grt_killed', principal: person.id, client },
    verifierOf(password),
    {
      denied: nothing,
      expiring: nothing,
      held: nothing,
      released: nothing,
      ending: nothing,
      ended: nothing,
    },
  )
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
    session.connect(socket),
  )
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { host: '127.0.0.1', port: server.address().port, user: 'alice', password, database }
}
process.stdout.write(`${JSON.stringify([await open(), await open()])}\n`)
