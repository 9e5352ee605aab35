// Owns the proof of the control API's contract, through its fetch function.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  discovery,
  errorBody,
  grantBody,
  sessionsBody,
  targetsBody,
  tokenBody,
  whoamiBody,
} from '../../../src/core/api.js'
import { newId } from '../../../src/core/ids.js'
import { claims } from '../identity/provider-fixture.js'
import { setup } from './control-fixture.js'

function errorOf(json: unknown) {
  return errorBody.parse(json).error
}

describe('what anybody may read', () => {
  it('is discovery, the keys and a page', async () => {
    const { call } = await setup()
    const found = discovery.parse((await call('GET', '/.well-known/vgate')).json)
    expect(found.providers).toEqual([
      {
        name: 'corp',
        type: 'oidc',
        issuer: 'https://id.example.com',
        client_id: 'vgate',
        scopes: ['openid'],
      },
    ])
    expect(found.keys).toEqual((await call('GET', '/v1/keys')).json['keys'])
    const page = await call('GET', '/')
    expect(page.headers.get('content-type')).toBe('text/html; charset=UTF-8')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(page.headers.get('strict-transport-security')).toBe('max-age=31536000')
  })
})

describe('login', () => {
  it('exchanges an identity token, and is in the log before the answer', async () => {
    const { call, key, log } = await setup()
    const id_token = await key.sign(claims({ groups: ['data'], email: 'ana@example.com' }))
    const answer = await call('POST', '/v1/token', undefined, { provider: 'corp', id_token })
    const body = tokenBody.parse(answer.json)
    expect(body.principal).toMatchObject({ name: 'ana@example.com', groups: ['corp:data'] })
    expect(log.map((it) => it.body)).toMatchObject([
      { type: 'login.succeeded', principal: { name: 'ana@example.com', provider: 'corp' } },
    ])
    const who = whoamiBody.parse((await call('GET', '/v1/whoami', body.access_token)).json)
    expect(who).toMatchObject({ principal: body.principal, administrator: false, auditor: false })
    expect(JSON.stringify(log)).not.toContain(id_token)
  })

  it('that fails is answered without detail of the token, and is in the log', async () => {
    const { call, key, log } = await setup()
    const id_token = await key.sign(claims({ aud: 'other' }))
    const answer = await call('POST', '/v1/token', undefined, { provider: 'corp', id_token })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="vgate"')
    expect(errorOf(answer.json)).toEqual({
      code: 'VGATE_TOKEN_INVALID',
      message: 'the identity token for provider corp is refused: its "aud" claim does not fit',
      hint: 'log in again with `vgate login`',
    })
    expect(log.map((it) => it.body.type)).toEqual(['login.failed'])
    expect(answer.text).not.toContain(id_token)
  })

  it('of an unknown provider is refused', async () => {
    const { call } = await setup()
    for (const provider of ['github', '__proto__']) {
      const answer = await call('POST', '/v1/token', undefined, { provider, id_token: 'x' })
      expect(errorOf(answer.json)).toMatchObject({ code: 'VGATE_USAGE', hint: 'providers: corp' })
    }
  })

  it('is refused when the log cannot be written', async () => {
    const { call, key, audit } = await setup()
    audit.broken = true
    const id_token = await key.sign(claims())
    const answer = await call('POST', '/v1/token', undefined, { provider: 'corp', id_token })
    expect([answer.status, errorOf(answer.json).code]).toEqual([503, 'VGATE_RECORDING_UNAVAILABLE'])
  })

  it('is limited per address', async () => {
    const { call, clock } = await setup()
    const ask = () => call('POST', '/v1/token', undefined, { provider: 'nope', id_token: 'x' })
    for (let n = 0; n < 60; n++) expect((await ask()).status).toBe(400)
    const refused = await ask()
    expect(refused.status).toBe(429)
    expect(errorOf(refused.json)).toEqual({
      code: 'VGATE_LIMIT_EXCEEDED',
      message: 'too many requests',
      hint: 'try again in 1 s',
    })
    clock.at += 1000
    expect((await ask()).status).toBe(400)
  })

  it('ends with logout, for the tunnel too', async () => {
    const { call, login, log, control } = await setup()
    const token = await login('ana', ['data'])
    expect((await control.authenticate(token)).subject).toBe('ana')
    expect((await call('POST', '/v1/logout', token, {})).status).toBe(204)
    expect(log.at(-1)?.body).toMatchObject({
      type: 'logout',
      principal: { name: 'ana@example.com' },
    })
    expect(errorOf((await call('GET', '/v1/whoami', token)).json)).toMatchObject({
      code: 'VGATE_LOGIN_REQUIRED',
      message: 'this login has ended',
    })
    await expect(control.authenticate(token)).rejects.toMatchObject({
      code: 'VGATE_LOGIN_REQUIRED',
    })
  })

  it('ends by itself after 15 minutes', async () => {
    const { call, login, clock } = await setup()
    const token = await login('ana', [])
    clock.at += 15 * 60_000
    expect(errorOf((await call('GET', '/v1/targets', token)).json).code).toBe('VGATE_TOKEN_EXPIRED')
  })

  it('names administrators and auditors', async () => {
    const { call, login } = await setup()
    const answer = await call('GET', '/v1/whoami', await login('bob', ['platform', 'security']))
    expect(answer.json).toMatchObject({ administrator: true, auditor: true })
  })
})

