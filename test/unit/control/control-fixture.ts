// Owns a control plane on a temporary store, with a provider made of two documents and a clock that stands still.

import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LogRecord } from '../../../src/audit/records.js'
import { createControl } from '../../../src/control/app.js'
import { createAuthority } from '../../../src/control/authority.js'
import { createRequests } from '../../../src/control/requests.js'
import type { Schedule } from '../../../src/control/schedule.js'
import type { LoadedPolicy, TargetSettings } from '../../../src/control/settings.js'
import { VgateError } from '../../../src/core/errors.js'
import { createOidcVerifier } from '../../../src/identity/oidc.js'
import { createTokens } from '../../../src/identity/tokens.js'
import { createWorkloadVerifier } from '../../../src/identity/workload.js'
import { compilePolicy, type WorkloadProvider } from '../../../src/policy/compile.js'
import { loadPolicy } from '../../../src/policy/schema.js'
import { diskFiles } from '../../../src/secrets/files.js'
import { openStore } from '../../../src/store/open.js'
import { claims, documents, ISSUER, NOW, signer } from '../identity/provider-fixture.js'

export const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }], mask: [{ collections: [docs], fields: [email], with: redact }] }
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: data }, role: reader, targets: [prod], grant: { default: 30m, max: 2h } }
  - { who: { group: ops }, role: writer, targets: [prod, other], grant: { max: 1h, reason: required } }
`

export function policyOf(
  source: string,
  workloadProviders: readonly WorkloadProvider[] = [],
): LoadedPolicy {
  const compiled = compilePolicy(loadPolicy(source, 'policy.yaml'), {
    actions: [],
    peopleProviders: ['corp'],
    workloadProviders,
  })
  return { source, hash: compiled.hash, compiled }
}

function target(name: string): TargetSettings {
  return {
    spec: {
      name,
      database: 'pgvector',
      host: '127.0.0.1',
      port: 5432,
      databaseName: 'vectors',
      tls: { verify: 'off' },
      ...(name === 'prod' ? { contact: 'ana@example.com' } : {}),
    },
    credential: { username: 'vgate', password: { kind: 'env', name: 'PGPASS' } },
  }
}

const provider = {
  name: 'corp',
  issuer: ISSUER,
  clientId: 'vgate',
  groupsClaim: 'groups',
  nameClaim: 'email',
}

export async function setup(
  over: {
    sessionsPerPrincipal?: number
    workload?: { name: string; issuer: string; audience: string }
  } = {},
) {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-control-'))
  const clock = { at: NOW, now: () => clock.at }
  const key = await signer('k', 'EdDSA')
  const idp = documents([key.jwk])
  const store = openStore({ directory, clock })
  const tokenKey = { id: 'key_t', ...generateKeyPairSync('ed25519') }
  const workloads =
    over.workload === undefined
      ? []
      : [{ ...over.workload, groupsClaim: 'groups', nameClaim: 'sub' }]
  const platform = documents([key.jwk])
  platform.metadata = { issuer: over.workload?.issuer, jwks_uri: `${over.workload?.issuer}/jwks` }
  const config = {
    publicUrl: 'https://vgate.example.com',
    administrators: ['corp:platform'],
    auditors: ['corp:security'],
    providers: [{ ...provider, type: 'oidc' as const, scopes: ['openid'] }],
    workloads,
    targets: new Map(['prod', 'other', 'hidden'].map((name) => [name, target(name)])),
    sessionsPerPrincipal: over.sessionsPerPrincipal ?? 3,
  }
  const policy = { current: policyOf(POLICY) }
  const log: { body: LogRecord; sync: boolean }[] = []
  const audit = {
    broken: false,
    append: async (body: LogRecord, options?: { sync?: boolean }) => {
      if (audit.broken) throw new VgateError('VGATE_RECORDING_UNAVAILABLE', 'the log is full')
      log.push({ body, sync: options?.sync ?? false })
    },
  }
  const timers: { at: number; run: () => void }[] = []
  const logged: unknown[] = []
  const tokens = createTokens({ issuer: config.publicUrl, key: tokenKey, clock })
  const schedule: Schedule = (ms, run) => {
    const timer = { at: clock.at + ms, run }
    timers.push(timer)
    return () => {
      const at = timers.indexOf(timer)
      if (at >= 0) timers.splice(at, 1)
    }
  }
  const requests = createRequests({ config, store, audit, clock, schedule })
  const index = { behind: 0, opened: () => undefined, ended: () => undefined }
  const base = { config, policy: () => policy.current, store, audit, clock, requests, index }
  const control = createControl({
    ...base,
    tokens,
    providers: new Map([['corp', createOidcVerifier({ provider, fetch: idp.fetch, clock })]]),
    workloads: new Map(
      workloads.map((one) => [
        one.name,
        createWorkloadVerifier({ provider: one, fetch: platform.fetch, clock }),
      ]),
    ),
    signingKeys: () => [
      { id: 'key_r', algorithm: 'Ed25519', public: 'AAAA', since: '2026-01-01T00:00:00Z' },
    ],
    recordings: { directory },
    revokeSessions: (which, message) => authority.revokeSessions(which, message),
    logger: { info: (it) => logged.push(it), error: (it) => logged.push(it) },
    version: '0.0.0',
  })
  const authority = createAuthority({
    ...base,
    secretDeps: { baseDir: directory, env: { PGPASS: 'planted-password' }, files: diskFiles },
    schedule,
  })
  /** Moves the clock, running what comes due. */
  const advance = (ms: number) => {
    clock.at += ms
    for (const timer of timers.filter((it) => it.at <= clock.at)) {
      timers.splice(timers.indexOf(timer), 1)
      timer.run()
    }
  }
  const send = (method: string, path: string, init: RequestInit = {}) =>
    control.fetch(new Request(`https://vgate.example.com${path}`, { method, ...init }), {
      address: '192.0.2.1',
    })
  const call = async (method: string, path: string, token?: string, body?: unknown) => {
    const headers: Record<string, string> =
      token === undefined ? {} : { authorization: `Bearer ${token}` }
    if (body !== undefined) headers['content-type'] = 'application/json'
    const init = { headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
    const response = await send(method, path, init)
    const text = await response.text()
    const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {}
    return { status: response.status, headers: response.headers, text, json }
  }
  const login = async (sub: string, groups: string[]): Promise<string> => {
    const at = Math.floor(clock.at / 1000)
    const id_token = await key.sign(
      claims({ sub, groups, email: `${sub}@example.com`, iat: at, exp: at + 600 }),
    )
    const answer = await call('POST', '/v1/token', undefined, { provider: 'corp', id_token })
    return String(answer.json['access_token'])
  }
  return {
    directory,
    clock,
    key,
    store,
    policy,
    log,
    audit,
    logged,
    tokens,
    control,
    authority,
    requests,
    advance,
    send,
    call,
    login,
    timers,
  }
}
