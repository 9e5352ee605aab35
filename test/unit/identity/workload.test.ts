// Owns the table of hostile tokens of platforms: what the corpus calls ci-identity and jwt-oidc, for workloads.

import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { principalId } from '../../../src/core/principal.js'
import { KEYS_MAX_AGE_MS } from '../../../src/identity/provider-keys.js'
import { createTokens } from '../../../src/identity/tokens.js'
import { claimedParty, createWorkloadVerifier } from '../../../src/identity/workload.js'
import { claims, documents, ISSUER, NOW, type Signer, signer } from './provider-fixture.js'

const provider = {
  name: 'github',
  issuer: ISSUER,
  audience: 'vgate',
  groupsClaim: 'groups',
  nameClaim: 'sub',
}
const at = NOW / 1000
const SUB = 'repo:acme/ingest:ref:refs/heads/main'
const REFUSED = 'the identity token for provider github is refused: '
let good: Signer
let other: Signer
beforeAll(async () => {
  good = await signer('good')
  other = await signer('other')
})

function setup(over: { date?: Date; keys?: Signer[] } = {}) {
  const clock = { at: NOW, now: () => clock.at }
  const served = documents(
    (over.keys ?? [good]).map((it) => it.jwk),
    over.date,
  )
  return {
    clock,
    served,
    verifier: createWorkloadVerifier({ provider, fetch: served.fetch, clock }),
  }
}

const job = (over: Record<string, unknown> = {}): Record<string, unknown> =>
  claims({ sub: SUB, nbf: at - 10, repository: 'acme/ingest', ref: 'refs/heads/main', ...over })
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a good token', () => {
  it('proves a workload until the token’s end, as often as it is shown before', async () => {
    const { verifier } = setup()
    const token = await good.sign(job({ groups: ['ci'], environment: 'prod', run_id: '7' }))
    const verified = {
      principal: {
        id: principalId(ISSUER, SUB),
        kind: 'workload',
        provider: 'github',
        issuer: ISSUER,
        subject: SUB,
        name: SUB,
        groups: ['github:ci'],
        claims: {
          repository: 'acme/ingest',
          ref: 'refs/heads/main',
          groups: ['ci'],
          environment: 'prod',
          run_id: '7',
        },
      },
      until: (at + 600) * 1000,
    }
    expect(await verifier.verify(token)).toEqual(verified)
    expect(await verifier.verify(token)).toEqual(verified)
  })

  it('of Kubernetes keeps its nested claims, and travels whole in vgate’s own token', async () => {
    const kubernetes = { namespace: 'ml', serviceaccount: { name: 'nightly', uid: 'u-1' } }
    const { verifier, clock } = setup()
    const token = await good.sign(
      job({ sub: 'system:serviceaccount:ml:nightly', aud: ['vgate'], 'kubernetes.io': kubernetes }),
    )
    const { principal, until } = await verifier.verify(token)
    expect(principal.claims['kubernetes.io']).toEqual(kubernetes)
    const { generateKeyPairSync } = await import('node:crypto')
    const key = { id: 'key_t', ...generateKeyPairSync('ed25519') }
    const tokens = createTokens({ issuer: 'https://vgate.example.com', key, clock })
    const issued = await tokens.issue(principal, until)
    expect(issued.expiresAt).toBe(until)
    expect(await tokens.verify(issued.token)).toMatchObject({ principal, identityUntil: until })
  })

  it('may live for a day, and be hours old', async () => {
    const token = await good.sign(job({ iat: at - 7 * 3600, nbf: at - 7 * 3600, exp: at + 3600 }))
    expect((await setup().verifier.verify(token)).until).toBe((at + 3600) * 1000)
  })
})