describe('targets', () => {
  it('are those that a rule opens, and nothing of the others', async () => {
    const { call, login } = await setup()
    const list = async (groups: string[]) =>
      targetsBody.parse((await call('GET', '/v1/targets', await login('ana', groups))).json).targets
    expect(await list(['data'])).toEqual([
      {
        name: 'prod',
        database: 'pgvector',
        roles: [{ name: 'reader', approval: false }],
        contact: 'ana@example.com',
      },
    ])
    expect((await list(['ops', 'data'])).map((it) => it.name)).toEqual(['prod', 'other'])
    expect(await list(['platform', 'security'])).toEqual([])
  })
})

describe('grants', () => {
  const ask = async (groups: string[], request: object) => {
    const world = await setup()
    const answer = await world.call('POST', '/v1/grants', await world.login('ana', groups), request)
    return { ...world, answer }
  }

  it('are given by policy, and durably in the log before the answer', async () => {
    const { answer, log, store, clock } = await ask(['data'], { target: 'prod', reason: ' look ' })
    const { grant } = grantBody.parse(answer.json)
    expect(grant).toMatchObject({
      target: 'prod',
      database: 'pgvector',
      database_name: 'vectors',
      roles: ['reader'],
      notes: [],
    })
    expect(Date.parse(grant.ends_at) - clock.at).toBe(30 * 60_000)
    expect(log.at(-1)).toMatchObject({
      sync: true,
      body: { type: 'grant.issued', target: 'prod', grant: { id: grant.id, reason: 'look' } },
    })
    expect(await store.findGrant(grant.id)).toMatchObject({ roles: ['reader'], reason: 'look' })
  })

  it('with several roles take the shorter time and say so of masks', async () => {
    const { answer, clock } = await ask(['data', 'ops'], {
      target: 'prod',
      reason: 'r',
      ttl_seconds: 7200,
    })
    const { grant } = grantBody.parse(answer.json)
    expect(grant.roles).toEqual(['reader', 'writer'])
    expect(Date.parse(grant.ends_at) - clock.at).toBe(3_600_000)
    expect(grant.notes).toEqual([
      'the time was cut to 1 h, the most that policy gives',
      'several roles at once (reader, writer): the strictest mask applies; --role asks for one',
    ])
  })

  it('with a role are for exactly that one', async () => {
    const { answer } = await ask(['data', 'ops'], { target: 'prod', role: 'reader' })
    expect(grantBody.parse(answer.json).grant.roles).toEqual(['reader'])
  })

  it.each([
    'nowhere',
    'hidden',
    'other',
    '__proto__',
    'prod\n',
  ])('for %j are refused alike, whether it exists or not', async (name) => {
    const { answer, log } = await ask(['data'], { target: name })
    const shown = name.endsWith('\n') ? ' of that name' : ` "${name}"`
    expect(answer.status).toBe(404)
    expect(errorOf(answer.json)).toEqual({
      code: 'VGATE_TARGET_UNKNOWN',
      message: `there is no target${shown} that you may use`,
      hint: 'see `vgate targets`',
    })
    expect(log.at(-1)).toMatchObject({ sync: true, body: { type: 'grant.refused', target: name } })
  })

  it.each([
    [
      { target: 'prod', role: 'writer' },
      ['data'],
      'VGATE_DENIED',
      'no access rule gives you that role on prod',
      'your roles there: reader',
    ],
    [
      { target: 'other' },
      ['ops'],
      'VGATE_USAGE',
      'role writer needs a reason (access[1])',
      'add --reason "…"',
    ],
    [
      { target: 'other', reason: '  ' },
      ['ops'],
      'VGATE_USAGE',
      'role writer needs a reason (access[1])',
      'add --reason "…"',
    ],
    [
      { target: 'other', reason: 'a\u001b[2J' },
      ['ops'],
      'VGATE_USAGE',
      'the reason holds control characters',
      undefined,
    ],
  ])('%j is refused', async (request, groups, code, message, hint) => {
    const { answer, log } = await ask(groups, request)
    expect(errorOf(answer.json)).toEqual({ code, message, ...(hint === undefined ? {} : { hint }) })
    expect(log.at(-1)?.body).toMatchObject({ type: 'grant.refused', code })
  })

  it('are not given when the log cannot be written', async () => {
    const { call, login, audit } = await setup()
    const token = await login('ana', ['data'])
    audit.broken = true
    const answer = await call('POST', '/v1/grants', token, { target: 'prod' })
    expect([answer.status, errorOf(answer.json).code]).toEqual([503, 'VGATE_RECORDING_UNAVAILABLE'])
  })
})

