// Owns the proof that keys are kept sealed, open with their own master key only, and are never made anew in place of
// lost ones.

import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Secret } from '../../../src/core/secret.js'
import { prepareDataDirectory } from '../../../src/gateway/config.js'
import {
  defaultMasterKeyFile,
  loadMasterKey,
  loadTokenKey,
  seal,
  unseal,
} from '../../../src/gateway/keys.js'
import { diskFiles } from '../../../src/secrets/files.js'

function setup(env: Record<string, string> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-keys-'))
  const data = join(directory, 'data')
  prepareDataDirectory(data)
  return { data, secretDeps: { baseDir: directory, env, files: diskFiles } }
}
const reference = { kind: 'env', name: 'MASTER' } as const
const invalid = (message: string) =>
  expect.objectContaining({ code: 'VGATE_CONFIG_INVALID', message })

describe('the master key', () => {
  it('is made once, 0600, outside the data directory, with a warning each time', () => {
    const { data, secretDeps } = setup()
    const first = loadMasterKey({ data, secretDeps })
    const path = defaultMasterKeyFile(data)
    expect(path.startsWith(`${data}/`)).toBe(false)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const second = loadMasterKey({ data, secretDeps })
    expect(second.key.reveal()).toEqual(first.key.reveal())
    expect(second.warnings).toEqual([
      `the master key is kept in ${path}, on the same machine as what it protects; set gateway.keys`,
    ])
  })

  it.each(['base64', 'base64url', 'hex'] as const)('may be given in %s', (encoding) => {
    const bytes = randomBytes(32)
    const { data, secretDeps } = setup({ MASTER: bytes.toString(encoding) })
    const { key, warnings } = loadMasterKey({ data, reference, secretDeps })
    expect([key.reveal().equals(bytes), warnings]).toEqual([true, []])
    expect(existsSync(defaultMasterKeyFile(data))).toBe(false)
  })

  it.each([
    'password',
    'a'.repeat(63),
    randomBytes(16).toString('base64'),
    randomBytes(33).toString('base64'),
  ])('%j is refused', (MASTER) => {
    const { data, secretDeps } = setup({ MASTER })
    expect(() => loadMasterKey({ data, reference, secretDeps })).toThrow(
      invalid('gateway.keys: the master key must be 32 bytes in base64 or hex'),
    )
  })

  it('is refused when others can read it, and not made anew when lost', () => {
    const { data, secretDeps } = setup()
    const { key } = loadMasterKey({ data, secretDeps })
    loadTokenKey(join(data, 'keys'), key)
    const path = defaultMasterKeyFile(data)
    chmodSync(path, 0o644)
    expect(() => loadMasterKey({ data, secretDeps })).toThrow(
      invalid(`the master key ${path} can be read by other users`),
    )
    rmSync(path)
    expect(() => loadMasterKey({ data, secretDeps })).toThrow(
      invalid(`the master key ${path} is missing`),
    )
  })
})

describe('the token key', () => {
  it('stays the same, 0600, sealed', () => {
    const { data } = setup()
    const master = new Secret(randomBytes(32))
    const first = loadTokenKey(join(data, 'keys'), master)
    expect(loadTokenKey(join(data, 'keys'), master).id).toBe(first.id)
    expect(first.id).toMatch(/^key_[0-9a-f]{16}$/)
    const path = join(data, 'keys', 'token.key')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const der = first.privateKey.export({ format: 'der', type: 'pkcs8' })
    expect(readFileSync(path, 'utf8')).not.toContain(
      der.subarray(-32).toString('base64').slice(0, 20),
    )
  })

  it('does not open with another master key, nor when a byte was changed', () => {
    const { data } = setup()
    const master = new Secret(randomBytes(32))
    const keys = join(data, 'keys')
    loadTokenKey(keys, master)
    const refusal = invalid('the sealed key "token" does not open with this master key')
    expect(() => loadTokenKey(keys, new Secret(randomBytes(32)))).toThrow(refusal)
    const path = join(keys, 'token.key')
    const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    for (const part of ['nonce', 'tag', 'data']) {
      const bytes = Buffer.from(String(file[part]), 'base64')
      bytes[0] = (bytes[0] ?? 0) ^ 1
      writeFileSync(path, JSON.stringify({ ...file, [part]: bytes.toString('base64') }))
      expect(() => loadTokenKey(keys, master)).toThrow(refusal)
    }
    for (const text of [
      '',
      '{}',
      JSON.stringify({ ...file, tag: 'AAAA' }),
      JSON.stringify({ ...file, v: 2 }),
    ]) {
      writeFileSync(path, text)
      expect(() => loadTokenKey(keys, master)).toThrow(refusal)
    }
  })
})

it('what was sealed under one name does not open under another, and never looks the same twice', () => {
  const master = new Secret(randomBytes(32))
  const sealed = seal(master, 'a', Buffer.from('text'))
  expect(unseal(master, 'a', sealed).toString()).toBe('text')
  expect(() => unseal(master, 'b', sealed)).toThrow('the sealed key "b" does not open')
  expect(seal(master, 'a', Buffer.from('text'))).not.toBe(sealed)
})
