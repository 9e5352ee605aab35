// Owns the checks of the way to a gateway: name, port, certificate, and whether somebody stands between. It speaks
// TLS without trust, to look at the certificate: nothing may ever be sent over these connections.

import { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type DetailedPeerCertificate } from 'node:tls'
import { VgateError } from '../core/errors.js'
import type { Finding } from './doctor.js'
import type { GatewayAddress } from './gateway-api.js'
import { authorities } from './http-request.js'
import { type HttpProxy, proxyFor, throughProxy } from './proxy.js'

const TIMEOUT_MS = 5_000
const DAY_MS = 86_400_000
const EXPIRES_SOON_MS = 14 * DAY_MS

interface Seen {
  readonly chain: readonly DetailedPeerCertificate[]
  /** Why it is not trusted, or undefined. */
  readonly problem: string | undefined
}

/** Proxy or name, port and certificate, until one fails. */
export async function* examineConnection(gateway: GatewayAddress): AsyncGenerator<Finding> {
  const url = new URL(gateway.url)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  let proxy: HttpProxy | undefined
  try {
    proxy = proxyFor(url)
  } catch (error) {
    const { message, hint } = error as VgateError
    return yield { check: 'proxy', status: 'fail', code: 'VGATE_USAGE', message, hint: hint ?? '' }
  }
  let socket: Socket | undefined
  if (proxy === undefined) {
    for await (const finding of examineDirect(host, port)) {
      yield finding
      if (finding.status === 'fail') return
    }
  } else {
    const found = await reachThrough(proxy, host, port, gateway.ca)
    if ('check' in found) return yield found
    socket = found
    yield {
      check: 'proxy',
      status: 'ok',
      message: `${host}:${port} is reached through ${proxy.origin}, as HTTPS_PROXY says`,
    }
  }
  if (url.protocol !== 'https:')
    return yield {
      check: 'certificate',
      status: 'ok',
      message: 'plain http, on this machine alone',
    }
  const seen = await look(host, port, gateway.ca, socket)
  if (typeof seen === 'string') {
    const hint = 'it may not be a gateway, or something between ends TLS'
    return yield refused('certificate', `no TLS at ${host}:${port}: ${seen}`, hint)
  }
  yield judge(seen, host, gateway.ca)
}

const refused = (check: string, message: string, hint: string): Finding => ({
  ...{ check, status: 'fail', code: 'VGATE_GATEWAY_UNREACHABLE', message, hint },
})

async function* examineDirect(host: string, port: number): AsyncGenerator<Finding> {
  if (isIP(host) === 0) {
    try {
      const found = await lookup(host, { all: true })
      const addresses = found.map((one) => one.address).join(', ')
      yield { check: 'name', status: 'ok', message: `${host} is ${addresses}` }
    } catch {
      const hint = 'check the name, the VPN and the name server; behind a proxy set HTTPS_PROXY'
      return yield refused('name', `${host} does not resolve`, hint)
    }
  }
  const silence = await reach(host, port)
  if (silence !== undefined) {
    const hint = 'check that the gateway runs, the firewall and the VPN'
    return yield refused('network', `${host}:${port} cannot be reached: ${silence}`, hint)
  }
  yield { check: 'network', status: 'ok', message: `${host}:${port} answers` }
}

/** The way through, or what is wrong with it. The name of the gateway is the proxy's to resolve. */
async function reachThrough(
  proxy: HttpProxy,
  host: string,
  port: number,
  ca: string | undefined,
): Promise<Socket | Finding> {
  const to = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  try {
    return await throughProxy(proxy, to, { ca: authorities(ca), timeout: TIMEOUT_MS })
  } catch (error) {
    if (error instanceof VgateError)
      return refused('proxy', error.message, error.hint ?? 'see HTTPS_PROXY')
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ECONNREFUSED' ? 'nothing listens there' : (code ?? message)
    const hint = 'check HTTPS_PROXY; a gateway in your own network belongs into NO_PROXY'
    return refused('proxy', `the proxy ${proxy.origin} cannot be reached: ${why}`, hint)
  }
}

function reach(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port })
    const done = (problem?: string): void => {
      socket.destroy()
      resolve(problem)
    }
    socket.setTimeout(TIMEOUT_MS, () => done(`no answer within ${TIMEOUT_MS / 1000} s`))
    socket.once('connect', () => done())
    socket.once('error', (error: NodeJS.ErrnoException) =>
      done(error.code === 'ECONNREFUSED' ? 'nothing listens there' : (error.code ?? 'unknown')),
    )
  })
}