describe('sessions', () => {
  async function withSession() {
    const world = await setup()
    const ana = await world.login('ana', ['data'])
    const answer = await world.call('POST', '/v1/grants', ana, { target: 'prod', reason: 'look' })
    const { principal } = await world.tokens.verify(ana)
    const { session } = await world.authority.openSession({
      grant: grantBody.parse(answer.json).grant.id,
      principal: principal.id,
      client: { version: '1', platform: 'linux', command: 'connect' },
    })
    writeFileSync(join(world.directory, `${session}.vgr`), Buffer.from([1, 2, 0, 255]))
    return { ...world, ana, session }
  }

  it('are shown to their owner and to auditors, and to nobody else', async () => {
    const { call, login, ana, session } = await withSession()
    const bob = await login('bob', ['data', 'platform'])
    const eve = await login('eve', ['security'])
    const list = async (token: string, query = '') =>
      sessionsBody.parse((await call('GET', `/v1/sessions${query}`, token)).json).sessions
    expect(await list(ana)).toMatchObject([
      {
        id: session,
        target: 'prod',
        reason: 'look',
        state: 'open',
        principal: { name: 'ana@example.com' },
      },
    ])
    expect(await list(bob)).toEqual([])
    expect(await list(eve)).toHaveLength(1)
    expect(await list(eve, '?target=other')).toEqual([])
    expect(await list(eve, '?since=2100-01-01T00:00:00Z')).toEqual([])
    expect((await call('GET', `/v1/sessions/${session}`, eve)).status).toBe(200)
    for (const path of [session, newId('ses'), '..%2f..%2fvgate.db', `${session}/recording`]) {
      const answer = await call('GET', `/v1/sessions/${path}`, bob)
      expect([answer.status, errorOf(answer.json).code]).toEqual([404, 'VGATE_NOT_FOUND'])
    }
  })

  it('have a recording whose reading is audited first', async () => {
    const { send, ana, session, log, audit } = await withSession()
    const read = () =>
      send('GET', `/v1/sessions/${session}/recording`, {
        headers: { authorization: `Bearer ${ana}` },
      })
    const answer = await read()
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(Buffer.from([1, 2, 0, 255]))
    expect(answer.headers.get('content-length')).toBe('4')
    expect(answer.headers.get('content-type')).toBe('application/octet-stream')
    expect(log.at(-1)).toMatchObject({ sync: true, body: { type: 'recording.read', session } })
    audit.broken = true
    expect((await read()).status).toBe(503)
  })

  it.each([
    '?limit=0',
    '?limit=1001',
    '?limit=x',
    '?other=1',
    '?target=a&target=b',
    '?since=yesterday',
  ])('refuse the query %s', async (query) => {
    const { call, ana } = await withSession()
    expect(errorOf((await call('GET', `/v1/sessions${query}`, ana)).json).code).toBe('VGATE_USAGE')
  })
})

