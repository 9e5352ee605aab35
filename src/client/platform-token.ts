// Owns where a job's identity token comes from, in the order of the contract: given by hand, else the platform's own.
// It must never send a platform's request token anywhere but where the platform said, nor print any token.

import { readFile, stat } from 'node:fs/promises'
import { VgateError } from '../core/errors.js'
import { sendHttp } from './http-request.js'
import { isLoopbackHost } from './loopback.js'
import type { Environment } from './state-dir.js'

/** Where Kubernetes' projected token is, by docs/ci.md. */
export const KUBERNETES_TOKEN = '/var/run/secrets/tokens/vgate'
const MAX_TOKEN = 64 * 1024

export interface TokenSource {
  /** For messages: `VGATE_TOKEN`, `GitHub Actions`. */
  readonly name: string
  /** The platform was detected; nobody named it. */
  readonly detected: boolean
  /** Asking again later may give a token that ends later. */
  readonly fresh: boolean
  /** The token names the audience that it is asked for. */
  readonly audience: boolean
  /** The token as it is now. Throws VGATE_LOGIN_REQUIRED when there is none. */
  token(audience: string): Promise<string>
}

export interface TokenInput {
  readonly env: Environment
  /** `--token-stdin`: reads all of stdin. */
  readonly stdin?: () => Promise<string>
  /** For tests. */
  readonly kubernetesFile?: string
}

/** The first source that there is; undefined leaves the stored login. */
export async function findTokenSource(input: TokenInput): Promise<TokenSource | undefined> {
  const { env, stdin } = input
  if (stdin !== undefined) return fixed('--token-stdin', await stdin())
  const given = env['VGATE_TOKEN'] ?? ''
  if (given !== '') return fixed('VGATE_TOKEN', given)
  const file = env['VGATE_TOKEN_FILE'] ?? ''
  if (file !== '') return fromFile('VGATE_TOKEN_FILE', file, false)
  const url = env['ACTIONS_ID_TOKEN_REQUEST_URL'] ?? ''
  const bearer = env['ACTIONS_ID_TOKEN_REQUEST_TOKEN'] ?? ''
  if (url !== '' && bearer !== '') return fromGitHub(url, bearer)
  const gitlab = env['VGATE_ID_TOKEN'] ?? ''
  if (gitlab !== '') return { ...fixed('VGATE_ID_TOKEN', gitlab), detected: true }
  const projected = input.kubernetesFile ?? KUBERNETES_TOKEN
  const found = await stat(projected).then(
    (it) => it.isFile(),
    () => false,
  )
  return found ? fromFile('the projected token', projected, true) : undefined
}

function unusable(name: string, what: string): VgateError {
  return new VgateError('VGATE_LOGIN_REQUIRED', `${name} ${what}`, { hint: 'see docs/ci.md' })
}

/** White space around a token is an editor's; inside it, it is no token. */
function clean(name: string, text: string): string {
  const token = text.trim()
  if (token.length > MAX_TOKEN || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
    throw unusable(name, 'holds no identity token: three parts with dots between')
  }
  return token
}

function fixed(name: string, text: string): TokenSource {
  const token = clean(name, text)
  return { name, detected: false, fresh: false, audience: false, token: async () => token }
}

function fromFile(name: string, file: string, detected: boolean): TokenSource {
  return {
    name,
    detected,
    // The kubelet, and whoever else writes such files, puts a new token there in time.
    fresh: true,
    audience: false,
    token: async () => {
      const text = await readFile(file, 'utf8').catch((cause: unknown) => {
        throw new VgateError('VGATE_LOGIN_REQUIRED', `${name}: ${file} cannot be read`, { cause })
      })
      return clean(name, text)
    },
  }
}

/** https://docs.github.com/actions/reference/openid-connect-reference: the job asks with its own request token. */
function fromGitHub(address: string, bearer: string): TokenSource {
  const name = 'GitHub Actions'
  const url = URL.canParse(address) ? new URL(address) : undefined
  const safe =
    url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopbackHost(url.hostname))
  if (url === undefined || !safe) {
    throw unusable(name, 'gives an ACTIONS_ID_TOKEN_REQUEST_URL that is not https')
  }
  return {
    name,
    detected: true,
    fresh: true,
    audience: true,
    token: async (audience) => {
      const asked = new URL(url)
      asked.searchParams.set('audience', audience)
      const answer = await sendHttp(asked, {
        method: 'GET',
        headers: { authorization: `Bearer ${bearer}` },
        limit: 2 * MAX_TOKEN,
      })
      if (answer.status !== 200) {
        throw unusable(name, `refused to make an identity token (status ${answer.status})`)
      }
      return clean(name, tokenIn(answer.body))
    },
  }
}

function tokenIn(body: Buffer): string {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'))
    const value: unknown =
      typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'value') : undefined
    return typeof value === 'string' ? value : ''
  } catch {
    return ''
  }
}
