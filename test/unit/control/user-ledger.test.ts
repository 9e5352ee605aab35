// Owns what is kept of short-lived database users: in the store before one is made, in the audit log, and for whom a
// credential is given out.

import { describe, expect, it } from 'vitest'
import type { LogRecord } from '../../../src/audit/records.js'
import type { TargetSettings } from '../../../src/control/settings.js'
import { TargetCredentials } from '../../../src/control/target-credentials.js'
import { createUserLedger } from '../../../src/control/user-ledger.js'
import { VgateError } from '../../../src/core/errors.js'
import { diskFiles } from '../../../src/secrets/files.js'
import { ana, freshLibsql, withGrant } from '../../support/store-suite.js'

const SETTINGS: TargetSettings = {
  spec: {
    name: 'prod',
    database: 'pgvector',
    host: '127.0.0.1',
    port: 5432,
    databaseName: 'vectors',
    tls: { verify: 'off' },
    mint: { role: { memberOf: ['reader', 'other'], prefix: 'vg_' } },
  },
  credential: { username: 'vgate', password: { kind: 'env', name: 'PGPASS' } },
}

async function ledgerOf(targets: [string, TargetSettings][], refuse = false) {
  const { store, grant } = await withGrant(freshLibsql, { target: 'prod' })
  const records: LogRecord[] = []
  const append = async (body: LogRecord): Promise<void> => {
    if (refuse) throw new VgateError('VGATE_DISK_FULL', 'no room')
    records.push(body)
  }
  const credentials = new TargetCredentials({
    env: { PGPASS: 'own' },
    baseDir: '/',
    files: diskFiles,
  })
  const ledger = createUserLedger(
    { config: { targets: new Map(targets) }, store, audit: { append } },
    credentials,
    async (session) => {
      if (session !== 'ses_1') throw new VgateError('VGATE_NOT_FOUND', 'the session is over')
      return { principal: ana, grant, target: SETTINGS }
    },
  )
  return { ledger, records, store }
}

describe('the ledger of database users', () => {
  it('keeps one from before it is made until it is gone, and tells the audit log', async () => {
    const { ledger, records } = await ledgerOf([['prod', SETTINGS]])
    await ledger.begun({ session: 'ses_1', user: 'vg_x' })
    const left = { user: 'vg_x', grant: 'grt_1', heir: 'reader', target: SETTINGS.spec }
    expect(await ledger.left()).toEqual([left])
    expect(await ledger.leaseCredential('vg_x')).toEqual({ username: 'vgate', password: 'own' })
    await ledger.kept({ user: 'vg_x', message: 'away' })
    await ledger.dropped('vg_x')
    expect(await ledger.left()).toEqual([])
    await expect(ledger.leaseCredential('vg_x')).rejects.toMatchObject({ code: 'VGATE_NOT_FOUND' })
    const where = { user: 'vg_x', target: 'prod', grant: 'grt_1' }
    expect(records).toEqual([
      expect.objectContaining({ type: 'user.minted', ...where, memberOf: ['reader', 'other'] }),
      { type: 'user.not_dropped', ...where, message: 'away' },
      { type: 'user.dropped', ...where },
    ])
    expect(JSON.stringify(records)).not.toContain('own"')
  })

  it('takes none for a session that is over, and none that the log does not take', async () => {
    const { ledger } = await ledgerOf([['prod', SETTINGS]])
    await expect(ledger.begun({ session: 'ses_2', user: 'vg_x' })).rejects.toThrow('over')
    expect(await ledger.left()).toEqual([])
    const full = await ledgerOf([['prod', SETTINGS]], true)
    await expect(full.ledger.begun({ session: 'ses_1', user: 'vg_x' })).rejects.toThrow('no room')
  })

  it('gives out no credential of a target that there is no more', async () => {
    const { ledger } = await ledgerOf([])
    await ledger.begun({ session: 'ses_1', user: 'vg_x' })
    expect(await ledger.left()).toEqual([])
    await expect(ledger.leaseCredential('vg_x')).rejects.toMatchObject({ code: 'VGATE_NOT_FOUND' })
  })
})