describe('manners', () => {
  it.each([
    [
      'a form',
      { 'content-type': 'application/x-www-form-urlencoded' },
      'a=b',
      'the content type must be application/json',
    ],
    [
      'plain text',
      { 'content-type': 'text/plain' },
      '{}',
      'the content type must be application/json',
    ],
    [
      'another charset',
      { 'content-type': 'application/json; charset=utf-16' },
      '{}',
      'the content type must be application/json',
    ],
    ['no JSON', { 'content-type': 'application/json' }, '{', 'the body is not JSON'],
    ['a BOM', { 'content-type': 'application/json' }, '\ufeff{}', 'the body is not JSON'],
    [
      'no UTF-8',
      { 'content-type': 'application/json' },
      Buffer.from([0x22, 0xff, 0x22]),
      'the body is not UTF-8',
    ],
    [
      'an unknown member',
      { 'content-type': 'application/json' },
      '{"provider":"corp","id_token":"x","x":1}',
      '"x" of the body is unknown',
    ],
    [
      'a missing member',
      { 'content-type': 'application/json' },
      '{"provider":"corp"}',
      '"id_token" of the body does not fit',
    ],
    ['a list', { 'content-type': 'application/json' }, '[]', 'the body does not fit'],
    [
      'too much',
      { 'content-type': 'application/json' },
      'x'.repeat(128 * 1024 + 1),
      'the body is longer than 131072 bytes',
    ],
  ])('a body with %s is refused', async (_what, headers, body, message) => {
    const { send } = await setup()
    const response = await send('POST', '/v1/token', { headers, body })
    expect(response.status).toBe(400)
    expect(errorOf(await response.json())).toMatchObject({ code: 'VGATE_USAGE', message })
  })

  it.each([
    undefined,
    'Basic YTpi',
    'Bearer',
    'Bearer a b',
    'Bearer aé',
  ])('the authorization %j is refused', async (authorization) => {
    const { send } = await setup()
    const response = await send(
      'GET',
      '/v1/whoami',
      authorization === undefined ? {} : { headers: { authorization } },
    )
    expect([response.status, errorOf(await response.json()).code]).toEqual([
      401,
      'VGATE_LOGIN_REQUIRED',
    ])
  })

  it('a cookie or a query is no token, and no cookie is ever set', async () => {
    const { send, login } = await setup()
    const token = await login('ana', [])
    const response = await send('GET', `/v1/whoami?access_token=${token}`, {
      headers: { cookie: `token=${token}` },
    })
    expect(response.status).toBe(401)
    expect(response.headers.get('set-cookie')).toBeNull()
  })

  it('a page of any origin is refused, and never allowed by CORS', async () => {
    const { send, login } = await setup()
    const authorization = `Bearer ${await login('ana', [])}`
    for (const origin of ['https://evil.example', 'null', 'https://vgate.example.com']) {
      for (const method of ['GET', 'OPTIONS']) {
        const response = await send(method, '/v1/whoami', { headers: { origin, authorization } })
        expect(response.status).toBe(403)
        expect(response.headers.get('access-control-allow-origin')).toBeNull()
        expect(errorOf(await response.json()).message).toBe('the control API is not for browsers')
      }
    }
  })

  it.each([
    ['DELETE', '/v1/whoami', 'GET, HEAD'],
    ['GET', '/v1/token', 'POST'],
    ['PUT', '/v1/sessions/x', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
  ])('%s %s is answered with what the path takes', async (method, path, allow) => {
    const { call } = await setup()
    const answer = await call(method, path)
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, allow])
    expect(errorOf(answer.json)).toMatchObject({
      code: 'VGATE_METHOD_UNKNOWN',
      message: `this path answers ${allow} only`,
    })
  })

  it.each([
    '/v1',
    '/v1/whoami/',
    '/V1/whoami',
    '/v1//whoami',
    '/v2/whoami',
    '/.well-known/vgate/x',
  ])('%s is nothing', async (path) => {
    const { call } = await setup()
    const answer = await call('GET', path)
    expect([answer.status, errorOf(answer.json).code]).toEqual([404, 'VGATE_NOT_FOUND'])
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  })

  it('an unexpected failure says nothing to the caller and something to the log', async () => {
    const { call, login, store, logged } = await setup()
    const token = await login('ana', [])
    store.listSessions = () => Promise.reject(new Error('planted detail'))
    const answer = await call('GET', '/v1/sessions', token)
    expect(answer.status).toBe(500)
    expect(errorOf(answer.json)).toEqual({
      code: 'VGATE_UNEXPECTED',
      message: 'the gateway failed; its log says why',
    })
    expect(logged).toMatchObject([
      { event: 'control.failed', failure: { message: 'planted detail' } },
    ])
  })
})
