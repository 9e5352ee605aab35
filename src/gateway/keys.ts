// Owns the master key, the sealing of other keys with it, and the key that signs access tokens. It must never write
// a key unsealed, but for the master key's own file when no other place is configured.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
} from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { VgateError } from '../core/errors.js'
import { Secret } from '../core/secret.js'
import type { SigningPair } from '../identity/tokens.js'
import type { SecretReference } from '../secrets/reference.js'
import { resolveSecret, type SecretDeps } from '../secrets/resolve.js'

const KEY_BYTES = 32
const TOKEN_KEY_FILE = 'token.key'

export interface MasterKey {
  readonly key: Secret<Buffer>
  /** For people. */
  readonly warnings: readonly string[]
}

function invalid(message: string, hint: string): VgateError {
  return new VgateError('VGATE_CONFIG_INVALID', message, { hint })
}

/** 32 bytes, as `openssl rand -base64 32` or `openssl rand -hex 32` print them. */
function decodeKey(text: string, where: string): Buffer {
  const hex = /^[0-9a-fA-F]{64}$/.test(text)
  const base64 = /^[A-Za-z0-9+/]{43}=$|^[A-Za-z0-9_-]{43}$/.test(text)
  if (hex) return Buffer.from(text, 'hex')
  if (base64) return Buffer.from(text, text.endsWith('=') ? 'base64' : 'base64url')
  throw invalid(
    `${where}: the master key must be 32 bytes in base64 or hex`,
    'make one with `openssl rand -base64 32`',
  )
}

/** The default place: beside the data directory, so that a copy of the directory alone opens nothing. */
export function defaultMasterKeyFile(data: string): string {
  return `${data.replace(/\/+$/, '')}.master.key`
}

function writeNewFile(path: string, text: string): void {
  const fd = openSync(path, 'wx', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * The master key: from its reference, else from a 0600 file beside the data directory, made at the first start and
 * always with a warning. Throws VGATE_CONFIG_INVALID.
 */
export function loadMasterKey(options: {
  readonly data: string
  readonly reference?: SecretReference
  readonly secretDeps: SecretDeps
}): MasterKey {
  const { data, reference, secretDeps } = options
  if (reference !== undefined) {
    const { value, warnings } = resolveSecret(reference, secretDeps)
    return { key: new Secret(decodeKey(value.reveal().trim(), 'gateway.keys')), warnings }
  }
  const path = defaultMasterKeyFile(data)
  const sealed = existsSync(join(data, 'keys', TOKEN_KEY_FILE))
  if (!existsSync(path)) {
    // A new key would open nothing that is there; the lost one must come back.
    if (sealed)
      throw invalid(`the master key ${path} is missing`, 'restore it, or set gateway.keys')
    writeNewFile(path, `${randomBytes(KEY_BYTES).toString('base64')}\n`)
  }
  if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
    throw invalid(`the master key ${path} can be read by other users`, `run: chmod 600 ${path}`)
  }
  return {
    key: new Secret(decodeKey(readFileSync(path, 'utf8').trim(), path)),
    warnings: [
      `the master key is kept in ${path}, on the same machine as what it protects; set gateway.keys`,
    ],
  }
}

const sealedFile = z.strictObject({
  v: z.literal(1),
  algorithm: z.literal('A256GCM'),
  name: z.string(),
  nonce: z.string(),
  tag: z.string(),
  data: z.string(),
})

/** A key of its own for each purpose (RFC 5869), so that no nonce is shared between them. */
function subkey(master: Secret<Buffer>, name: string): Buffer {
  return Buffer.from(hkdfSync('sha256', master.reveal(), '', `vgate seal ${name}`, KEY_BYTES))
}

/** Seals bytes under a name: AES-256-GCM; what was sealed under one name does not open under another. */
export function seal(master: Secret<Buffer>, name: string, bytes: Buffer): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', subkey(master, name), nonce)
  cipher.setAAD(Buffer.from(name))
  const data = Buffer.concat([cipher.update(bytes), cipher.final()])
  const text = (part: Buffer) => part.toString('base64')
  const file = {
    v: 1,
    algorithm: 'A256GCM',
    name,
    nonce: text(nonce),
    tag: text(cipher.getAuthTag()),
    data: text(data),
  }
  return `${JSON.stringify(file)}\n`
}

/** The bytes that `seal` was given. Throws VGATE_CONFIG_INVALID when text, name or master key are others. */
export function unseal(master: Secret<Buffer>, name: string, text: string): Buffer {
  try {
    const file = sealedFile.parse(JSON.parse(text))
    const bytes = (part: string) => Buffer.from(part, 'base64')
    const key = subkey(master, name)
    const decipher = createDecipheriv('aes-256-gcm', key, bytes(file.nonce), { authTagLength: 16 })
    decipher.setAAD(Buffer.from(name))
    decipher.setAuthTag(bytes(file.tag))
    return Buffer.concat([decipher.update(bytes(file.data)), decipher.final()])
  } catch {
    // The cause is dropped on purpose: it could quote the file.
    throw invalid(
      `the sealed key "${name}" does not open with this master key`,
      'restore the master key that the data directory was made with',
    )
  }
}

/** The Ed25519 key that signs access tokens, kept sealed in `directory`; made at the first start. Throws VGATE_CONFIG_INVALID. */
export function loadTokenKey(directory: string, master: Secret<Buffer>): SigningPair {
  const path = join(directory, TOKEN_KEY_FILE)
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    writeNewFile(path, seal(master, 'token', privateKey.export({ format: 'der', type: 'pkcs8' })))
  }
  const der = unseal(master, 'token', readFileSync(path, 'utf8'))
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(privateKey)
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  return {
    id: `key_${createHash('sha256').update(raw).digest('hex').slice(0, 16)}`,
    privateKey,
    publicKey,
  }
}
