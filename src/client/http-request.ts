// Owns one HTTP exchange with a gateway or a provider: verified TLS, limits of time and size, errors that say
// what to check. Must never follow a redirect or send a token anywhere but where it was told.

import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { rootCertificates } from 'node:tls'
import { VgateError } from '../core/errors.js'
import { isLoopbackHost } from './loopback.js'
import { type HttpProxy, proxyAgent, proxyFor } from './proxy.js'

const TIMEOUT_MS = 15_000
const ANSWER_BYTES = 4 * 1024 * 1024

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** PEM of an extra authority, besides those that Node brings. */
  readonly ca?: string
  /** Bytes of answer that are taken; default 4 MiB. */
  readonly limit?: number
  /** Takes a good answer part by part, of any length; its `body` is empty then. */
  readonly into?: (part: Buffer) => Promise<void>
  readonly signal?: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

/** The gateway's address as an origin. Throws VGATE_USAGE for another scheme, a path, or plain http beyond loopback. */
export function gatewayOrigin(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new VgateError('VGATE_USAGE', `not a URL: ${JSON.stringify(text)}`, {
      hint: 'for instance https://vgate.example.com',
    })
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new VgateError('VGATE_USAGE', `a gateway is reached by https, not ${url.protocol}`)
  }
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    throw new VgateError('VGATE_USAGE', `plain http to ${url.host} is refused`, {
      hint: 'use https; http is for this machine only',
    })
  }
  if (
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== '' ||
    url.pathname !== '/'
  ) {
    throw new VgateError(
      'VGATE_USAGE',
      'a gateway URL has a scheme, a host and a port, and nothing else',
    )
  }
  return url.origin
}

/** Reads a PEM file of authorities. */
export async function readAuthority(file: string): Promise<string> {
  try {
    const text = await readFile(file, 'utf8')
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  } catch (cause) {
    throw new VgateError('VGATE_USAGE', `cannot read the authority file ${file}`, {
      cause,
      hint: 'check --ca or VGATE_CA_FILE',
    })
  }
  throw new VgateError('VGATE_USAGE', `${file} holds no certificate`, {
    hint: '--ca takes a PEM file',
  })
}

/** Authorities for TLS: Node's own and the extra one; undefined where there is no extra one. */
export function authorities(ca: string | undefined): string[] | undefined {
  return ca === undefined ? undefined : [...rootCertificates, ca]
}

/** One exchange, through a proxy where the environment names one. Rejects with VGATE_GATEWAY_UNREACHABLE when there is no whole answer. */
export async function sendHttp(url: URL, request: HttpRequest): Promise<HttpAnswer> {
  const proxy = proxyFor(url)
  const ca = authorities(request.ca)
  let refusal: VgateError | undefined
  const agent =
    proxy === undefined
      ? false
      : await proxyAgent(proxy, ca, (error) => {
          refusal = error
        })
  try {
    const answer = await exchange(url, request, {
      agent,
      timeout: TIMEOUT_MS,
      ...(ca === undefined ? {} : { ca }),
    })
    if (refusal === undefined) return answer
  } catch (error) {
    if (refusal === undefined) throw unreachable(url, error, proxy)
  }
  throw refusal
}

function exchange(
  url: URL,
  request: HttpRequest,
  options: https.RequestOptions,
): Promise<HttpAnswer> {
  const send = url.protocol === 'https:' ? https.request : http.request
  return new Promise((resolve, reject) => {
    const outgoing = send(url, {
      ...options,
      method: request.method,
      headers: {
        'user-agent': 'vgate',
        accept: 'application/json',
        ...request.headers,
        ...(request.body === undefined
          ? {}
          : { 'content-length': String(Buffer.byteLength(request.body)) }),
      },
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    outgoing.on('timeout', () =>
      outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)),
    )
    outgoing.on('error', reject)
    outgoing.on('response', (answer) => {
      const { into } = request
      const good = answer.statusCode !== undefined && answer.statusCode < 300
      const taken =
        good && into !== undefined
          ? handOn(answer, into)
          : collect(answer, request.limit ?? ANSWER_BYTES)
      taken.then(
        (body) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }),
        reject,
      )
    })
    outgoing.end(request.body)
  })
}

async function handOn(
  answer: http.IncomingMessage,
  into: (part: Buffer) => Promise<void>,
): Promise<Buffer> {
  for await (const part of answer) if (Buffer.isBuffer(part)) await into(part)
  return Buffer.alloc(0)
}

async function collect(answer: http.IncomingMessage, limit: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of answer) {
    if (!Buffer.isBuffer(part)) continue
    size += part.length
    if (size > limit) throw new Error(`the answer is longer than ${limit} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Names what went wrong with a connection, and what to check. An abort passes through as it is. */
export function unreachable(url: URL, error: unknown, proxy?: HttpProxy): unknown {
  if (error instanceof Error && error.name === 'AbortError') return error
  if (error instanceof VgateError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const text = error instanceof Error ? error.message : String(error)
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|ERR_TLS/.test(code)) {
    return new VgateError(
      'VGATE_GATEWAY_UNREACHABLE',
      `the certificate of ${url.origin} is not trusted: ${code}`,
      {
        cause: error,
        hint: 'name its authority with --ca FILE or VGATE_CA_FILE; vgate never connects without verifying',
      },
    )
  }
  const why: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'the name does not resolve',
    EAI_AGAIN: 'the name does not resolve',
    ECONNRESET: 'the connection was cut',
    EPROTO: 'it does not speak TLS there',
  }
  return new VgateError(
    'VGATE_GATEWAY_UNREACHABLE',
    `cannot reach ${url.origin}${proxy === undefined ? '' : ` through the proxy ${proxy.origin}`}: ${why[code] ?? (text || code)}`,
    {
      cause: error,
      hint:
        proxy === undefined
          ? 'check the address (--gateway, VGATE_GATEWAY), the network, and that it runs'
          : 'check HTTPS_PROXY and NO_PROXY, the address (--gateway, VGATE_GATEWAY), and that it runs',
    },
  )
}
