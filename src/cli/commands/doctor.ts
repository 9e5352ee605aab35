// Owns `vgate doctor`.

import * as Args from '@oclif/core/args'
import type { Finding } from '../../client/doctor.js'
import { ERRORS } from '../../core/errors.js'
import { visible } from '../output.js'
import { gatewayFlags, RunCommand } from '../run-command.js'

export default class Doctor extends RunCommand {
  static override description =
    'Look for what is wrong: proxy, network, certificate, clock, versions, keychain, login, targets, ports. Each line says what to do. It prints no secret.'
  static override examples = [
    '<%= config.bin %> doctor',
    '<%= config.bin %> doctor prod-vectors --json',
  ]
  static override args = {
    name: Args.string({ description: 'target to look at; default all that are open to you' }),
  }
  static override flags = { ...gatewayFlags }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Doctor)
    const [doctor, { openTokenStore }] = await Promise.all([
      import('../../client/doctor.js'),
      import('../../client/keychain.js'),
    ])
    const { findingOf } = doctor
    const findings: Finding[] = []
    const tell = (finding: Finding): void => {
      findings.push(finding)
      this.#show(finding)
    }
    tell(doctor.checkNode(process.version))
    tell(await doctor.checkState(this.state).catch((error) => findingOf('state', error)))
    try {
      tell(doctor.checkStore(await openTokenStore(this.state, this.environment)))
      const context = await this.openGateway(flags)
      const options = {
        now: Date.now,
        version: this.config.version,
        ...(args.name === undefined ? {} : { target: args.name }),
      }
      for await (const finding of doctor.examineGateway(context, options)) tell(finding)
    } catch (error) {
      const last = findings.at(-1)?.check === 'keychain' ? 'gateway' : 'keychain'
      tell(findingOf(last, error))
    }
    const failed = findings.find((finding) => finding.status === 'fail')
    this.output.result({ ok: failed === undefined, checks: findings })
    this.exitWith(failed?.code === undefined ? 0 : ERRORS[failed.code].exit)
  }

  #show({ check, status, message, hint }: Finding): void {
    const { dataColour: colour } = this.output
    const mark = { ok: colour.green('✔'), warn: colour.yellow('!'), fail: colour.red('✖') }[status]
    const word = status === 'ok' ? 'ok  ' : status
    this.output.data(`${mark} ${word} ${visible(check)}: ${visible(message)}`)
    if (hint !== undefined) this.output.data(`       ${visible(hint)}`)
  }
}
