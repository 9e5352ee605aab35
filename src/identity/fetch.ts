// Owns reading JSON from an identity provider: a deadline, a size cap, no redirects. It must never follow a
// provider's document to a place that is less protected than the provider itself.

import { VgateError } from '../core/errors.js'

/** The part of `fetch` that is needed; handed in, so that tests and proxies can take its place. */
export type HttpFetch = (url: string, init: RequestInit) => Promise<Response>

const TIMEOUT_MS = 5000

/** True for a literal loopback address or `localhost`; a name that merely resolves to one does not count. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host === '::1' || isLoopbackV4(host)
}

function isLoopbackV4(host: string): boolean {
  const parts = host.split('.')
  return (
    parts.length === 4 &&
    parts[0] === '127' &&
    parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
  )
}

/** True for https, and for http on loopback; nothing else may carry keys that are trusted. */
export function isProtected(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackHost(url.hostname))
}

export interface FetchedJson {
  readonly body: unknown
  /** The server's own clock from its Date header, in milliseconds, if it told one. */
  readonly date: number | undefined
}

async function readCapped(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > maxBytes) throw new Error(`answered more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}

/** GETs a JSON document. `what` names it in errors. Throws VGATE_UPSTREAM_FAILED. */
export async function fetchJson(
  fetch: HttpFetch,
  url: string,
  what: string,
  maxBytes: number,
): Promise<FetchedJson> {
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (response.status !== 200) {
      await response.body?.cancel()
      throw new Error(`answered with status ${response.status}`)
    }
    const body: unknown = JSON.parse(await readCapped(response, maxBytes))
    const date = Date.parse(response.headers.get('date') ?? '')
    return { body, date: Number.isNaN(date) ? undefined : date }
  } catch (cause) {
    const why = cause instanceof Error && cause.message.startsWith('answered') ? cause.message : ''
    throw new VgateError('VGATE_UPSTREAM_FAILED', `${what} cannot be read${why && `: it ${why}`}`, {
      hint: `check that the gateway reaches ${new URL(url).origin}`,
      cause,
    })
  }
}
