// Owns the file that stands in for the OS keychain: readable by its owner alone, and encrypted when
// VGATE_STORE_KEY is set. Must never write a token in the clear once a key was used.

import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto'
import { z } from 'zod'
import { VgateError } from '../core/errors.js'
import { withLock } from './lock.js'
import type { StateDir } from './state-dir.js'

const FILE = 'tokens.json'
const entries = z.record(z.string(), z.string())
const plain = z.strictObject({ v: z.literal(1), entries })
const sealed = z.strictObject({
  v: z.literal(1),
  salt: z.string(),
  iv: z.string(),
  tag: z.string(),
  data: z.string(),
})

/** scrypt with 16 MiB of memory (RFC 7914); about 50 ms. */
const SCRYPT = { N: 2 ** 14, r: 8, p: 1 } as const

export class TokenFile {
  readonly #state: StateDir
  readonly #key: string | undefined

  constructor(state: StateDir, key: string | undefined) {
    this.#state = state
    this.#key = key === '' ? undefined : key
  }

  async get(account: string): Promise<string | undefined> {
    const all = await this.#read()
    return Object.hasOwn(all, account) ? all[account] : undefined
  }

  async set(account: string, value: string | undefined): Promise<void> {
    await withLock(await this.#state.place(`${FILE}.lock`), async () => {
      const all = Object.entries(await this.#read()).filter(([name]) => name !== account)
      if (value !== undefined) all.push([account, value])
      await this.#write(Object.fromEntries(all))
    })
  }

  async #read(): Promise<Record<string, string>> {
    const found = await this.#state.read(FILE)
    if (found === undefined) return {}
    const open = plain.safeParse(found)
    if (open.success) return open.data.entries
    const box = sealed.safeParse(found)
    if (!box.success) throw broken('it is not a token file')
    if (this.#key === undefined) throw broken('it is encrypted and VGATE_STORE_KEY is not set')
    return entries.parse(JSON.parse(unseal(box.data, this.#key)))
  }

  async #write(all: Record<string, string>): Promise<void> {
    const text =
      this.#key === undefined ? { v: 1, entries: all } : seal(JSON.stringify(all), this.#key)
    await this.#state.write(text, FILE)
  }
}

function seal(text: string, key: string): z.infer<typeof sealed> {
  const salt = randomBytes(16)
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', scryptSync(key, salt, 32, SCRYPT), iv)
  const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  const base64 = (bytes: Buffer): string => bytes.toString('base64')
  return {
    v: 1,
    salt: base64(salt),
    iv: base64(iv),
    tag: base64(cipher.getAuthTag()),
    data: base64(data),
  }
}

function unseal(box: z.infer<typeof sealed>, key: string): string {
  const bytes = (text: string): Buffer => Buffer.from(text, 'base64')
  try {
    const secret = scryptSync(key, bytes(box.salt), 32, SCRYPT)
    const decipher = createDecipheriv('aes-256-gcm', secret, bytes(box.iv), { authTagLength: 16 })
    decipher.setAuthTag(bytes(box.tag))
    return Buffer.concat([decipher.update(bytes(box.data)), decipher.final()]).toString('utf8')
  } catch {
    throw broken('VGATE_STORE_KEY does not open it')
  }
}

function broken(why: string): VgateError {
  return new VgateError('VGATE_LOGIN_REQUIRED', `cannot read the stored login: ${why}`, {
    hint: `set VGATE_STORE_KEY as it was, or remove ${FILE} from the state folder and run \`vgate login\``,
  })
}
