// Owns the way out through an HTTP proxy: which address needs one (HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in capitals or
// not), and the agent that goes through it. Must never send this machine's own addresses to a proxy, and never let the
// proxy's password into a message: it is out of the address before anything else sees it.

import http, { type Agent, type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import proxyFromEnv from 'proxy-from-env'
import { VgateError } from '../core/errors.js'
import { isLoopbackHost } from './loopback.js'

export interface HttpProxy {
  /** Scheme, host and port, without user and password: may be shown. */
  readonly origin: string
  /** `Proxy-Authorization`, where the address had a user. */
  readonly authorization?: string
}

/** The proxy for this address, or undefined to go straight. Throws VGATE_USAGE for a setting that is not an http(s) address. */
export function proxyFor(url: URL): HttpProxy | undefined {
  if (isLoopbackHost(url.hostname)) return undefined
  // A tunnel goes the way of the calls before it.
  const protocol =
    url.protocol === 'wss:' ? 'https:' : url.protocol === 'ws:' ? 'http:' : url.protocol
  const setting = proxyFromEnv.getProxyForUrl(`${protocol}//${url.host}/`)
  if (setting === '') return undefined
  const proxy = URL.canParse(setting) ? new URL(setting) : undefined
  if (proxy === undefined || (proxy.protocol !== 'http:' && proxy.protocol !== 'https:')) {
    throw new VgateError('VGATE_USAGE', 'HTTPS_PROXY or HTTP_PROXY is not an http address', {
      hint: 'for instance http://proxy.example.com:3128',
    })
  }
  if (proxy.username === '' && proxy.password === '') return { origin: proxy.origin }
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  return {
    origin: proxy.origin,
    authorization: `Basic ${Buffer.from(user).toString('base64')}`,
  }
}

/** An agent for one request that goes through the proxy by CONNECT; `refused` is told when the proxy says no. */
export async function proxyAgent(
  proxy: HttpProxy,
  ca: readonly string[] | undefined,
  refused: (error: VgateError) => void,
): Promise<Agent> {
  const { HttpsProxyAgent } = await import('https-proxy-agent')
  const { origin, authorization } = proxy
  const agent = new HttpsProxyAgent(origin, {
    keepAlive: false,
    ...(ca === undefined ? {} : { ca: [...ca] }),
    ...(authorization === undefined ? {} : { headers: { 'Proxy-Authorization': authorization } }),
  })
  agent.once('proxyConnect', (answer: Pick<IncomingMessage, 'statusCode'>) => {
    if (answer.statusCode !== 200) refused(proxyRefusal(proxy, answer.statusCode ?? 0))
  })
  return agent
}

/** A connection through the proxy to `HOST:PORT`, to speak TLS over. Rejects with the proxy's refusal, or with Node's own error when there is no proxy. */
export function throughProxy(
  proxy: HttpProxy,
  to: string,
  options: { readonly ca?: readonly string[] | undefined; readonly timeout: number },
): Promise<Socket> {
  const send = proxy.origin.startsWith('https:') ? https.request : http.request
  const { ca, timeout } = options
  const { authorization } = proxy
  return new Promise((resolve, reject) => {
    const asking = send(proxy.origin, {
      method: 'CONNECT',
      path: to,
      agent: false,
      timeout,
      headers: {
        host: to,
        ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }),
      },
      ...(ca === undefined ? {} : { ca: [...ca] }),
    })
    asking.once('connect', (answer, socket: Socket) => {
      if (answer.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(proxyRefusal(proxy, answer.statusCode ?? 0))
    })
    asking.once('timeout', () => asking.destroy(new Error(`no answer within ${timeout / 1000} s`)))
    asking.once('error', reject)
    asking.end()
  })
}

function proxyRefusal(proxy: HttpProxy, status: number): VgateError {
  const hint =
    status === 407
      ? 'put user and password into HTTPS_PROXY: http://user:password@host:port'
      : 'ask who runs the proxy to let you through, or name the gateway in NO_PROXY'
  return new VgateError(
    'VGATE_GATEWAY_UNREACHABLE',
    `the proxy ${proxy.origin} refused the way with status ${status}`,
    { hint },
  )
}
