// Owns the proof that secrets are found by reference only, and never shown.

import { chmodSync, mkdtempSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { diskFiles } from '../../../src/secrets/files.js'
import { formatReference, parseReference } from '../../../src/secrets/reference.js'
import {
  createSecretSource,
  MAX_SECRET_BYTES,
  resolveSecret,
} from '../../../src/secrets/resolve.js'

const PLANTED = 'hunter2-planted'
const baseDir = mkdtempSync(join(tmpdir(), 'vgate-secrets-'))
const deps = { baseDir, env: { PGPASS: PLANTED, EMPTY: '', NUL: 'a\0b' }, files: diskFiles }

describe('references', () => {
  it.each([
    ['env:PGPASS', { kind: 'env', name: 'PGPASS' }],
    ['file:/run/secrets/pg', { kind: 'file', path: '/run/secrets/pg' }],
    ['file:pg:1', { kind: 'file', path: 'pg:1' }],
  ])('%s is read and written back', (text, reference) => {
    const parsed = parseReference(text)
    expect(parsed).toEqual({ ok: true, reference })
    if (parsed.ok) expect(formatReference(parsed.reference)).toBe(text)
  })

  it.each([
    ['exec:pass show pg', 'exec: not supported yet; use env:NAME or file:PATH'],
    ['vault:kv/pg', 'vault: not supported yet; use env:NAME or file:PATH'],
    ['aws-sm:pg', 'aws-sm: not supported yet; use env:NAME or file:PATH'],
    ['env:', 'env: must be followed by the name of an environment variable'],
    ['env:A B', 'env: must be followed by the name of an environment variable'],
    ['file:', 'file: must be followed by a path'],
    ['file:a\0b', 'file: must be followed by a path'],
    ['', 'must refer to a secret as env:NAME or file:PATH, never hold it'],
    ['constructor:x', 'must refer to a secret as env:NAME or file:PATH, never hold it'],
  ])('%j is refused', (text, message) => {
    expect(parseReference(text)).toEqual({ ok: false, message })
  })

  it('does not repeat a secret that was pasted in place of a reference', () => {
    expect(JSON.stringify(parseReference(PLANTED))).not.toContain(PLANTED)
  })
})

describe('resolving', () => {
  it('reads a variable, and shows it to nobody', () => {
    const { value } = resolveSecret({ kind: 'env', name: 'PGPASS' }, deps)
    expect(value.reveal()).toBe(PLANTED)
    expect(`${value} ${JSON.stringify({ value })} ${inspect({ value })}`).not.toContain(PLANTED)
  })

  it.each([
    ['env', 'MISSING', 'env:MISSING is not set', 'set MISSING'],
    ['env', 'EMPTY', 'env:EMPTY is empty', 'set EMPTY'],
    ['env', 'NUL', 'env:NUL holds a NUL byte', 'set NUL'],
  ] as const)('%s:%s is refused', (kind, name, message, hint) => {
    expect(() => resolveSecret({ kind, name }, deps)).toThrow(
      expect.objectContaining({ code: 'VGATE_CONFIG_INVALID', message, hint }),
    )
  })

  it('takes a relative file from the directory of the configuration, less one line end', () => {
    writeFileSync(join(baseDir, 'pg'), `${PLANTED}\n`, { mode: 0o600 })
    writeFileSync(join(baseDir, 'pg2'), `${PLANTED}\n\r\n`, { mode: 0o600 })
    const read = (path: string) => resolveSecret({ kind: 'file', path }, deps)
    expect(read('pg').value.reveal()).toBe(PLANTED)
    expect(read('pg').warnings).toEqual([])
    expect(read('pg2').value.reveal()).toBe(`${PLANTED}\n`)
  })

  it('follows links and warns of a file that every user can read', () => {
    writeFileSync(join(baseDir, 'open'), PLANTED)
    chmodSync(join(baseDir, 'open'), 0o644)
    symlinkSync(join(baseDir, 'open'), join(baseDir, 'link'))
    const { value, warnings } = resolveSecret({ kind: 'file', path: 'link' }, deps)
    expect(value.reveal()).toBe(PLANTED)
    expect(warnings).toEqual(['file:link is readable by every user of this machine: chmod 600'])
  })

  it.each([
    ['nothing', 'file:nothing cannot be read'],
    ['.', 'file:. is not a regular file'],
    ['/dev/zero', 'file:/dev/zero is not a regular file'],
    ['long', `file:long is longer than ${MAX_SECRET_BYTES} bytes`],
    ['blank', 'file:blank is empty'],
  ])('file:%s is refused', (path, message) => {
    writeFileSync(join(baseDir, 'long'), 'x'.repeat(MAX_SECRET_BYTES + 1))
    writeFileSync(join(baseDir, 'blank'), '\n')
    expect(() => resolveSecret({ kind: 'file', path }, deps)).toThrow(
      expect.objectContaining({ code: 'VGATE_CONFIG_INVALID', message }),
    )
  })

  it('reads a rotated file again, and an untouched one once', () => {
    const path = join(baseDir, 'rotating')
    let reads = 0
    const read = (name: string) => {
      reads += 1
      return diskFiles.read(name)
    }
    const files = { ...diskFiles, read }
    const source = createSecretSource({ kind: 'file', path }, { ...deps, files })
    writeFileSync(path, 'first', { mode: 0o600 })
    utimesSync(path, 1, 1)
    expect([source.resolve(), source.resolve()].map((it) => it.value.reveal())).toEqual([
      'first',
      'first',
    ])
    writeFileSync(path, 'other', { mode: 0o600 })
    utimesSync(path, 2, 2)
    expect(source.resolve().value.reveal()).toBe('other')
    expect(reads).toBe(2)
  })
})
