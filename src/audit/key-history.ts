// Owns the proof that keys of different times belong to one gateway: each new key signs all public keys before it, so
// whoever trusts the newest can check what the older ones signed. Pure but for the signing function it is given.

import { verify } from 'node:crypto'
import type { SigningKey } from '../core/api.js'
import { keyIdOf, publicKeyOf } from './checkpoint.js'

const TITLE = 'vgate-keys-v1\n'

function statement(keys: readonly SigningKey[]): Buffer {
  const lines = keys.map((key) => `${key.id} ${key.public} ${key.since}\n`)
  return Buffer.from(TITLE + lines.join(''), 'utf8')
}

/** The history with one more key, which signs it. The first key has nothing to sign. */
export function withNewKey(
  history: readonly SigningKey[],
  next: { readonly key: SigningKey; sign(bytes: Uint8Array): Buffer },
): readonly SigningKey[] {
  if (history.length === 0) return [next.key]
  const signature = next.sign(statement([...history, next.key])).toString('base64')
  return [...history, { ...next.key, signature }]
}

/** What is wrong with a history: an id that is not its key's, or a key that did not sign those before it. */
export function faultInHistory(keys: readonly SigningKey[]): string | undefined {
  for (const [index, key] of keys.entries()) {
    const raw = Buffer.from(key.public, 'base64')
    if (raw.length !== 32 || keyIdOf(raw) !== key.id) return `key ${key.id} does not have this id`
    if (index === 0) continue
    const signature = Buffer.from(key.signature ?? '', 'base64')
    const signed = statement(keys.slice(0, index + 1))
    if (!verify(null, signed, publicKeyOf(raw), signature))
      return `key ${key.id} did not sign the keys before it`
  }
  return undefined
}
