// Owns which keys a recording is proved with: named ones, else those pinned at login, else none. Must never take
// the key inside a recording for more than it is.

import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { faultInHistory } from '../audit/key-history.js'
import { keysBody, type SigningKey, signingKey } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { isMissing, type StateDir } from './state-dir.js'

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
  const fault = history ? faultInHistory(keys) : undefined
  if (fault === undefined) return keys
  throw new VgateError('VGATE_USAGE', `the key history ${key} was changed: ${fault}`, {
    hint: 'save the answer of the gateway’s /v1/keys anew, and ask its administrator about this one',
  })
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
      hint: 'save the answer of the gateway’s /v1/keys, or log in to pin its keys',
    })
  }
}
