// Owns the Ed25519 key that signs recordings and the audit log, and the history of its public parts. The private
// part never leaves this file but as a signing function.

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'
import { type SigningKey, signingKey } from '../core/api.js'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import { keyIdOf } from './checkpoint.js'
import { faultInHistory, withNewKey } from './key-history.js'

/** A key that signs, with its public part. */
export interface SigningKeyPair {
  readonly key: SigningKey
  /** Ed25519 signature, 64 bytes (RFC 8032). */
  sign(bytes: Uint8Array): Buffer
}

const historyFile = z.strictObject({ v: z.literal(1), keys: z.array(signingKey) })

/** A pair around a private key object. `since` is ISO 8601. */
export function pairOf(privateKey: KeyObject, since: string): SigningKeyPair {
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new VgateError('VGATE_CONFIG_INVALID', 'the signing key is not an Ed25519 key', {
      hint: 'remove the file to have a new key made; older recordings stay verifiable by the key history',
    })
  }
  const raw = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32)
  const key: SigningKey = {
    id: keyIdOf(raw),
    algorithm: 'Ed25519',
    public: raw.toString('base64'),
    since,
  }
  return { key, sign: (bytes) => sign(null, bytes, privateKey) }
}

/** A new pair that is stored nowhere. */
export function generatePair(since: string): SigningKeyPair {
  return pairOf(generateKeyPairSync('ed25519').privateKey, since)
}

/**
 * Loads the signing key from `keyFile` (PKCS #8 PEM, 0600), or makes one, and keeps the history of public keys in
 * `historyFile` (`keys.json`). Throws VGATE_CONFIG_INVALID when a file is unreadable, readable by others or damaged.
 */
export function loadOrCreateKey(options: {
  readonly keyFile: string
  readonly historyFile: string
  readonly clock: Clock
}): { readonly pair: SigningKeyPair; readonly history: readonly SigningKey[] } {
  const now = new Date(options.clock.now()).toISOString()
  const history = readKeyHistory(options.historyFile)
  if (!existsSync(options.keyFile)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    writeNew(options.keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
  }
  const pair = pairOf(readPrivateKey(options.keyFile), now)
  const known = history.find((entry) => entry.id === pair.key.id)
  if (known !== undefined) return { pair: { key: known, sign: pair.sign }, history }
  const grown = withNewKey(history, pair)
  writeKeyHistory(options.historyFile, grown)
  return { pair, history: grown }
}

/** The public keys that ever signed, oldest first, each signed by the next; empty when there is no file yet. */
export function readKeyHistory(path: string): readonly SigningKey[] {
  if (!existsSync(path)) return []
  try {
    const { keys } = historyFile.parse(JSON.parse(readFileSync(path, 'utf8')))
    const fault = faultInHistory(keys)
    if (fault !== undefined) throw new Error(fault)
    return keys
  } catch (cause) {
    throw invalid(`the key history ${path} is damaged`, 'restore it from a backup', cause)
  }
}

/** Replaces the key history as a whole (write beside it, then rename). */
export function writeKeyHistory(path: string, keys: readonly SigningKey[]): void {
  const beside = `${path}.new-${process.pid}`
  writeNew(beside, `${JSON.stringify({ v: 1, keys }, null, 2)}\n`)
  renameSync(beside, path)
}

function readPrivateKey(path: string): KeyObject {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    // Windows has no such modes; there the folder's permissions are all there is.
    if (process.platform !== 'win32' && (fstatSync(fd).mode & 0o077) !== 0) {
      throw invalid(`the signing key ${path} can be read by other users`, `run: chmod 600 ${path}`)
    }
    return createPrivateKey(readFileSync(fd, 'utf8'))
  } catch (cause) {
    if (cause instanceof VgateError) throw cause
    // The cause is dropped on purpose: a parser's message may quote the file.
    throw invalid(
      `the signing key ${path} cannot be read`,
      'it must be a PKCS #8 PEM file with an Ed25519 key',
    )
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function writeNew(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const fd = openSync(path, 'wx', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function invalid(message: string, hint: string, cause?: unknown): VgateError {
  return new VgateError(
    'VGATE_CONFIG_INVALID',
    message,
    cause === undefined ? { hint } : { hint, cause },
  )
}
