// Owns `vgate verify`.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { Verification } from '../../audit/verify.js'
import { visible } from '../output.js'
import { keyFlag, RunCommand } from '../run-command.js'

/** Worst last. */
const ORDER = ['closed', 'incomplete', 'unknown_key', 'tampered'] as const

export default class Verify extends RunCommand {
  static override description =
    'Prove a recording, or all recordings and the log in a folder, offline and with public keys only.'
  static override examples = [
    '<%= config.bin %> verify session.vgr',
    '<%= config.bin %> verify ./data --key keys.json',
  ]
  static override args = {
    path: Args.string({
      description: 'recording, or folder such as that of a gateway’s data',
      required: true,
    }),
  }
  static override flags = {
    ...keyFlag,
    content: Flags.boolean({
      description: 'also read every record, not only prove the bytes',
    }),
    'require-closed': Flags.boolean({
      description: 'fail for one that is authentic but incomplete',
    }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Verify)
    const [{ verifyPath }, { trustRoot, whyUnknown }] = await Promise.all([
      import('../../client/verify-path.js'),
      import('../../client/trust-root.js'),
    ])
    const keys = await trustRoot(this.state, flags.key)
    const depth = flags.content ? 'content' : 'chain'
    const results: { path: string; found: Verification }[] = []
    for await (const { path, verification: found } of verifyPath(args.path, { keys, depth })) {
      results.push({ path, found })
      const { at } = found
      const place =
        found.verdict === 'tampered' && at !== undefined
          ? ` (record ${at.record}, block ${at.block}, byte ${at.offset})`
          : ''
      this.output.data(
        `${found.verdict.padEnd(11)} ${visible(path)}  ${visible(found.reason)}${place}`,
      )
      if (found.verdict === 'incomplete')
        this.output.say('  warning: authentic only up to the last signed checkpoint')
      if (found.verdict === 'unknown_key') this.output.say(`  ${visible(whyUnknown(flags.key))}`)
    }
    const worst = results.reduce((a, b) =>
      ORDER.indexOf(b.found.verdict) > ORDER.indexOf(a.found.verdict) ? b : a,
    )
    const { verdict, at, reason, records } = worst.found
    const files = results.map(({ path, found }) => ({
      path,
      verdict: found.verdict,
      at: found.at ?? null,
      reason: found.reason,
    }))
    this.output.result({
      verdict,
      at: at ?? null,
      reason,
      records,
      ...(files.length > 1 ? { files } : {}),
    })
    const fine = verdict === 'closed' || (verdict === 'incomplete' && !flags['require-closed'])
    this.exitWith(fine ? 0 : 10)
  }
}
