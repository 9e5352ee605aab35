// Owns the gateway's HTTP server: its limits, where it listens, and the check that a request is meant for this
// gateway at all. It knows no path.

import {
  createServer as createHttp,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { VgateError } from '../core/errors.js'
import { isLoopbackHost } from '../identity/fetch.js'
import type { GatewayConfig } from './config.js'

const HEADERS_DEADLINE_MS = 10_000
const REQUEST_DEADLINE_MS = 30_000
/** How often the deadlines are looked at; Node's default of 30 s would quadruple the first of them. */
const DEADLINE_CHECK_MS = 2_000
const HEADER_BYTES = 16 * 1024

/** A server for this configuration, not listening yet. What is not meant for it never reaches `listener`. */
export function createServer(config: GatewayConfig, listener: RequestListener): Server {
  const options = {
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: HEADERS_DEADLINE_MS,
    requestTimeout: REQUEST_DEADLINE_MS,
    connectionsCheckingInterval: DEADLINE_CHECK_MS,
    noDelay: true,
  }
  const guarded: RequestListener = (request, response) => {
    const refused = refusalOf(config, request)
    if (refused === undefined) return listener(request, response)
    const body = JSON.stringify({ error: { code: refused.code, message: refused.message } })
    response.writeHead(refused.faces.http, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
  if (config.tls === undefined) return createHttp(options, guarded)
  const { cert, key } = config.tls
  return createHttps({ ...options, cert, key: key.reveal(), minVersion: 'TLSv1.2' }, guarded)
}

/**
 * Why a request (also an upgrade) is not for this gateway, or undefined. One Host, and a path as the target (RFC 9112
 * §3.2), everywhere. On loopback also a host that is ours: a web page whose name was made to resolve to this machine
 * (DNS rebinding) names itself there. Elsewhere TLS answers for the name.
 */
export function refusalOf(
  config: Pick<GatewayConfig, 'listen' | 'publicUrl'>,
  request: Pick<IncomingMessage, 'rawHeaders' | 'url'>,
): VgateError | undefined {
  const { rawHeaders, url } = request
  const hosts = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'host',
  )
  const [host] = hosts
  if (host === undefined || hosts.length > 1)
    return new VgateError('VGATE_USAGE', 'a request names one host')
  if (url?.startsWith('/') !== true)
    return new VgateError('VGATE_USAGE', 'a request names a path of this gateway')
  if (!isLoopbackHost(config.listen.host)) return undefined
  const name = /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase()
  const own = new URL(config.publicUrl)
  if (name !== undefined && (isLoopbackHost(name) || name === own.hostname)) return undefined
  return new VgateError('VGATE_DENIED', 'the host of the request is not this gateway')
}

/** Listens where the configuration says. Rejects with VGATE_PORT_IN_USE or VGATE_CONFIG_INVALID. */
export function bind(server: Server, config: GatewayConfig): Promise<AddressInfo> {
  const { host, port } = config.listen
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(
        new VgateError(
          taken ? 'VGATE_PORT_IN_USE' : 'VGATE_CONFIG_INVALID',
          `cannot listen on ${host}:${port}: ${error.code ?? error.message}`,
          {
            hint: taken
              ? 'stop what listens there, or change gateway.listen'
              : 'check gateway.listen',
          },
        ),
      )
    })
    server.listen({ host, port }, () => {
      const address = server.address()
      if (address === null || typeof address === 'string')
        reject(new Error('a server without an address'))
      else resolve(address)
    })
  })
}
