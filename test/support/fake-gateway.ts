// Owns a gateway in miniature for the client's tests: real HTTP, a real WebSocket, the real mux, canned answers and
// endpoints that echo or stall. It decides nothing and records nothing.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { type ClientMessage, type GatewayMessage, TUNNEL_SUBPROTOCOL } from '../../src/core/api.js'
import { bindMux } from '../../src/tunnel/bind.js'
import { MAX_MESSAGE_BYTES } from '../../src/tunnel/frame.js'
import type { Mux } from '../../src/tunnel/mux.js'
import type { MuxStream } from '../../src/tunnel/stream.js'

export const PRINCIPAL = {
  id: 'usr_00000000000000000001',
  kind: 'person',
  provider: 'corp',
  issuer: 'http://127.0.0.1',
  subject: 'ana',
  name: 'ana@example.com',
  groups: ['corp:data-science'],
}
export const KEY = {
  id: 'key_one',
  algorithm: 'Ed25519',
  public: Buffer.alloc(32, 7).toString('base64'),
  since: '2026-01-01T00:00:00.000Z',
}

type Answer = readonly [status: number, body: object | Buffer]
type Route = (body: string, request: IncomingMessage) => Answer

export interface FakeTunnel {
  readonly socket: WebSocket
  readonly mux: Mux
  readonly opened: ClientMessage & { type: 'open_session' }
  tell(message: GatewayMessage): void
}

export interface FakeGateway {
  readonly url: string
  /** `GET /v1/whoami` → answer; set or replace any. */
  readonly routes: Map<string, Route>
  readonly tunnels: FakeTunnel[]
  /** Tokens that were presented. */
  readonly bearers: string[]
  readonly closedSessions: () => number
  /** What a stream opened to an endpoint does. Default: echo with backpressure. */
  onStream: (stream: MuxStream) => void
  onOpen: (tunnel: FakeTunnel) => void
  refuseTunnel: Answer | undefined
  close(): Promise<void>
}

/** Sends back what comes, and takes no more than the peer takes back. */
export function echo(stream: MuxStream): void {
  let owed = 0
  stream.attach({
    data: (bytes) => {
      owed += bytes.length
      if (!stream.write(bytes)) return
      stream.consumed(owed)
      owed = 0
    },
    drain: () => {
      stream.consumed(owed)
      owed = 0
    },
    end: () => stream.end(),
    reset: () => {},
  })
}

export async function startFakeGateway(
  options: {
    readonly issuer?: string
    readonly tls?: { readonly cert: string; readonly key: string }
    /** The subprotocol that it picks. */
    readonly subprotocol?: string
    readonly versions?: readonly number[]
    readonly maxStreams?: number
  } = {},
): Promise<FakeGateway> {
  let closedSessions = 0
  const server = options.tls === undefined ? createServer() : createTlsServer(options.tls)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`
  const soon = (ms: number): string => new Date(Date.now() + ms).toISOString()
  let exchanges = 0
  const routes = new Map<string, Route>([
    [
      'GET /.well-known/vgate',
      () => [
        200,
        {
          v: 1,
          name: 'vgate',
          version: '0.1.0',
          api: { versions: options.versions ?? [1] },
          tunnel: { path: '/v1/tunnel', versions: options.versions ?? [1] },
          providers: [
            {
              name: 'corp',
              type: 'oidc',
              issuer: options.issuer ?? 'http://127.0.0.1:1',
              client_id: 'vgate-cli',
              scopes: ['openid', 'groups'],
            },
          ],
          keys: [KEY],
          time: soon(0),
        },
      ],
    ],
    [
      'POST /v1/token',
      () => {
        exchanges += 1
        return [
          200,
          {
            access_token: `token-${exchanges}`,
            token_type: 'Bearer',
            expires_at: soon(900_000),
            principal: PRINCIPAL,
          },
        ]
      },
    ],
    ['POST /v1/logout', () => [200, {}]],
    [
      'GET /v1/whoami',
      () => [
        200,
        { principal: PRINCIPAL, expires_at: soon(900_000), administrator: false, auditor: true },
      ],
    ],
    [
      'GET /v1/targets',
      () => [
        200,
        {
          targets: [
            {
              name: 'prod-vectors',
              database: 'pgvector',
              roles: [
                { name: 'reader', approval: false },
                { name: 'owner', approval: true },
              ],
            },
          ],
        },
      ],
    ],
    [
      'POST /v1/grants',
      (body) => {
        const { target } = JSON.parse(body) as { target: string }
        if (target !== 'prod-vectors') {
          return [
            404,
            {
              error: {
                code: 'VGATE_TARGET_UNKNOWN',
                message: `no target ${target} is open to you`,
                hint: 'see `vgate targets`',
              },
            },
          ]
        }
        return [
          200,
          {
            grant: {
              id: 'grt_1',
              target,
              database: 'pgvector',
              database_name: 'vectors',
              roles: ['reader'],
              starts_at: soon(0),
              ends_at: soon(3_600_000),
              notes: ['owner needs approval'],
            },
          },
        ]
      },
    ],
  ])
  const wss = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: () => options.subprotocol ?? TUNNEL_SUBPROTOCOL,
  })
  const gateway: FakeGateway = {
    url,
    routes,
    tunnels: [],
    bearers: [],
    closedSessions: () => closedSessions,
    onStream: echo,
    onOpen: (tunnel) => {
      tunnel.tell({
        type: 'session',
        session: 'ses_1',
        target: 'prod-vectors',
        database: 'pgvector',
        database_name: 'vectors',
        endpoints: ['postgres'],
        expires_at: soon(3_600_000),
      })
    },
    refuseTunnel: undefined,
    close: async () => {
      for (const client of wss.clients) client.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void (async () => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      const bearer = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1]
      if (bearer !== undefined) gateway.bearers.push(bearer)
      const route =
        routes.get(`${request.method} ${request.url}`) ??
        routes.get(`${request.method} ${request.url?.split('?')[0]}`)
      const [status, answer] = route?.(body, request) ?? [
        404,
        { error: { code: 'VGATE_NOT_FOUND', message: `nothing at ${request.url}` } },
      ]
      response.writeHead(status, {
        'content-type': Buffer.isBuffer(answer) ? 'application/octet-stream' : 'application/json',
      })
      response.end(Buffer.isBuffer(answer) ? answer : JSON.stringify(answer))
    })()
  })
  server.on('upgrade', (request, socket, head) => {
    gateway.bearers.push(/^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? '')
    if (gateway.refuseTunnel !== undefined) {
      const text = JSON.stringify(gateway.refuseTunnel[1])
      socket.end(
        `HTTP/1.1 ${gateway.refuseTunnel[0]} No\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`,
      )
      return
    }
    wss.handleUpgrade(request, socket, head, (websocket) => {
      const mux: Mux = bindMux(
        websocket,
        {
          opened: (stream) => gateway.onStream(stream),
          control: (value) => {
            const message = value as ClientMessage
            if (message.type === 'close_session') {
              closedSessions += 1
              return
            }
            const tunnel = {
              socket: websocket,
              mux,
              opened: message,
              tell: (said: GatewayMessage) => mux.sendControl(said),
            }
            gateway.tunnels.push(tunnel)
            gateway.onOpen(tunnel)
          },
          closed: () => {},
        },
        { side: 'gateway', maxStreams: options.maxStreams ?? 100 },
      )
    })
  })
  return gateway
}
