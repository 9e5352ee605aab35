// Owns the table of hostile identity tokens, and of the providers' own troubles.

import { createHmac, generateKeyPairSync, sign as signBytes } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { principalId } from '../../../src/core/principal.js'
import { createOidcVerifier } from '../../../src/identity/oidc.js'
import { COOL_DOWN_MS, KEYS_MAX_AGE_MS } from '../../../src/identity/provider-keys.js'
import { claims, documents, ISSUER, NOW, type Signer, signer } from './provider-fixture.js'

const provider = {
  name: 'corp',
  issuer: ISSUER,
  clientId: 'vgate',
  groupsClaim: 'groups',
  nameClaim: 'email',
}
const at = NOW / 1000
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
  const verifier = createOidcVerifier({ provider, fetch: served.fetch, clock })
  return { clock, served, verifier }
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString(
    'base64url',
  )
}

/** A token whose parts are exactly these texts, signed with a key of our own making. */
function rawToken(header: string, body: string, kid = 'raw') {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const input = `${encode(header)}.${encode(body)}`
  const signature = signBytes('sha256', Buffer.from(input), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig', kty: 'EC' }
  return { token: `${input}.${signature.toString('base64url')}`, jwk }
}

describe('a good token', () => {
  it('proves a person', async () => {
    const token = await good.sign(
      claims({
        email: 'ana@example.com',
        groups: ['data', 'ops'],
        acr: 'mfa',
        amr: ['pwd', 'otp'],
      }),
    )
    expect(await setup().verifier.verify(token)).toEqual({
      id: principalId(ISSUER, 'ana'),
      kind: 'person',
      provider: 'corp',
      issuer: ISSUER,
      subject: 'ana',
      name: 'ana@example.com',
      groups: ['corp:data', 'corp:ops'],
      claims: { email: 'ana@example.com', acr: 'mfa', amr: ['pwd', 'otp'] },
    })
  })

  it.each(['RS256', 'PS256', 'ES384', 'EdDSA'])('may be signed with %s', async (alg) => {
    const key = await signer('k', alg)
    const { verifier } = setup({ keys: [key] })
    expect((await verifier.verify(await key.sign(claims()))).subject).toBe('ana')
  })

  it.each([
    ['several audiences and our azp', { aud: ['vgate', 'other'], azp: 'vgate' }],
    ['a list of one audience', { aud: ['vgate'] }],
    ['an end within the leeway', { exp: at - 59 }],
    ['a start within the leeway', { nbf: at + 59, iat: at + 59 }],
    ['an age of just under an hour', { iat: at - 3600 }],
  ])('may have %s', async (_what, over) => {
    const { verifier } = setup()
    expect((await verifier.verify(await good.sign(claims(over)))).subject).toBe('ana')
  })

  it('may be exchanged again within its life', async () => {
    const { verifier } = setup()
    const token = await good.sign(claims())
    expect(await verifier.verify(token)).toEqual(await verifier.verify(token))
  })
})

const REFUSED = 'the identity token for provider corp is refused: '

describe('a hostile token is refused:', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['another issuer', { iss: 'https://id.example.com/' }, 'its "iss" claim does not fit'],
    ['no issuer', { iss: undefined }, 'its "iss" claim does not fit'],
    ['an issuer list', { iss: [ISSUER] }, 'its "iss" claim does not fit'],
    ['another audience', { aud: 'vgate2' }, 'its "aud" claim does not fit'],
    ['no audience', { aud: undefined }, 'its "aud" claim does not fit'],
    ['an audience object', { aud: { vgate: true } }, 'its "aud" claim does not fit'],
    ['audiences without ours', { aud: ['a', 'b'] }, 'its "aud" claim does not fit'],
    [
      'several audiences, no azp',
      { aud: ['vgate', 'x'] },
      'it names several audiences and no "azp"',
    ],
    ['another azp', { azp: 'other' }, 'it was issued to another client ("azp")'],
    ['an azp list', { azp: ['vgate'] }, 'it was issued to another client ("azp")'],
    ['a start in the future', { nbf: at + 120 }, 'its "nbf" claim does not fit'],
    ['issued in the future', { iat: at + 120 }, 'it was issued in the future'],
    [
      'a clock far off',
      { iat: at + 3600 },
      'the clocks of gateway and provider are 60 minutes apart',
    ],
    ['no end', { exp: undefined }, 'its "exp" claim does not fit'],
    ['an end in text', { exp: '9999999999' }, 'its "exp" claim does not fit'],
    ['no issue time', { iat: undefined }, 'its "iat" claim does not fit'],
    ['an issue time in text', { iat: 'now' }, 'its "iat" claim does not fit'],
    ['no subject', { sub: undefined }, 'its "sub" claim does not fit'],
  ])('%s', async (_what, over, message) => {
    await expect(setup().verifier.verify(await good.sign(claims(over)))).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
      message: REFUSED + message,
    })
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['expired', { exp: at - 61 }, 'has expired'],
    ['old', { iat: at - 3661 }, 'is older than an hour'],
  ])('%s, with its own code', async (_what, over, message) => {
    await expect(setup().verifier.verify(await good.sign(claims(over)))).rejects.toMatchObject({
      code: 'VGATE_TOKEN_EXPIRED',
      message: `the identity token for provider corp ${message}`,
    })
  })

  it.each([
    ['empty', ''],
    ['not a name', { a: 1 }],
    ['a number', 7],
    ['too long', 'x'.repeat(256)],
    ['with a line break', 'ana\n'],
    ['not ASCII', 'аna'],
  ])('a subject that is %s', async (_what, sub) => {
    await expect(setup().verifier.verify(await good.sign(claims({ sub })))).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
      message: 'the identity token has no usable "sub" claim',
    })
  })

  it('alg none, in any spelling', async () => {
    for (const alg of ['none', 'None', 'NONE', '']) {
      const token = `${encode({ alg, kid: 'good' })}.${encode(claims())}.`
      await expect(setup().verifier.verify(token)).rejects.toThrow(
        `${REFUSED}its algorithm is not an asymmetric signature`,
      )
    }
  })

  it('HS256 with the public key as the secret', async () => {
    const input = `${encode({ alg: 'HS256', kid: 'good' })}.${encode(claims())}`
    const mac = createHmac('sha256', JSON.stringify(good.jwk)).update(input).digest('base64url')
    await expect(setup().verifier.verify(`${input}.${mac}`)).rejects.toThrow(
      `${REFUSED}its algorithm is not an asymmetric signature`,
    )
  })

  it("a symmetric key in the provider's own set", async () => {
    const { verifier, served } = setup()
    served.keys = [{ kty: 'oct', k: encode('secret'), kid: 'good' }]
    await expect(verifier.verify(await good.sign(claims()))).rejects.toThrow(
      `${REFUSED}the provider does not know its key`,
    )
  })

  it("another key under a known key's id, and a changed body", async () => {
    const stolen = await other.sign(claims(), { kid: 'good' })
    const [head, , signature] = (await good.sign(claims())).split('.')
    const changed = `${head}.${encode(claims({ sub: 'root' }))}.${signature}`
    for (const token of [stolen, changed]) {
      await expect(setup().verifier.verify(token)).rejects.toThrow(
        `${REFUSED}its signature or form is wrong`,
      )
    }
  })

  it('keys that the header brings or points to; nothing is fetched from there', async () => {
    const { verifier, served } = setup()
    const token = await other.sign(claims(), {
      kid: 'good',
      jku: 'https://evil.example/jwks',
      x5u: 'https://evil.example/x5',
      jwk: other.jwk,
    })
    await expect(verifier.verify(token)).rejects.toThrow(`${REFUSED}its signature or form is wrong`)
    expect(served.asked.filter((url) => url.includes('evil'))).toEqual([])
  })

  it.each([
    '../../etc/passwd',
    "' OR 1=1 --",
    '__proto__',
    'constructor',
    'a\0b',
  ])('the key id %j', async (kid) => {
    await expect(setup().verifier.verify(await good.sign(claims(), { kid }))).rejects.toThrow(
      `${REFUSED}the provider does not know its key`,
    )
  })

  it.each([
    [{ kid: 7 }, 'its key id is not a short text'],
    [{ kid: 'x'.repeat(257) }, 'its key id is not a short text'],
    [{ typ: 'at+jwt' }, 'its type is not JWT'],
    [{ typ: 'vgate-at+jwt' }, 'its type is not JWT'],
    [{ typ: 'logout+jwt' }, 'its type is not JWT'],
    [{ crit: ['exp'] }, 'its signature or form is wrong'],
    [{ b64: false, crit: ['b64'] }, 'its signature or form is wrong'],
  ])('a header with %j', async (over, message) => {
    const header = JSON.stringify({ alg: 'ES256', kid: 'raw', ...over })
    const { token, jwk } = rawToken(header, JSON.stringify(claims()))
    const { verifier, served } = setup()
    served.keys = [jwk]
    await expect(verifier.verify(token)).rejects.toThrow(REFUSED + message)
  })

  it('the same claim twice, in the body or in the header', async () => {
    const body = JSON.stringify(claims())
    const head = '{"alg":"ES256","kid":"raw"}'
    for (const { token, jwk } of [
      rawToken(head, `{"sub":"root",${body.slice(1)}`),
      rawToken('{"alg":"ES256","alg":"ES256","kid":"raw"}', body),
    ]) {
      const { verifier, served } = setup()
      served.keys = [jwk]
      await expect(verifier.verify(token)).rejects.toThrow(
        `${REFUSED}it holds the same claim twice`,
      )
    }
  })

  it.each([
    ['nothing', ''],
    ['one part', 'abc'],
    ['five parts', 'a.b.c.d.e'],
    ['not base64', '!!.!!.!!'],
    ['a body that is no object', `${encode({ alg: 'ES256' })}.${encode('7')}.AA`],
    ['too long', 'x'.repeat(65 * 1024)],
    ['a null header', `${encode('null')}.e30.AA`],
  ])('%s', async (_what, token) => {
    await expect(setup().verifier.verify(token)).rejects.toMatchObject({
      code: 'VGATE_TOKEN_INVALID',
    })
  })

  it('no key id where the provider has several keys', async () => {
    const key = await signer('third')
    const { verifier } = setup({ keys: [good, key] })
    const token = await good.sign(claims(), { kid: undefined })
    await expect(verifier.verify(token)).rejects.toThrow(
      `${REFUSED}it does not say which key of the provider signed it`,
    )
  })

  it('and the hint names clocks that are apart', async () => {
    const { verifier } = setup({ date: new Date(NOW - 12 * 60_000) })
    await expect(verifier.verify(await good.sign(claims({ exp: at - 300 })))).rejects.toThrow(
      'has expired; the clocks of gateway and provider are 12 minutes apart',
    )
  })
})

