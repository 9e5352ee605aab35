// Owns which keys a recording is proved with: named ones, else those pinned at login, else none. Must never take
// the key inside a recording for more than it is.

import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { faultInHistory } from '../audit/key-history.js'
import { keysBody, type SigningKey, signingKey } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { isMissing, type StateDir } from './state-dir.js'

const WHERE_KEYS_COME_FROM = 'save the answer of the gateway’s /v1/keys, or log in to pin its keys'

const keyFile = z.union([
  keysBody.transform((body) => ({ keys: body.keys, history: true })),
  z.array(signingKey).transform((keys) => ({
    keys,
    history: keys.some((key) => key.signature !== undefined),
  })),
  signingKey.transform((key) => ({ keys: [key], history: false })),
])

/**
 * The keys that `--key` names: a file of JSON (`vgate`'s key history, a list of keys or one key), or the id of a pinned key.
 * Without it all pinned keys; `embedded` when there are none. Throws VGATE_USAGE.
 */
export async function trustRoot(
  state: StateDir,
  key: string | undefined,
): Promise<readonly SigningKey[] | 'embedded'> {
  const pinned = await state.pinnedKeys()
  if (key === undefined) return pinned.length === 0 ? 'embedded' : pinned
  const named = pinned.filter((one) => one.id === key)
  if (named.length > 0) return named
  const { keys, history } = await readKeys(key)
  const parts = history ? [keys] : keys.map((one) => [one])
  const fault = parts.map(faultInHistory).find((one) => one !== undefined)
  if (fault !== undefined) {
    throw new VgateError('VGATE_USAGE', `the keys in ${key} were changed: ${fault}`, {
      hint: 'save the answer of the gateway’s /v1/keys anew, and ask its administrator about this one',
    })
  }
  if (keys.length > 0) return keys
  throw new VgateError('VGATE_USAGE', `--key ${key} holds no key`, { hint: WHERE_KEYS_COME_FROM })
}

/** Why nothing is known of the key that signed a recording, for people. */
export function whyUnknown(key: string | undefined): string {
  return key === undefined
    ? 'no login on this machine has pinned this key: log in, or name a file of keys with --key'
    : `${key} does not hold this key: it may be another gateway’s, or older than the recording`
}

async function readKeys(key: string): Promise<z.infer<typeof keyFile>> {
  try {
    return keyFile.parse(JSON.parse(await readFile(key, 'utf8')))
  } catch (cause) {
    const why = isMissing(cause)
      ? 'is neither a file nor the id of a pinned key'
      : 'is not a file of keys'
    throw new VgateError('VGATE_USAGE', `--key ${key} ${why}`, {
      cause,
      hint: WHERE_KEYS_COME_FROM,
    })
  }
}
