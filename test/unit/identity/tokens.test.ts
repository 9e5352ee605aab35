// Owns the proof that only this gateway's own, fresh access tokens count.

import { createHmac, generateKeyPairSync } from 'node:crypto'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { type Principal, principalId } from '../../../src/core/principal.js'
import { createTokens, TOKEN_LIFE_MS } from '../../../src/identity/tokens.js'
import { NOW } from './provider-fixture.js'

const ana: Principal = {
  id: principalId('https://i', 'ana'),
  kind: 'person',
  provider: 'corp',
  issuer: 'https://i',
  subject: 'ana',
  name: 'Ana',
  groups: ['corp:data'],
  claims: { acr: 'mfa', amr: ['pwd'] },
}
const key = (id: string) => ({ id, ...generateKeyPairSync('ed25519') })
const ours = key('key_a')
const issuer = 'https://vgate.example.com'

function setup(over: Partial<Parameters<typeof createTokens>[0]> = {}) {
  const clock = { at: NOW, now: () => clock.at }
  return { clock, tokens: createTokens({ issuer, key: ours, clock, ...over }) }
}

/** A token that is right but for what is changed. */
function forge(
  payload: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  by = ours,
) {
  const at = NOW / 1000
  return new SignJWT({
    iss: issuer,
    aud: 'vgate',
    sub: ana.id,
    jti: '0'.repeat(32),
    iat: at,
    exp: at + 900,
    principal: ana,
    ...payload,
  } as Record<string, unknown>)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'vgate-at+jwt', kid: 'key_a', ...header })
    .sign(by.privateKey)
}

describe('an access token', () => {
  it('carries the principal for 15 minutes and not a millisecond more', async () => {
    const { tokens, clock } = setup()
    const issued = await tokens.issue(ana)
    expect(issued.expiresAt).toBe(NOW + TOKEN_LIFE_MS)
    expect(await tokens.verify(issued.token)).toEqual({
      principal: ana,
      jti: issued.jti,
      expiresAt: issued.expiresAt,
    })
    clock.at = issued.expiresAt - 1
    expect((await tokens.verify(issued.token)).jti).toBe(issued.jti)
    clock.at = issued.expiresAt
    await expect(tokens.verify(issued.token)).rejects.toMatchObject({
      code: 'VGATE_TOKEN_EXPIRED',
      message: 'the access token has expired',
    })
  })

  it('has an id of its own each time', async () => {
    const { tokens } = setup()
    expect((await tokens.issue(ana)).jti).not.toBe((await tokens.issue(ana)).jti)
  })

  it('is accepted as forged below when nothing is changed', async () => {
    expect((await setup().tokens.verify(await forge())).principal).toEqual(ana)
  })

  it.each<[string, () => Promise<string> | string]>([
    ['another gateway, same key', () => forge({ iss: 'https://other.example.com' })],
    ['another key', () => forge({}, {}, key('key_a'))],
    ['another key id', () => forge({}, { kid: 'key_b' })],
    ['no key id', () => forge({}, { kid: undefined })],
    ['another audience', () => forge({ aud: 'other' })],
    ['a list of audiences', () => forge({ aud: ['vgate', 'other'] })],
    ['type JWT', () => forge({}, { typ: 'JWT' })],
    ['no type', () => forge({}, { typ: undefined })],
    ['another subject', () => forge({ sub: principalId('https://i', 'root') })],
    ['a principal id that is not its own', () => forge({ principal: { ...ana, subject: 'root' } })],
    ['an unknown member', () => forge({ admin: true })],
    ['an unknown principal member', () => forge({ principal: { ...ana, admin: true } })],
    ['no principal', () => forge({ principal: undefined })],
    ['a life too long', () => forge({ exp: NOW / 1000 + 901 })],
    ['no end', () => forge({ exp: undefined })],
    ['a jti of another form', () => forge({ jti: "x' OR 1=1" })],
    ['nothing', () => ''],
    ['garbage', () => 'a.b.c'],
    ['too long', () => 'x'.repeat(13_000)],
    [
      'alg none',
      async () => {
        const [, body] = (await forge()).split('.')
        const head = { alg: 'none', typ: 'vgate-at+jwt', kid: 'key_a' }
        return `${Buffer.from(JSON.stringify(head)).toString('base64url')}.${body}.`
      },
    ],
    [
      'HS256 with the public key',
      async () => {
        const [, body] = (await forge()).split('.')
        const head = { alg: 'HS256', typ: 'vgate-at+jwt', kid: 'key_a' }
        const input = `${Buffer.from(JSON.stringify(head)).toString('base64url')}.${body}`
        const secret = ours.publicKey.export({ type: 'spki', format: 'der' })
        return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
      },
    ],
  ])('with %s is refused', async (_what, token) => {
    await expect(setup().tokens.verify(await token())).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
      message: 'the access token is not one of this gateway',
    })
  })

  it('is not made for a principal that does not fit into a header', async () => {
    const groups = Array.from({ length: 200 }, (_, n) => `corp:${'x'.repeat(200)}${n}`)
    await expect(setup().tokens.issue({ ...ana, groups })).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
      message: 'the identity has too many groups and claims',
    })
  })
})
