// Owns `vgate login`.

import * as Flags from '@oclif/core/flags'
import { openBrowser } from '../browser.js'
import { visible } from '../output.js'
import { addressFlags, RunCommand } from '../run-command.js'
import { exitCodeOfSignal, firstSignal } from '../signals.js'
import { spin } from '../spinner.js'

export default class Login extends RunCommand {
  static override description =
    'Log in to a gateway with your browser (OAuth 2.0 device flow). The login is kept in the keychain and renewed by itself.'
  static override examples = [
    '<%= config.bin %> login --gateway https://vgate.example.com',
    '<%= config.bin %> login --no-browser',
  ]
  static override flags = {
    ...addressFlags,
    browser: Flags.boolean({
      description: 'open the page in a browser',
      default: true,
      allowNo: true,
    }),
    provider: Flags.string({
      description: 'identity provider, when the gateway has several',
      helpValue: 'NAME',
    }),
    'trust-new-key': Flags.boolean({
      description: 'accept signing keys that differ from those pinned at an earlier login',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Login)
    const { output } = this
    const context = await this.openGateway(flags, 'stored login')
    const { login } = await import('../../client/login.js')
    const stop = new AbortController()
    const { signal, ignore } = firstSignal()
    void signal.then((name) => {
      stop.abort()
      this.exitWith(exitCodeOfSignal(name))
    })
    const work = login(context, {
      ...(flags.provider === undefined ? {} : { provider: flags.provider }),
      ...(context.caFile === undefined ? {} : { caFile: context.caFile }),
      trustNewKey: flags['trust-new-key'],
      signal: stop.signal,
      onDeviceCode: (code) => {
        output.event('device_code', {
          verification_uri: code.verificationUri,
          user_code: code.userCode,
          verification_uri_complete: code.verificationUriComplete,
          expires_at: new Date(code.expiresAt).toISOString(),
        })
        output.say(`Open ${visible(code.verificationUriComplete)}`)
        output.say(`and confirm the code ${output.colour.bold(visible(code.userCode))}`)
        if (flags.browser && output.interactive) void openBrowser(code.verificationUriComplete)
      },
    })
    try {
      const principal = await spin(output, 'waiting for the browser', () => work)
      if (context.store.notice !== undefined) output.warn(context.store.notice)
      output.event('logged_in', { principal })
      output.say(
        `${output.colour.green('✔')} logged in to ${context.gateway.url} as ${visible(principal.name)}`,
      )
    } catch (error) {
      if (!stop.signal.aborted) throw error
    } finally {
      ignore()
    }
  }
}
