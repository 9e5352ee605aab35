// Owns the form of vgate.yaml: its keys, types, limits and defaults. What needs the environment, a file or another
// key is checked in config-check.ts. A key that is specified but not built is refused by name.

import { z } from 'zod'
import { notSupportedYet } from '../core/config-issues.js'
import { duration, size } from '../core/units.js'
import { parseReference, type SecretReference } from '../secrets/reference.js'

const NOT_YET = 'not supported yet'
const later = <const T extends readonly [string, ...string[]]>(names: T) =>
  z.enum(names).refine(() => false, { error: NOT_YET })

/** Text that is shown to people and terminals. */
const shown = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, { error: 'expected text without control characters' })

const reference = z.string().transform((text, context): SecretReference => {
  const parsed = parseReference(text)
  if (parsed.ok) return parsed.reference
  context.addIssue({ code: 'custom', message: parsed.message })
  return z.NEVER
})

/** `file:PATH` for what is no secret. */
const file = z
  .string()
  .regex(/^file:[^\0]+$/, { error: 'expected file:PATH' })
  .transform((text) => text.slice('file:'.length))

const who = z.strictObject({
  group: shown,
  provider: notSupportedYet(),
  claims: notSupportedYet(),
})

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

const listen = z.string().transform((text, context): ListenAddress => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host !== undefined && port <= 65_535) return { host, port }
  context.addIssue({ code: 'custom', message: 'expected HOST:PORT or [IPV6]:PORT' })
  return z.NEVER
})

const webUrl = (message: string) => z.string().refine((text) => isBareUrl(text), { error: message })

function isBareUrl(text: string): boolean {
  if (!URL.canParse(text) || text.length > 500) return false
  const url = new URL(text)
  const web = url.protocol === 'https:' || url.protocol === 'http:'
  return (
    web && url.username === '' && url.password === '' && url.search === '' && !text.includes('#')
  )
}

const gateway = z.strictObject({
  listen: listen.default({ host: '127.0.0.1', port: 8443 }),
  publicUrl: webUrl('expected a URL such as https://vgate.example.com').optional(),
  tls: z.strictObject({ cert: file, key: reference }).optional(),
  trustedProxies: notSupportedYet(),
  data: z.string().min(1).max(4096).default('./data'),
  keys: reference.optional(),
  administrators: z.array(who).default([]),
  auditors: z.array(who).default([]),
  workers: notSupportedYet(),
})

const recordings = z.strictObject({
  durability: z.enum(['standard', 'strict']).default('standard'),
  encryptTo: notSupportedYet(),
  storage: notSupportedYet(),
  retention: notSupportedYet(),
})

const oidc = z.strictObject({
  type: z.literal('oidc'),
  issuer: webUrl('expected the URL of the issuer, such as https://id.example.com'),
  clientId: shown,
  // Nothing uses it yet: the client logs in as a public client (RFC 8628 §3.1).
  clientSecret: notSupportedYet(),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/, { error: 'expected a scope' }))
    .max(50)
    .refine((scopes) => scopes.includes('openid'), { error: 'expected "openid" among the scopes' })
    .default(['openid', 'profile', 'email', 'offline_access']),
  groupsClaim: shown.default('groups'),
  nameClaim: shown.default('email'),
  groupsSource: z.literal('token', { error: NOT_YET }).default('token'),
})

const workload = z.strictObject({
  type: z.literal('workload'),
  issuer: webUrl(
    'expected the URL of the issuer, such as https://token.actions.githubusercontent.com',
  ),
  audience: shown,
  groupsClaim: shown.default('groups'),
  nameClaim: shown.default('sub'),
})

const provider = z.discriminatedUnion('type', [
  oidc,
  workload,
  z.looseObject({ type: later(['saml']) }),
])

const targetTls = z.union([
  z.string().pipe(z.enum(['verify-full', 'off'])),
  z.strictObject({ verify: z.literal('full'), ca: file.optional() }),
])

/** Bytes of a name that PostgreSQL keeps (NAMEDATALEN − 1); behind a prefix comes something random. */
const NAME_BYTES = 63
const PREFIX_LETTERS = 40

const mintedRole = z.strictObject({
  memberOf: z
    .array(
      shown.refine((name) => Buffer.byteLength(name) <= NAME_BYTES, {
        error: `expected a role's name of at most ${NAME_BYTES} bytes`,
      }),
    )
    .min(1)
    .max(20)
    .refine((names) => new Set(names).size === names.length, { error: 'a role is named twice' }),
  prefix: z
    .string()
    .regex(/^[a-z_][a-z0-9_]*$/, { error: 'expected lower-case letters, digits and _' })
    .max(PREFIX_LETTERS)
    .refine((prefix) => !prefix.startsWith('pg_'), {
      error: 'PostgreSQL keeps names that begin with pg_ for itself',
    })
    .default('vg_'),
})

const pgvector = z.strictObject({
  database: z.literal('pgvector'),
  address: z.string().min(1).max(2000),
  tls: targetTls.optional(),
  credential: z.strictObject({ username: shown, password: reference }),
  contact: shown.optional(),
  mint: z.strictObject({ role: mintedRole }).optional(),
  listen: notSupportedYet(),
  agent: notSupportedYet(),
  operations: notSupportedYet(),
})

const target = z.discriminatedUnion('database', [
  pgvector,
  z.looseObject({
    database: later([
      'qdrant',
      'chroma',
      'weaviate',
      'milvus',
      'pinecone',
      'opensearch',
      'elasticsearch',
      'http',
    ]),
  }),
])

const limits = z.strictObject({
  connectionsPerSession: z.number().int().min(1).max(10_000).default(100),
  sessionsPerPrincipal: z.number().int().min(1).max(10_000).default(20),
  handshake: duration()
    .refine((ms) => ms >= 1000 && ms <= 300_000, { error: 'expected 1s to 5m' })
    .prefault('10s'),
  messageBytes: size()
    .refine((bytes) => bytes >= 64 * 1024 && bytes <= 1024 ** 3, {
      error: 'expected 64KiB to 1GiB',
    })
    .prefault('64MiB'),
})

const providerName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,62}$/i, { error: 'expected a name of letters, digits, - and _' })
const targetName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/i, {
  error: 'expected a name of letters, digits, ., - and _',
})

/** vgate.yaml as it is written. */
export const configSchema = z.strictObject({
  gateway: gateway.prefault({}),
  store: z.strictObject({ postgres: reference }).optional(),
  recordings: recordings.prefault({}),
  audit: notSupportedYet(),
  identity: z.strictObject({
    providers: z
      .record(providerName, provider)
      .refine((providers) => Object.keys(providers).length > 0, {
        error: 'expected at least one provider',
      }),
  }),
  notifications: notSupportedYet(),
  targets: z.record(targetName, target).refine((targets) => Object.keys(targets).length > 0, {
    error: 'expected at least one target',
  }),
  policy: file,
  limits: limits.prefault({}),
})

export type ConfigFile = z.infer<typeof configSchema>
export type PgvectorEntry = z.infer<typeof pgvector>
