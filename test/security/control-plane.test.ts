// Attacks on the control API of a running gateway: who may call it, what of others can be reached, requests that no
// client would send, names of other hosts, and connections that are held open.

import { createHmac } from 'node:crypto'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'
import { openRaw, rawHttp, request } from '../support/raw-http.js'
import { storedLogin } from '../support/stored-login.js'

const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
  - { who: { group: contractors }, role: reader, targets: [prod-vectors] }
`
const PATHS = [
  ['GET', '/v1/whoami'],
  ['GET', '/v1/targets'],
  ['POST', '/v1/grants'],
  ['POST', '/v1/logout'],
  ['GET', '/v1/sessions'],
  ['GET', '/v1/sessions/ses_00000000000000000000'],
  ['GET', '/v1/sessions/ses_00000000000000000000/recording'],
] as const

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

describe.skipIf(!hasPostgres('plain'))('the control API', () => {
  let postgres: TestPostgres
  let product: Product
  let port: number
  let host: string
  let session: string
  let alice: string
  let carol: string

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const sql = 'CREATE TABLE docs(id int PRIMARY KEY)'
    const database = await postgres.createDatabase({ sql })
    product = await startProduct({ postgres, database, policy: POLICY })
    await Promise.all([product.login('alice'), product.login('carol')])
    port = Number(new URL(product.url).port)
    host = `Host: 127.0.0.1:${port}`
    alice = storedLogin(product, 'alice').accessToken
    carol = storedLogin(product, 'carol').accessToken
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    session = String((await connection.event('ready'))['session'])
    await connection.stop()
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const call = async (method: string, path: string, token?: string, body?: string) => {
    const answer = await fetch(`${product.url}${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    })
    return { status: answer.status, text: await answer.text() }
  }

  /** Tokens that are not alice's, made from hers: she knows its form and the public keys. */
  const forged = (): [string, string | undefined][] => {
    const [head = '', body = '', signature = ''] = alice.split('.')
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as {
      principal: { groups: string[] }
    }
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as object
    claims.principal.groups.push('corp:data-owners')
    const publicKey = readFileSync(join(product.directory, 'data', 'keys', 'keys.json'))
    const hs = `${part({ ...header, alg: 'HS256' })}.${part(claims)}`
    const mac = createHmac('sha256', publicKey).update(hs).digest('base64url')
    return [
      ['no token', undefined],
      ['not a token', 'aaaa'],
      ['alg none', `${part({ ...header, alg: 'none' })}.${part(claims)}.`],
      ['alg none, the old signature', `${part({ ...header, alg: 'none' })}.${body}.${signature}`],
      ['HS256 with a public file', `${hs}.${mac}`],
      ['more groups, the old signature', `${head}.${part(claims)}.${signature}`],
      ['no signature', `${head}.${body}.`],
      ['a signature of zeros', `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`],
      ['b64=false', `${part({ ...header, b64: false, crit: ['b64'] })}.${body}.${signature}`],
      [
        'a kid that is a path',
        `${part({ ...header, kid: '../../dev/null' })}.${body}.${signature}`,
      ],
      ['its refresh token', storedLogin(product, 'alice').refreshToken],
    ]
  }

  it.each(PATHS)('%s %s takes no forged token', async (method, path) => {
    for (const [name, token] of forged()) {
      const { status } = await call(method, path, token, method === 'POST' ? '{}' : undefined)
      expect({ name, status }).toEqual({ name, status: 401 })
    }
  })

  it.each([
    ['nothing', ''],
    ['alg none', `${part({ alg: 'none' })}.${part({ sub: 'bob' })}.`],
    ['a key of its own', `${part({ alg: 'ES256', jwk: {} })}.${part({ sub: 'bob' })}.AAAA`],
    ['unknown members in the body', 'x", "groups": ["data-owners'],
  ])('exchanges no identity token with %s', async (_, token) => {
    const body = `{"provider":"corp","id_token":"${token}"}`
    const { status } = await call('POST', '/v1/token', undefined, body)
    expect([400, 401]).toContain(status)
  })

  it('takes no access token for an identity token', async () => {
    const body = JSON.stringify({ provider: 'corp', id_token: alice })
    expect((await call('POST', '/v1/token', undefined, body)).status).toBe(401)
  })

  it('shows nothing of the sessions of others', async () => {
    expect(JSON.parse((await call('GET', '/v1/sessions', carol)).text)).toEqual({ sessions: [] })
    for (const path of [`/v1/sessions/${session}`, `/v1/sessions/${session}/recording`]) {
      expect((await call('GET', path, alice)).status).toBe(200)
      const theirs = await call('GET', path, carol)
      const nobodys = await call('GET', path.replace(session, 'ses_00000000000000000000'), carol)
      expect(theirs).toEqual(nobodys)
      expect(theirs.status).toBe(404)
    }
    expect((await call('GET', '/v1/sessions?principal=alice', carol)).status).toBe(400)
  })

  it.each([
    '..%2f..%2fkeys%2frecording.pem',
    '%2e%2e%2fkeys%2frecording.pem',
    '..%5c..%5ckeys',
    'ses_00000000000000000000%00',
    'ses_00000000000000000000%2f..%2f..%2fkeys',
    `${'a'.repeat(5000)}`,
    '%ff%fe',
    'SES_00000000000000000000',
    'ses_0000000000000000000%0a',
  ])('reaches no file by the id %s', async (id) => {
    for (const path of [`/v1/sessions/${id}`, `/v1/sessions/${id}/recording`]) {
      const line = `GET ${path}`
      const headers = [host, `Authorization: Bearer ${alice}`, 'Connection: close']
      const { status, text } = await rawHttp(port, request(line, headers))
      expect([400, 404]).toContain(status)
      expect(text).not.toMatch(/PRIVATE KEY|at .+:\d+:\d+/)
    }
  })

  it.each<[string, number, string, string[], string?]>([
    ['another host (DNS rebinding)', 403, 'GET /v1/keys', ['Host: evil.example']],
    ['another host at our port', 403, 'GET /v1/keys', ['Host: evil.example:8443']],
    ['a name that looks like loopback', 403, 'GET /v1/keys', ['Host: 127.0.0.1.evil.example']],
    ['two hosts', 400, 'GET /v1/keys', ['HOST', 'Host: evil.example']],
    ['no host', 400, 'GET /v1/keys', []],
    ['an absolute target', 400, 'GET http://evil.example/v1/keys', ['HOST']],
    ['an absolute target of ours', 400, 'GET https://127.0.0.1/v1/keys', ['HOST']],
    ['OPTIONS *', 400, 'OPTIONS *', ['HOST']],
    ['a page of any origin', 403, 'GET /v1/keys', ['HOST', 'Origin: http://127.0.0.1']],
    ['a page without origin', 403, 'GET /', ['HOST', 'Origin: null']],
    ['TRACE', 405, 'TRACE /v1/keys', ['HOST']],
    ['a preflight', 403, 'OPTIONS /v1/grants', ['HOST', 'Origin: http://evil.example']],
    ['OPTIONS', 405, 'OPTIONS /v1/grants', ['HOST']],
    ['a method nobody knows', 400, 'GRANT /v1/keys', ['HOST']],
    [
      'length and chunks',
      400,
      'POST /v1/token',
      ['HOST', 'Content-Length: 5', 'Transfer-Encoding: chunked'],
      '0\r\n\r\nGET /',
    ],
    [
      'two lengths',
      400,
      'POST /v1/token',
      ['HOST', 'Content-Length: 5', 'Content-Length: 6'],
      'aaaaaa',
    ],
    ['a space before the colon', 400, 'POST /v1/token', ['HOST', 'Content-Length : 5'], 'aaaaa'],
    [
      'two encodings',
      400,
      'POST /v1/token',
      ['HOST', 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
      '0\r\n\r\n',
    ],
    [
      'an unknown encoding',
      400,
      'POST /v1/token',
      ['HOST', 'Transfer-Encoding: xchunked'],
      '0\r\n\r\n',
    ],
    ['a folded header', 400, 'GET /v1/keys', ['HOST', 'X: a', '\tb']],
    ['a NUL in a header', 400, 'GET /v1/keys', ['HOST', 'X: a\0b']],
    ['headers of 20 KB', 431, 'GET /v1/keys', ['HOST', `X: ${'a'.repeat(20_000)}`]],
    [
      'a compressed body',
      400,
      'POST /v1/token',
      ['HOST', 'Content-Type: application/json', 'Content-Encoding: gzip', 'Content-Length: 2'],
      '\x1f\x8b',
    ],
    [
      'a body of another type',
      400,
      'POST /v1/token',
      ['HOST', 'Content-Type: text/plain', 'Content-Length: 2'],
      '{}',
    ],
    [
      'a body that is too long',
      400,
      'POST /v1/token',
      ['HOST', 'Content-Type: application/json', 'Content-Length: 9999999999'],
      'a'.repeat(200_000),
    ],
  ])('refuses %s', async (_, status, line, headers, body) => {
    const lines = headers.map((header) => (header === 'HOST' ? host : header))
    const bytes = request(line, [...lines, 'Connection: close'], body ?? '')
    const answer = await rawHttp(port, bytes, 3_000)
    expect(answer).toMatchObject({ status, answers: 1, closed: true })
  })

  it.each(['localhost', '127.0.0.1', '[::1]', 'LOCALHOST:1234'])('answers as %s', async (name) => {
    const headers = [`Host: ${name}`, 'Connection: close']
    expect((await rawHttp(port, request('GET /v1/keys', headers))).status).toBe(200)
  })

  it.each([
    ['another path', '/', 404, []],
    ['the path and more', '/v1/tunnel/x', 404, []],
    ['the path in other letters', '/v1/%74unnel', 404, []],
    ['no path', '//', 404, []],
    ['an absolute target', 'http://evil.example/v1/tunnel', 400, []],
    ['another host', '/v1/tunnel', 403, ['Host: evil.example']],
    ['a page', '/v1/tunnel', 403, ['HOST', 'Origin: http://localhost']],
    ['no subprotocol', '/v1/tunnel', 400, []],
    [
      'spaces for a subprotocol',
      '/v1/tunnel',
      400,
      ['HOST', `Sec-WebSocket-Protocol: ${' '.repeat(8000)}x`],
    ],
    ['no token', '/v1/tunnel', 401, ['HOST', 'Sec-WebSocket-Protocol: vgate.tunnel.v1']],
    [
      'a forged token',
      '/v1/tunnel',
      401,
      ['HOST', 'Sec-WebSocket-Protocol: vgate.tunnel.v1', 'Authorization: Bearer a.b.c'],
    ],
  ] as const)('upgrades no request with %s, and lets go of it', async (_, path, status, more) => {
    const headers = (more.length === 0 ? ['HOST'] : more).map((one) =>
      one === 'HOST' ? host : one,
    )
    const handshake = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]
    const socket = await openRaw(port)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    // Its own side stays open: only the gateway can end it, and then a write shows that it did.
    const gone = new Promise((resolve) => socket.once('close', resolve))
    const nudge = setInterval(() => socket.write('x'), 100)
    socket.write(request(`GET ${path}`, [...headers, ...handshake]))
    await gone
    clearInterval(nudge)
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  it('leaves no file open after HEAD of a recording', async () => {
    const files = (): string[] => {
      const folder = `/proc/${product.gatewayPid()}/fd`
      return readdirSync(folder).flatMap((name) => {
        try {
          return [readlinkSync(join(folder, name))]
        } catch {
          return [] // closed meanwhile
        }
      })
    }
    for (let left = 5; left > 0; left -= 1) {
      const answer = await fetch(`${product.url}/v1/sessions/${session}/recording`, {
        method: 'HEAD',
        headers: { authorization: `Bearer ${alice}` },
      })
      expect(answer.status).toBe(200)
      expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(100)
    }
    expect(files().filter((name) => name.endsWith('.vgr') && name.includes('ses_'))).toEqual([])
  })

  it('cuts slow requests, also those that never begin, and stays quick for others', async () => {
    const slow = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const socket = await openRaw(port)
        socket.resume()
        if (index % 2 === 0) socket.write(`GET /v1/keys HTTP/1.1\r\n${host}\r\nX: `)
        return new Promise<void>((resolve) => {
          socket.once('end', () => socket.destroy())
          socket.once('close', () => resolve())
        })
      }),
    )
    const started = Date.now()
    expect((await call('GET', '/v1/whoami', alice)).status).toBe(200)
    expect(Date.now() - started).toBeLessThan(5_000)
    await Promise.all(slow)
    expect(Date.now() - started).toBeLessThan(40_000)
  })

  it('stops in time with a refused upgrade and a silent connection open', async () => {
    const refused = await openRaw(port)
    refused.write(request('GET /', [host, 'Connection: Upgrade', 'Upgrade: websocket']))
    const silent = await openRaw(port)
    const started = Date.now()
    expect((await product.stopGateway()).exitCode).toBe(0)
    expect(Date.now() - started).toBeLessThan(20_000)
    refused.destroy()
    silent.destroy()
    await product.startGateway()
  })
})
