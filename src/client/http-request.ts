// Owns one HTTP exchange with a gateway or a provider: verified TLS, limits of time and size, errors that say
// what to check. Must never follow a redirect or send a token anywhere but where it was told.

import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { rootCertificates } from 'node:tls'
import { VgateError } from '../core/errors.js'

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
  readonly signal?: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

/** Host names for which plain http is accepted: literal loopback. */
export function isLoopbackHost(host: string): boolean {
  return (
    host === 'localhost' || host === '[::1]' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
  )
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

/** One exchange. Rejects with VGATE_GATEWAY_UNREACHABLE when there is no whole answer. */
export function sendHttp(url: URL, request: HttpRequest): Promise<HttpAnswer> {
  const send = url.protocol === 'https:' ? https.request : http.request
  const ca = authorities(request.ca)
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(unreachable(url, error))
    const outgoing = send(url, {
      method: request.method,
      headers: {
        'user-agent': 'vgate',
        accept: 'application/json',
        ...request.headers,
        ...(request.body === undefined
          ? {}
          : { 'content-length': String(Buffer.byteLength(request.body)) }),
      },
      timeout: TIMEOUT_MS,
      agent: false,
      ...(ca === undefined ? {} : { ca }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    outgoing.on('timeout', () =>
      outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)),
    )
    outgoing.on('error', fail)
    outgoing.on('response', (answer) => {
      collect(answer, request.limit ?? ANSWER_BYTES).then(
        (body) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }),
        fail,
      )
    })
    outgoing.end(request.body)
  })
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
export function unreachable(url: URL, error: unknown): unknown {
  if (error instanceof Error && error.name === 'AbortError') return error
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
    `cannot reach ${url.origin}: ${why[code] ?? (text || code)}`,
    {
      cause: error,
      hint: 'check the address (--gateway, VGATE_GATEWAY), the network, and that it runs',
    },
  )
}
