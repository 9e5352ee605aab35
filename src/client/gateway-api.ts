// Owns the client's side of the control API (core/api.ts): typed calls whose answers are checked. Must never
// decide anything, and never put a token into an error.

import { z } from 'zod'
import {
  type Discovery,
  discovery,
  errorBody,
  type GrantBody,
  type GrantRequest,
  grantBody,
  keysBody,
  PATHS,
  renewBody,
  type SessionBody,
  type SigningKey,
  sessionBody,
  type TargetsBody,
  type TokenBody,
  targetsBody,
  tokenBody,
  type WhoamiBody,
  whoamiBody,
} from '../core/api.js'
import {
  type ApproveRequest,
  type GrantPending,
  grantPendingBody,
  killedBody,
  type RequestRow,
  type RevokedBody,
  type RevokeRequest,
  requestBody,
  requestsBody,
  revokedBody,
} from '../core/api-requests.js'
import {
  type FoundKey,
  type FoundSessions,
  foundKeyBody,
  foundSessionsBody,
  type KeySearchBody,
  SESSION_PATHS,
  type SessionChanges,
  type SessionSearchBody,
  sessionChangesBody,
} from '../core/api-sessions.js'
import { isErrorCode, VgateError } from '../core/errors.js'
import { type HttpAnswer, type HttpRequest, sendHttp } from './http-request.js'
import { versionRefusal } from './versions.js'

export interface GatewayAddress {
  /** An origin, checked by `gatewayOrigin`. */
  readonly url: string
  /** PEM of an extra authority. */
  readonly ca?: string
}

/** What is undefined is not sent. */
type Given<T> = { readonly [K in keyof T]: T[K] | (undefined extends T[K] ? undefined : never) }

export class GatewayApi {
  readonly address: GatewayAddress
  readonly #token: (() => Promise<string>) | undefined

  /** Without `token` only `discovery` and `exchange` work. */
  constructor(address: GatewayAddress, token?: () => Promise<string>) {
    this.address = address
    this.#token = token
  }

  /** Rejects with VGATE_VERSION_UNSUPPORTED when client and gateway have no version in common. */
  async discovery(): Promise<Discovery> {
    const answer = await this.#send({ method: 'GET' }, PATHS.discovery, false)
    const body = parseJson(answer.body)
    const refused = versionRefusal(body)
    if (refused !== undefined) throw refused
    return this.#checked(discovery, body)
  }

  /** A provider's ID token for vgate's own access token. */
  exchange(provider: string, idToken: string): Promise<TokenBody> {
    const body = JSON.stringify({ provider, id_token: idToken })
    return this.#call(tokenBody, { method: 'POST', body }, PATHS.token, false)
  }

  /** A workload's identity token for vgate's own; the gateway finds the provider by the token's issuer. */
  exchangeWorkload(token: string): Promise<TokenBody> {
    const body = JSON.stringify({ token })
    return this.#call(tokenBody, { method: 'POST', body }, PATHS.token, false)
  }

  /** Proves a workload's grant with this access token. */
  renewGrant(grant: string, accessToken: string): Promise<{ proof_until: string }> {
    const headers = { authorization: `Bearer ${accessToken}` }
    const path = `${PATHS.grants}/${encodeURIComponent(grant)}/renew`
    return this.#call(renewBody, { method: 'POST', body: '{}', headers }, path, false)
  }

  async logout(): Promise<void> {
    await this.#send({ method: 'POST', body: '{}' }, PATHS.logout, true)
  }

  whoami(): Promise<WhoamiBody> {
    return this.#call(whoamiBody, { method: 'GET' }, PATHS.whoami)
  }

  targets(): Promise<TargetsBody> {
    return this.#call(targetsBody, { method: 'GET' }, PATHS.targets)
  }

