// Owns whether the keys that a gateway names may be pinned beside those of an earlier login. Must never take a new key
// for the company it comes in.

import { isSame, strangersIn } from '../audit/key-history.js'
import type { SigningKey } from '../core/api.js'

/** Why the keys that a gateway offers are not those pinned before and what follows from them; undefined where they are. */
export function faultInOffer(
  offered: readonly SigningKey[],
  pinned: readonly SigningKey[],
): string | undefined {
  if (pinned.length === 0) return undefined
  if (!pinned.some((old) => offered.some((key) => isSame(key, old))))
    return 'none of its keys is one of those pinned at an earlier login'
  const lost = pinned.find((old) => !offered.some((key) => isSame(key, old)))
  if (lost !== undefined) return `key ${lost.id}, pinned at an earlier login, is not among them`
  const [stranger] = strangersIn(offered, pinned)
  return stranger === undefined
    ? undefined
    : `no key pinned at an earlier login vouches for the new key ${stranger.id}`
}