function look(
  host: string,
  port: number,
  ca: string | undefined,
  through: Socket | undefined,
): Promise<Seen | string> {
  const trusted = authorities(ca)
  return new Promise((resolve) => {
    const socket = connectTls({
      ...{ host, port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] },
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(trusted === undefined ? {} : { ca: trusted }),
      ...(through === undefined ? {} : { socket: through }),
    })
    const done = (seen: Seen | string): void => {
      socket.destroy()
      resolve(seen)
    }
    socket.setTimeout(TIMEOUT_MS, () => done(`no answer within ${TIMEOUT_MS / 1000} s`))
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'unknown'))
    socket.once('secureConnect', () => {
      const { authorized, authorizationError } = socket
      // Given as text, whatever its type says.
      const problem = authorized ? undefined : String(authorizationError)
      done({ chain: chainOf(socket.getPeerCertificate(true)), problem })
    })
  })
}

function chainOf(first: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const chain: DetailedPeerCertificate[] = []
  // A root is its own issuer; a chain that is not whole ends without one.
  let next: DetailedPeerCertificate | undefined = first
  while (next !== undefined && !chain.includes(next)) {
    chain.push(next)
    next = next.issuerCertificate
  }
  return chain
}

function judge({ chain, problem }: Seen, host: string, ca: string | undefined): Finding {
  const check = 'certificate'
  const [own] = chain
  const issuer = issuerName(own)
  const expected = ca === undefined ? undefined : namesOf(ca)
  const foreign =
    expected !== undefined &&
    !chain.some((one) => expected.prints.includes(one.fingerprint256)) &&
    !expected.names.includes(issuer)
  if (foreign) {
    const message = `the certificate is from ${quoted(issuer)}, and not from the authority that you named (${expected.names.map(quoted).join(', ')}): a proxy intercepts the connection, or the gateway changed its authority`
    const hint = 'ask the network team for an exception, or the administrator for the new authority'
    if (problem === undefined) return { check, status: 'warn', message, hint }
    return { check, status: 'fail', code: 'VGATE_GATEWAY_UNREACHABLE', message, hint }
  }
  if (problem !== undefined) return untrusted(problem, host, issuer, own)
  const until = Date.parse(own?.valid_to ?? '')
  const message = `from ${quoted(issuer)}, until ${new Date(until).toISOString().slice(0, 10)}`
  if (until - Date.now() > EXPIRES_SOON_MS) return { check, status: 'ok', message }
  return { check, status: 'warn', message: `${message}: soon`, hint: 'tell the administrator' }
}

function untrusted(
  problem: string,
  host: string,
  issuer: string,
  own: DetailedPeerCertificate | undefined,
): Finding {
  const known: Readonly<Record<string, readonly [message: string, hint: string]>> = {
    CERT_HAS_EXPIRED: [
      `the certificate ended on ${own?.valid_to ?? 'an unknown day'}`,
      'tell the administrator; if that day is to come, set the clock of this machine',
    ],
    CERT_NOT_YET_VALID: [
      `the certificate begins on ${own?.valid_from ?? 'an unknown day'}`,
      'set the clock of this machine',
    ],
    ERR_TLS_CERT_ALTNAME_INVALID: [
      `the certificate is for ${own?.subjectaltname ?? 'no name'}, and not for ${host}`,
      'use the name that the gateway calls its own, or tell the administrator',
    ],
  }
  const name = Object.keys(known).find((code) => problem.includes(code))
  const [message, hint] = (name === undefined ? undefined : known[name]) ?? [
    `the certificate is from ${quoted(issuer)}, which is not trusted here (${problem}): the gateway has an authority of its own, or a proxy intercepts the connection`,
    'get the authority’s certificate from the administrator, and name it with --ca FILE or VGATE_CA_FILE',
  ]
  return { check: 'certificate', status: 'fail', code: 'VGATE_GATEWAY_UNREACHABLE', message, hint }
}

/** Names and fingerprints of the authorities in a PEM text. */
function namesOf(pem: string): { readonly names: string[]; readonly prints: string[] } {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const all = blocks.map((block) => new X509Certificate(block))
  return {
    names: all.map((one) => /^CN=(.*)$/m.exec(one.subject)?.[1] ?? one.subject),
    prints: all.map((one) => one.fingerprint256),
  }
}

function issuerName(cert: DetailedPeerCertificate | undefined): string {
  const { CN, O } = cert?.issuer ?? {}
  const name = CN ?? O ?? 'nobody'
  return Array.isArray(name) ? String(name[0]) : String(name)
}

const quoted = (text: string): string => JSON.stringify(text)