  /** The grant, or what has to be approved first; then the same call again takes it up. */
  requestGrant(request: GrantRequest): Promise<GrantBody | { pending: GrantPending }> {
    const body = JSON.stringify(request)
    return this.#call(
      z.union([grantBody, grantPendingBody]),
      { method: 'POST', body },
      PATHS.grants,
    )
  }

  /** Newest first; all states without `state`. */
  async requests(state?: RequestRow['state']): Promise<RequestRow[]> {
    const path = state === undefined ? PATHS.requests : `${PATHS.requests}?state=${state}`
    return (await this.#call(requestsBody, { method: 'GET' }, path)).requests
  }

  async request(id: string): Promise<RequestRow> {
    const path = `${PATHS.requests}/${encodeURIComponent(id)}`
    return (await this.#call(requestBody, { method: 'GET' }, path)).request
  }

  async approve(id: string, narrowed: ApproveRequest): Promise<RequestRow> {
    return await this.#answer(id, 'approve', narrowed)
  }

  async deny(id: string, reason: string): Promise<RequestRow> {
    return await this.#answer(id, 'deny', { reason })
  }

  revoke(request: RevokeRequest): Promise<RevokedBody> {
    return this.#call(revokedBody, { method: 'POST', body: JSON.stringify(request) }, PATHS.revoke)
  }

  async kill(session: string, reason: string | undefined): Promise<string> {
    const path = `${PATHS.sessions}/${encodeURIComponent(session)}/kill`
    const body = JSON.stringify(reason === undefined ? {} : { reason })
    return (await this.#call(killedBody, { method: 'POST', body }, path)).session
  }

  /** Newest first; `next` is the `before` of the next page. */
  searchSessions(search: Given<SessionSearchBody>): Promise<FoundSessions> {
    const body = JSON.stringify(search)
    return this.#call(foundSessionsBody, { method: 'POST', body }, SESSION_PATHS.search)
  }

  /** Who wrote or deleted a key. */
  searchKey(search: Given<KeySearchBody>): Promise<FoundKey> {
    const body = JSON.stringify(search)
    return this.#call(foundKeyBody, { method: 'POST', body }, SESSION_PATHS.keys)
  }

  /** What changed after a time of the gateway; without one, the time alone. */
  sessionChanges(after: number | undefined): Promise<SessionChanges> {
    const query = after === undefined ? '' : `?after=${after}`
    return this.#call(sessionChangesBody, { method: 'GET' }, `${SESSION_PATHS.watch}${query}`)
  }

  session(id: string): Promise<SessionBody> {
    const path = `${PATHS.sessions}/${encodeURIComponent(id)}`
    return this.#call(sessionBody, { method: 'GET' }, path)
  }

  /** The bytes of a session's recording, as they are on the gateway's disk, handed on as they come. */
  async recording(id: string, into: (part: Buffer) => Promise<void>): Promise<void> {
    const path = `${PATHS.sessions}/${encodeURIComponent(id)}/recording`
    await this.#send({ method: 'GET', into }, path, true)
  }

  async keys(): Promise<SigningKey[]> {
    return (await this.#call(keysBody, { method: 'GET' }, PATHS.keys)).keys
  }

  async #answer(id: string, how: 'approve' | 'deny', given: object): Promise<RequestRow> {
    const path = `${PATHS.requests}/${encodeURIComponent(id)}/${how}`
    const body = JSON.stringify(given)
    return (await this.#call(requestBody, { method: 'POST', body }, path)).request
  }

  async #call<T>(
    schema: z.ZodType<T, unknown>,
    request: HttpRequest,
    path: string,
    authenticated = true,
  ): Promise<T> {
    const answer = await this.#send(request, path, authenticated)
    return this.#checked(schema, parseJson(answer.body))
  }

  #checked<T>(schema: z.ZodType<T>, body: unknown): T {
    const parsed = schema.safeParse(body)
    if (parsed.success) return parsed.data
    throw new VgateError(
      'VGATE_GATEWAY_UNREACHABLE',
      `${this.address.url} does not answer as a vgate gateway`,
      {
        hint: 'check the address; client and gateway may be of different versions',
      },
    )
  }

  async #send(request: HttpRequest, path: string, authenticated: boolean): Promise<HttpAnswer> {
    const headers: Record<string, string> = { ...request.headers }
    if (request.body !== undefined) headers['content-type'] = 'application/json'
    if (authenticated) headers['authorization'] = `Bearer ${await this.#bearer()}`
    const ca = this.address.ca
    const answer = await sendHttp(new URL(path, this.address.url), {
      ...request,
      headers,
      ...(ca === undefined ? {} : { ca }),
    })
    if (answer.status >= 200 && answer.status < 300) return answer
    throw refusalOf(answer.status, answer.body, this.address.url)
  }

  async #bearer(): Promise<string> {
    if (this.#token === undefined)
      throw new VgateError('VGATE_LOGIN_REQUIRED', 'not logged in', { hint: 'run `vgate login`' })
    return this.#token()
  }
}

/** The error that a gateway's answer stands for. */
export function refusalOf(status: number, body: Buffer, url: string): VgateError {
  const parsed = errorBody.safeParse(parseJson(body))
  if (!parsed.success) {
    return new VgateError(
      'VGATE_GATEWAY_UNREACHABLE',
      `${url} answered with status ${status}, and not as a vgate gateway`,
      {
        hint: 'check the address, and what stands between you and the gateway',
      },
    )
  }
  const { code, message, hint, details } = parsed.data.error
  return new VgateError(isErrorCode(code) ? code : 'VGATE_UNEXPECTED', message, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  })
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
