// Owns the shape of `fetch` over this room's own HTTP, for libraries and rooms that are handed one. Must never follow a
// redirect: what answers is what was asked.

import { sendHttp } from './http-request.js'
import { proxyFor } from './proxy.js'

export interface FetchOptions {
  readonly method?: string | undefined
  readonly headers?: Record<string, string>
  readonly body?: unknown
  readonly signal?: AbortSignal | null | undefined
}

/** `fetch` over `sendHttp`: verified TLS, no redirects, at most 4 MiB of answer, through a proxy where one is set. */
export async function fetchBy(
  url: string,
  options: FetchOptions,
  ca: string | undefined,
): Promise<Response> {
  const body =
    options.body === undefined || options.body === null ? undefined : String(options.body)
  const answer = await sendHttp(new URL(url), {
    method: options.method === 'POST' ? 'POST' : 'GET',
    headers: options.headers ?? {},
    ...(body === undefined ? {} : { body }),
    ...(ca === undefined ? {} : { ca }),
    ...(options.signal === undefined || options.signal === null ? {} : { signal: options.signal }),
  })
  const headers = new Headers()
  for (const [name, value] of Object.entries(answer.headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one)
  }
  const empty = answer.status === 204 || answer.status === 304
  return new Response(empty ? null : new Uint8Array(answer.body), {
    status: answer.status,
    headers,
  })
}

/** The global `fetch`, but through a proxy where the environment names one for the address. GET alone. */
export function outboundFetch(url: string, init: RequestInit): Promise<Response> {
  if (proxyFor(new URL(url)) === undefined) return fetch(url, init)
  const headers = Object.fromEntries(new Headers(init.headers))
  return fetchBy(url, { headers, signal: init.signal }, undefined)
}