describe('the provider', () => {
  it('is asked once for many tokens at once, and again when its keys are old', async () => {
    const { verifier, served, clock } = setup()
    const token = await good.sign(claims({ exp: at + 3000 }))
    await Promise.all([1, 2, 3].map(() => verifier.verify(token)))
    expect(served.asked).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/jwks`])
    clock.at += KEYS_MAX_AGE_MS + 1
    await verifier.verify(token)
    expect(served.asked).toHaveLength(4)
  })

  it('may rotate its keys; unknown ids cause a read only after the cool-down', async () => {
    const { verifier, served, clock } = setup()
    await verifier.verify(await good.sign(claims()))
    served.keys = [other.jwk]
    const rotated = await other.sign(claims())
    for (let n = 0; n < 20; n++) await expect(verifier.verify(rotated)).rejects.toThrow('its key')
    expect(served.asked).toHaveLength(2)
    clock.at += COOL_DOWN_MS
    expect((await verifier.verify(rotated)).subject).toBe('ana')
    expect(served.asked).toHaveLength(4)
    await expect(verifier.verify(await good.sign(claims()))).rejects.toThrow('its key')
  })

  it('that fails is left alone for the cool-down, and its old keys do not outlive their age', async () => {
    const { verifier, served, clock } = setup()
    const token = await good.sign(claims({ exp: at + 3000 }))
    await verifier.verify(token)
    served.respond = () => new Response('no', { status: 503 })
    clock.at += KEYS_MAX_AGE_MS + 1
    const message =
      'the metadata of identity provider corp cannot be read: it answered with status 503'
    for (let n = 0; n < 5; n++) {
      await expect(verifier.verify(token)).rejects.toMatchObject({
        code: 'VGATE_UPSTREAM_FAILED',
        message,
      })
    }
    expect(served.asked).toHaveLength(3)
    served.respond = undefined
    clock.at += COOL_DOWN_MS
    expect((await verifier.verify(token)).subject).toBe('ana')
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['another issuer', { issuer: `${ISSUER}/` }, 'is not that of https://id.example.com'],
    ['no keys', { jwks_uri: undefined }, 'is not that of https://id.example.com'],
    [
      'plain http keys',
      { jwks_uri: 'http://id.example.com/k' },
      'names keys at an unprotected address',
    ],
    [
      'loopback keys of a public issuer',
      { jwks_uri: 'http://127.0.0.1/k' },
      'names keys at an unprotected address',
    ],
    ['a file', { jwks_uri: 'file:///etc/passwd' }, 'names keys at an unprotected address'],
  ])('whose metadata has %s is refused', async (_what, over, message) => {
    const { verifier, served } = setup()
    served.metadata = { ...served.metadata, ...over }
    await expect(verifier.verify(await good.sign(claims()))).rejects.toMatchObject({
      code: 'VGATE_UPSTREAM_FAILED',
      message: `the metadata of identity provider corp ${message}`,
    })
  })

  it.each<[string, () => Response | Promise<Response>, string]>([
    [
      'endless',
      () => new Response('x'.repeat(300_000)),
      ' cannot be read: it answered more than 262144 bytes',
    ],
    ['not JSON', () => new Response('<html>'), ' cannot be read'],
    ['broken', () => Promise.reject(new TypeError('planted detail')), ' cannot be read'],
  ])('whose metadata is %s is refused', async (_what, respond, message) => {
    const { verifier, served } = setup()
    served.respond = respond
    await expect(verifier.verify(await good.sign(claims()))).rejects.toMatchObject({
      code: 'VGATE_UPSTREAM_FAILED',
      message: `the metadata of identity provider corp${message}`,
    })
  })
})
