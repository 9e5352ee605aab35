// Owns the login of a job: its platform's token for vgate's own, kept in memory alone, made anew before it ends, and
// shown again so that a grant goes on. It must never write a token anywhere.

import type { Discovery, PrincipalBody, TokenBody } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import type { GatewayApi } from './gateway-api.js'
import type { TokenSource } from './platform-token.js'

/** A token this close to its end is made anew, or half its life where that is less. */
const MARGIN_MS = 60_000
/** Clocks that differ by more are named in a refusal. */
const CLOCK_TROUBLE_MS = 5 * 60_000
const RETRY_MS = 30_000

interface Held {
  readonly token: TokenBody
  /** When to make a new one, by this machine's clock. */
  readonly renewAt: number
}

/** The part of the API that is used. */
type Api = Pick<GatewayApi, 'discovery' | 'exchangeWorkload' | 'renewGrant'>

/** The issuer in a token, unproved: to find the provider that it is meant for. */
function issuerOf(token: string): string {
  try {
    const parsed: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    )
    const issuer: unknown =
      typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'iss') : undefined
    return typeof issuer === 'string' ? issuer : ''
  } catch {
    return ''
  }
}

export class WorkloadLogin {
  readonly source: TokenSource
  readonly #api: Api
  readonly #now: () => number
  #discovery: Promise<Discovery> | undefined
  /** How far this machine's clock is ahead of the gateway's, in milliseconds. */
  #ahead = 0
  #held: Held | undefined
  #asking: Promise<Held> | undefined

  constructor(source: TokenSource, api: Api, now: () => number = Date.now) {
    this.source = source
    this.#api = api
    this.#now = now
  }

  /** True when the gateway takes workloads at all. */
  async known(): Promise<boolean> {
    return (await this.#discover()).workloads.length > 0
  }

  /** A valid access token. Rejects with the gateway's refusal, which says which check failed. */
  async accessToken(): Promise<string> {
    return (await this.#current()).token.access_token
  }

  async principal(): Promise<PrincipalBody> {
    return (await this.#current()).token.principal
  }

  /**
   * Shows a fresh token of the platform for this grant. Answers the milliseconds for which it stands now, by the
   * gateway's clock.
   */
  async renew(grant: string): Promise<number> {
    this.#held = undefined
    const { token } = await this.#current()
    const { proof_until } = await this.#api.renewGrant(grant, token.access_token)
    return this.left(proof_until)
  }

  /** Milliseconds until a time of the gateway. */
  left(time: string): number {
    return Date.parse(time) - (this.#now() - this.#ahead)
  }

  #current(): Promise<Held> {
    if (this.#held !== undefined && this.#now() < this.#held.renewAt) {
      return Promise.resolve(this.#held)
    }
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  #discover(): Promise<Discovery> {
    this.#discovery ??= this.#api.discovery().then((found) => {
      this.#ahead = this.#now() - Date.parse(found.time)
      return found
    })
    return this.#discovery
  }

  async #ask(): Promise<Held> {
    const discovery = await this.#discover()
    try {
      const token = await this.#api.exchangeWorkload(await this.#identity(discovery))
      const life = this.left(token.expires_at)
      this.#held = { token, renewAt: this.#now() + life - Math.min(MARGIN_MS, life / 2) }
      return this.#held
    } catch (error) {
      throw this.#named(error)
    }
  }

  /** The platform's token for the provider that proves it. */
  async #identity(discovery: Discovery): Promise<string> {
    const { workloads } = discovery
    const first =
      workloads.find(({ issuer }) => issuer.includes('actions')) ?? workloads[0] ?? undefined
    const audience = first?.audience ?? 'vgate'
    const token = await this.source.token(audience)
    if (!this.source.audience) return token
    const issuer = issuerOf(token)
    const meant = workloads.find((one) => one.issuer === issuer)
    return meant === undefined || meant.audience === audience
      ? token
      : this.source.token(meant.audience)
  }

  /** A refusal of a machine whose clock is wrong says so. */
  #named(error: unknown): unknown {
    if (!(error instanceof VgateError)) return error
    if (error.code !== 'VGATE_TOKEN_INVALID' && error.code !== 'VGATE_TOKEN_EXPIRED') return error
    const minutes = Math.round(Math.abs(this.#ahead) / 60_000)
    const clock =
      Math.abs(this.#ahead) > CLOCK_TROUBLE_MS
        ? `; the clock of this machine is ${minutes} minutes ${this.#ahead > 0 ? 'ahead of' : 'behind'} the gateway's`
        : ''
    return new VgateError(error.code, `${error.message}${clock}`, {
      hint: `${error.hint ?? 'see docs/ci.md'} (the token came from ${this.source.name})`,
      cause: error,
    })
  }
}

/** Runs a function once after `ms`; the answer cancels it. */
export type Later = (ms: number, run: () => void) => () => void

const later: Later = (ms, run) => {
  const timer = setTimeout(run, ms)
  timer.unref()
  return () => clearTimeout(timer)
}

/**
 * Shows fresh tokens for a grant until the answer is called. A failure is tried again: the gateway ends the session
 * when none came in time, and says why.
 */
export function keepProved(
  login: Pick<WorkloadLogin, 'renew' | 'left'>,
  grant: { readonly id: string; readonly proof_until: string },
  schedule: Later = later,
): () => void {
  let cancel = (): void => {}
  let stopped = false
  const arm = (left: number, tried: boolean): void => {
    if (stopped || left <= 0) return
    const end = performance.now() + left
    // A file may hold the same token for a while: then it is looked at again before it ends.
    const wait = tried ? Math.min(RETRY_MS, left / 4) : left - Math.min(2 * MARGIN_MS, left / 2)
    cancel = schedule(Math.max(wait, 100), () => {
      const before = end - performance.now()
      login.renew(grant.id).then(
        (now) => arm(now, now <= before + 1000),
        () => arm(end - performance.now(), true),
      )
    })
  }
  arm(login.left(grant.proof_until), false)
  return () => {
    stopped = true
    cancel()
  }
}
