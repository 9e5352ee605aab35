// Owns where tokens and port secrets are kept: the OS keychain, a private file where there is none, or memory.
// The only door to @napi-rs/keyring. Must never print; what people should know is in `notice`.

import { VgateError } from '../core/errors.js'
import type { Environment, StateDir } from './state-dir.js'
import { TokenFile } from './token-file.js'

const SERVICE = 'vgate'
/** Without a pinned store the library falls back to the kernel's keyring, which is lost at reboot. */
const OPTIONS = { linux: { store: 'secret-service' } } as const
const PROBE_MS = 2_000

export interface TokenStore {
  readonly kind: 'keychain' | 'file' | 'memory'
  /** One sentence for stderr when the keychain was wanted and is not there. */
  readonly notice?: string
  /** Why the keychain is not used, for `vgate doctor`. */
  readonly reason?: string
  get(account: string): Promise<string | undefined>
  /** Undefined deletes. */
  set(account: string, value: string | undefined): Promise<void>
}

/**
 * Chooses by VGATE_TOKEN_STORE (`keychain`, `file`, `memory`); without it the keychain, else the file.
 * Throws VGATE_USAGE for another word, and VGATE_UNEXPECTED when the keychain is demanded and does not answer.
 */
export async function openTokenStore(state: StateDir, env: Environment): Promise<TokenStore> {
  const wanted = env['VGATE_TOKEN_STORE'] ?? ''
  if (wanted === 'memory') return memoryStore()
  if (wanted === 'file') return fileStore(state, env)
  if (wanted !== '' && wanted !== 'keychain') {
    throw new VgateError('VGATE_USAGE', `VGATE_TOKEN_STORE is ${JSON.stringify(wanted)}`, {
      hint: 'use keychain, file or memory',
    })
  }
  const keychain = await probeKeychain()
  if (typeof keychain !== 'string') return keychain
  if (wanted === 'keychain') {
    throw new VgateError(
      'VGATE_UNEXPECTED',
      `the operating system has no keychain that answers: ${keychain}`,
      { hint: 'unlock it, or set VGATE_TOKEN_STORE=file' },
    )
  }
  const protection =
    (env['VGATE_STORE_KEY'] ?? '') === ''
      ? 'readable by you alone'
      : 'encrypted with VGATE_STORE_KEY'
  return {
    ...fileStore(state, env),
    reason: keychain,
    notice: `no keychain here: the login is kept in ${state.path}/tokens.json, ${protection}`,
  }
}

/** For tests, and for machines that must not keep anything. */
export function memoryStore(): TokenStore {
  const values = new Map<string, string>()
  return {
    kind: 'memory',
    get: async (account) => values.get(account),
    set: async (account, value) => {
      if (value === undefined) values.delete(account)
      else values.set(account, value)
    },
  }
}

function fileStore(state: StateDir, env: Environment): TokenStore {
  const file = new TokenFile(state, env['VGATE_STORE_KEY'])
  return {
    kind: 'file',
    get: (account) => file.get(account),
    set: (account, value) => file.set(account, value),
  }
}

/** The keychain if it answers in time, else why not; any throw means there is none. */
async function probeKeychain(): Promise<TokenStore | string> {
  try {
    const { AsyncEntry } = await import('@napi-rs/keyring')
    const entry = (account: string) => new AsyncEntry(SERVICE, account, OPTIONS)
    const signal = AbortSignal.timeout(PROBE_MS)
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () =>
        reject(new Error(`no answer within ${PROBE_MS / 1000} s; it may be locked`)),
      )
    })
    await Promise.race([entry('probe').getPassword(signal), late])
    return {
      kind: 'keychain',
      get: async (account) => (await entry(account).getPassword()) ?? undefined,
      set: async (account, value) => {
        if (value === undefined) await entry(account).deletePassword()
        else await entry(account).setPassword(value)
      },
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return text.split('\n')[0]?.slice(0, 200) ?? 'unknown'
  }
}
