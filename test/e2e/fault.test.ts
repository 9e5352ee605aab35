// A failure that no handler met, in the real gateway: it is logged, everything is closed, and the exit code says so.

import { join } from 'node:path'
import { expect, it } from 'vitest'
import { hasPostgres, startPostgres } from '../support/postgres.js'
import { startProduct } from '../support/product.js'

/** Makes a process throw where nobody catches when it gets SIGUSR2. */
const PLANTED = `data:text/javascript,process.on('SIGUSR2',()=>{throw%20new%20Error('planted')})`
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
`

it.skipIf(!hasPostgres('plain'))(
  'a fault of its own stops the gateway cleanly, exit 1',
  async () => {
    const postgres = await startPostgres({ kind: 'plain' })
    const product = await startProduct({
      postgres,
      database: await postgres.createDatabase(),
      policy: POLICY,
      env: { NODE_OPTIONS: `--import=${PLANTED}` },
    })
    try {
      const { exitCode, stderr, stdout } = await product.stopGateway('SIGUSR2')
      expect(exitCode).toBe(1)
      expect(stderr).toContain('"event":"gateway.fault"')
      expect(stderr).toContain('planted')
      expect(stdout).toContain('VGATE_UNEXPECTED')
      // Its audit log was closed with a last record, not left for the next start to mend.
      const log = join(product.directory, 'data', 'audit', 'log-00000001.vgr')
      const { stdout: verdict, stderr: problems } = await product.run('auditor', ['verify', log])
      expect(`${verdict}${problems}`).toContain('closed, 3 records')
    } finally {
      await product.stop()
      await postgres.stop()
    }
  },
)
