// Owns `vgate gateway init`.

import * as Flags from '@oclif/core/flags'
import { initSaid, passwordFromStdin } from '../../init-said.js'
import { RunCommand } from '../../run-command.js'

const text = (description: string, helpValue: string) => Flags.string({ description, helpValue })

export default class GatewayInit extends RunCommand {
  static override description =
    'Set up a gateway: answer a few questions, and get an authority, a certificate, a configuration and a policy that pass `gateway check`. Every question is a flag too.'
  static override examples = [
    '<%= config.bin %> gateway init --directory gateway',
    '<%= config.bin %> gateway init --yes --public-url https://vgate.example.com --listen 0.0.0.0:8443 --issuer https://id.example.com --client-id vgate --address postgres://db.internal:5432/vectors --credential env:VGATE_DB_PASSWORD',
  ]
  static override flags = {
    directory: Flags.string({ description: 'where to write', default: '.', helpValue: 'DIR' }),
    yes: Flags.boolean({ description: 'ask nothing: take the default of what is not given' }),
    force: Flags.boolean({ description: 'overwrite files; an authority that is there stays' }),
    listen: text('where the gateway listens; default 127.0.0.1:8443', 'HOST:PORT'),
    'public-url': text('URL by which people reach it; default where it listens', 'URL'),
    name: Flags.string({
      description: 'another name or address for the certificate; may be repeated',
      multiple: true,
      default: [],
      helpValue: 'NAME',
    }),
    tls: Flags.boolean({
      description: 'TLS; without it the gateway is for this machine alone',
      default: true,
      allowNo: true,
    }),
    cert: Flags.string({
      description: 'certificate of your own, PEM, instead of a minted one',
      dependsOn: ['key'],
      helpValue: 'FILE',
    }),
    key: Flags.string({ description: 'its key, PEM', dependsOn: ['cert'], helpValue: 'FILE' }),
    provider: text('short name of the identity provider; default corp', 'NAME'),
    issuer: text('its issuer', 'URL'),
    'client-id': text('client that is registered there for vgate', 'ID'),
    scopes: text('scopes to ask for, with commas between them', 'LIST'),
    'groups-claim': text('claim of the ID token with the groups; default groups', 'NAME'),
    target: text('name of the first database; default prod-vectors', 'NAME'),
    address: text('its address', 'postgres://HOST:PORT/DATABASE'),
    'db-user': text('user of the gateway in the database; default vgate', 'NAME'),
    credential: text('where its password is', 'env:NAME|file:PATH'),
    'password-stdin': Flags.boolean({
      description: 'read its password from stdin into a private file',
      exclusive: ['credential'],
    }),
    'db-ca': text('authority of its certificate, PEM; default the usual ones', 'FILE'),
    group: text('group of the people who may read; default data-science', 'NAME'),
    admins: text('group that runs and audits the gateway; default platform', 'NAME'),
    collections: text('tables that readers may read, with commas; default docs', 'LIST'),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(GatewayInit)
    const { directory, yes, force, name, tls, cert, key, 'password-stdin': piped, ...rest } = flags
    const [{ interview, terminalAsk }, { initGateway }] = await Promise.all([
      import('../../init-interview.js'),
      import('../../../gateway/init.js'),
    ])
    const { json: _json, ...given } = rest
    const quiet = yes || piped || process.stdin.isTTY !== true || !this.output.interactive
    const secret = piped ? { passwordStdin: await passwordFromStdin() } : {}
    const answers = await interview(
      given,
      { names: name, tls, cert, key, ...secret },
      quiet ? undefined : await terminalAsk(),
    )
    initSaid(this.output, initGateway(directory, answers, { force, now: Date.now() }))
  }
}