describe('a hostile token is refused:', () => {
  it.each<[string, Record<string, unknown>, string]>([
    [
      'another issuer with the same sub',
      { iss: 'https://gitlab.com' },
      'its "iss" claim does not fit',
    ],
    ['a trailing slash', { iss: `${ISSUER}/` }, 'its "iss" claim does not fit'],
    ['another case', { iss: ISSUER.toUpperCase() }, 'its "iss" claim does not fit'],
    ['another audience', { aud: 'sts.amazonaws.com' }, 'its "aud" claim does not fit'],
    ['a longer audience', { aud: 'vgate2' }, 'its "aud" claim does not fit'],
    ['several audiences', { aud: ['vgate', 'x'] }, 'it names several audiences'],
    ['no subject', { sub: undefined }, 'its "sub" claim does not fit'],
    ['no end', { exp: undefined }, 'its "exp" claim does not fit'],
    ['no beginning', { iat: undefined }, 'its "iat" claim does not fit'],
    ['a life of more than a day', { exp: at + 86_400 }, 'it is made for longer than 24 hours'],
    ['a future', { iat: at + 120 }, 'it was issued in the future'],
    [
      'a clock ten minutes ahead',
      { iat: at + 600, nbf: at + 600, exp: at + 900 },
      'its "nbf" claim does not fit; the clocks of gateway and provider are 10 minutes apart',
    ],
    [
      'a clock ten minutes ahead, without nbf',
      { iat: at + 600, nbf: undefined, exp: at + 900 },
      'the clocks of gateway and provider are 10 minutes apart',
    ],
  ])('%s', async (_what, over, message) => {
    await expect(setup().verifier.verify(await good.sign(job(over)))).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
      message: REFUSED + message,
    })
  })

  it.each([-1, -59, -61, -3600])('expired %d s ago: no leeway', async (seconds) => {
    const token = await good.sign(job({ exp: at + seconds, iat: at - 4000, nbf: at - 4000 }))
    await expect(setup().verifier.verify(token)).rejects.toMatchObject({
      code: 'VGATE_TOKEN_EXPIRED',
      message: 'the identity token for provider github has expired',
    })
  })

  it('expired, at a gateway whose clock is ahead: the clocks are named', async () => {
    const { verifier } = setup({ date: new Date(NOW - 10 * 60_000) })
    await expect(verifier.verify(await good.sign(job({ exp: at - 300 })))).rejects.toThrow(
      'has expired; the clocks of gateway and provider are 10 minutes apart',
    )
  })

  it.each([
    '',
    'x'.repeat(256),
    'x'.repeat(60_000),
    'a\nb',
    'аcme',
  ])('the subject %#', async (sub) => {
    await expect(setup().verifier.verify(await good.sign(job({ sub })))).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
    })
  })

  it('HS256 with the public key, alg none, a foreign key, b64=false, the same claim twice', async () => {
    const body = encode(job())
    const input = `${encode({ alg: 'HS256', kid: 'good' })}.${body}`
    const mac = createHmac('sha256', JSON.stringify(good.jwk)).update(input).digest('base64url')
    const [head = '', , signature = ''] = (await good.sign(job())).split('.')
    for (const token of [
      `${input}.${mac}`,
      `${encode({ alg: 'none', kid: 'good' })}.${body}.`,
      await other.sign(job(), { kid: 'good' }),
      `${encode({ alg: 'ES256', kid: 'good', b64: false, crit: ['b64'] })}.${body}.${signature}`,
      `${head}.${Buffer.from(`{"sub":"x",${JSON.stringify(job()).slice(1)}`).toString('base64url')}.${signature}`,
      // ECDSA with r = s = 0, with a short and with a long signature (CVE-2022-21449 and its kin).
      `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`,
      `${head}.${body}.${Buffer.alloc(63, 1).toString('base64url')}`,
      `${head}.${body}.${Buffer.alloc(65, 1).toString('base64url')}`,
    ]) {
      await expect(setup().verifier.verify(token)).rejects.toMatchObject({
        code: 'VGATE_TOKEN_INVALID',
        message: expect.stringContaining(REFUSED),
      })
    }
  })

  it.each([
    '../../dev/null',
    "' OR 1=1",
    'https://evil.example/k',
  ])('the key id %j', async (kid) => {
    await expect(setup().verifier.verify(await good.sign(job(), { kid }))).rejects.toThrow(
      `${REFUSED}the provider does not know its key`,
    )
  })

  it('a key that was withdrawn, once the cache is old', async () => {
    const { verifier, served, clock } = setup()
    const token = await good.sign(job({ exp: at + 3000 }))
    await verifier.verify(token)
    served.keys = [other.jwk]
    clock.at += KEYS_MAX_AGE_MS + 1
    await expect(verifier.verify(token)).rejects.toThrow('the provider does not know its key')
  })
})

it('reads of a token what it says of itself, and nothing of what is none', async () => {
  expect(claimedParty(await good.sign(job({ aud: ['a', 'b'] })))).toEqual({
    issuer: ISSUER,
    subject: SUB,
    audiences: ['a', 'b'],
  })
  for (const text of ['', 'a.b.c', 'x'.repeat(70_000), `${encode({})}.${encode([1])}.x`]) {
    expect(claimedParty(text)).toEqual({ issuer: undefined, subject: undefined, audiences: [] })
  }
})

it('answers every item of the corpus about tokens', () => {
  const items = (
    parse(readFileSync(new URL('../../corpus/bypass-corpus.yaml', import.meta.url), 'utf8')) as {
      items?: { id: string; category: string }[]
    }
  ).items
  const ids = (items ?? [])
    .filter(({ category }) => category === 'ci-identity' || category === 'jwt-oidc')
    .map(({ id }) => id)
  expect(ids).toEqual(Object.keys(ANSWERED))
})

/** Where each item is answered: the row above, or why there is none. */
const ANSWERED: Readonly<Record<string, string>> = {
  'ci-identity-002': 'policy/workloads: a `*` beside other characters stops the start; "longer"',
  'ci-identity-005': 'another issuer with the same sub',
  'ci-identity-008': 'docs/ci.md: nothing but the token’s end, until tokens are bound to keys',
  'jwt-oidc-002': 'HS256 with the public key',
  'jwt-oidc-004': 'the key id',
  'jwt-oidc-008': 'b64=false',
  'jwt-oidc-011': 'a trailing slash, another case',
  'jwt-oidc-016': 'the subject',
  'jwt-oidc-017': 'the same claim twice; properly signed in oidc.test',
  'jwt-oidc-026': 'a key that was withdrawn',
  'jwt-oidc-027': 'ECDSA with r = s = 0',
  'jwt-oidc-029': 'x5c of a token means nothing: keys that the header brings, in oidc.test',
}
