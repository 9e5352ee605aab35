// Owns the proof that the store's conditional statements decide, and that its failures are told apart.

import { chmodSync, mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'libsql'
import { describe, expect, it } from 'vitest'
import { libsqlError } from '../../../src/store/libsql-errors.js'
import { openStore } from '../../../src/store/open.js'
import { MIGRATIONS } from '../../../src/store/schema.js'
import { freshLibsql, storeBehaviour } from '../../support/store-suite.js'

storeBehaviour(freshLibsql)

describe('the file', () => {
  it('is readable by its owner alone', () => {
    const { directory } = freshLibsql()
    expect(statSync(join(directory, 'vgate.db')).mode & 0o777).toBe(0o600)
  })

  it('belongs to one gateway at a time', async () => {
    const { directory, clock, store } = freshLibsql()
    expect(() => openStore({ directory, clock })).toThrow(
      expect.objectContaining({
        code: 'VGATE_STORE_UNAVAILABLE',
        message: 'the store (vgate.db) is in use by another process',
      }),
    )
    await store.close()
    await openStore({ directory, clock }).close()
  })

  it('of a newer version, of another kind, or in no directory is refused', async () => {
    const { directory, clock, store } = freshLibsql()
    await store.close()
    const raw = new Database(join(directory, 'vgate.db'))
    raw.exec('INSERT INTO schema_version VALUES (99)')
    raw.close()
    const open = (where: string) => () => openStore({ directory: where, clock })
    expect(open(directory)).toThrow(
      `the store (vgate.db) was written by a newer vgate (schema 99, known ${MIGRATIONS.length})`,
    )
    const garbage = mkdtempSync(join(tmpdir(), 'vgate-store-'))
    writeFileSync(join(garbage, 'vgate.db'), 'not a database '.repeat(100))
    expect(open(garbage)).toThrow('the store (vgate.db) is not a database')
    expect(open(join(directory, 'nowhere'))).toThrow('does not exist')
  })

  it('closes rights that were too wide', async () => {
    const { directory, clock, store } = freshLibsql()
    await store.close()
    chmodSync(join(directory, 'vgate.db'), 0o644)
    await openStore({ directory, clock }).close()
    expect(statSync(join(directory, 'vgate.db')).mode & 0o777).toBe(0o600)
  })

  it.each([
    ['SQLITE_FULL', 'the store (vgate.db) cannot be written: the disk is full'],
    ['SQLITE_IOERR_FSYNC', 'the store (vgate.db) cannot be read or written'],
    ['SQLITE_CORRUPT_VTAB', 'the store (vgate.db) is damaged'],
    ['SQLITE_READONLY', 'the store (vgate.db) cannot be written'],
    ['SOMETHING', 'the store (vgate.db) failed'],
  ])('%s is told as VGATE_STORE_UNAVAILABLE', (code, message) => {
    const error = libsqlError(Object.assign(new Error('planted detail'), { code }))
    expect(error).toMatchObject({ code: 'VGATE_STORE_UNAVAILABLE', message })
    expect(error.hint).not.toContain('planted')
  })
})
