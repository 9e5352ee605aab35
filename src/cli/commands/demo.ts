// Owns `vgate demo`.

import { existsSync } from 'node:fs'
import * as Flags from '@oclif/core/flags'
import { VgateError } from '../../core/errors.js'
import { builtFile } from '../../core/place.js'
import { RunCommand } from '../run-command.js'
import { firstSignal } from '../signals.js'

export default class Demo extends RunCommand {
  static override description =
    'Try it: a real PostgreSQL with pgvector, an identity provider and a gateway on this machine, with real text in it.'
  static override examples = ['<%= config.bin %> demo', '<%= config.bin %> demo --tour']
  static override flags = {
    tour: Flags.boolean({ description: 'play the scripted tour, and end' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Demo)
    // The demo's database and provider are not part of the installed product.
    const entry = builtFile('demo/start.js')
    if (!existsSync(entry)) {
      throw new VgateError('VGATE_USAGE', 'the demo is not part of the installed package', {
        hint: 'in a checkout of vgate: npm ci && npm run demo',
      })
    }
    const { runDemo } = await import('../../demo/start.js')
    const { signal, ignore } = firstSignal()
    const stop = new AbortController()
    void signal.then(() => stop.abort())
    this.exitWith(
      await runDemo({
        tour: flags.tour,
        json: flags.json,
        out: process.stdout,
        signal: stop.signal,
      }),
    )
    ignore()
  }
}
