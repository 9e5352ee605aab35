// Owns docs/cli.md: written from oclif's manifest, so that it says what the binary does.

export interface ManifestFlag {
  readonly name: string
  readonly description?: string
  readonly helpValue?: string
  readonly type: 'boolean' | 'option'
  readonly allowNo?: boolean
  readonly options?: readonly string[]
  readonly hidden?: boolean
}

export interface ManifestCommand {
  readonly id: string
  readonly description?: string
  readonly usage?: string
  readonly strict?: boolean
  readonly examples?: readonly string[]
  readonly args: Readonly<
    Record<
      string,
      { readonly name: string; readonly description?: string; readonly required?: boolean }
    >
  >
  readonly flags: Readonly<Record<string, ManifestFlag>>
}

export interface Manifest {
  readonly commands: Readonly<Record<string, ManifestCommand>>
}

const HEAD = `# Commands

Written by \`test/support/generate-cli-docs.ts\` from the commands themselves; do not edit.

stdout is data, stderr is for people. With \`--json\` stdout carries JSON alone: one object \`{"v":1,…}\`, or for commands
that run on one event a line, \`{"v":1,"event":…,"at":…}\`. A failure is \`{"error":{"code","message","hint"}}\`. vgate never asks
anything when stdin is not a terminal or \`CI\` is set.

## Exit codes
| code | meaning |
|---|---|
| 0 | done; for \`connect\` also the grant's own end |
| 1 | unexpected; a port in use; a second \`connect\` to one target; \`env\` without a \`connect\` |
| 2 | usage, or an unknown target |
| 4 | login needed |
| 5 | denied by policy, or revoked |
| 8 | gateway unreachable or lost |
| 9 | the database failed, or recording is not possible |
| 10 | integrity: a recording, or keys that changed |
| 11 | configuration invalid, or not supported yet |
| 12 | limit exceeded |
| 129, 130, 143 | SIGHUP, SIGINT, SIGTERM |

\`exec\` ends with its command's own code; 125 when the session was lost, 126 and 127 when the command could not be run.

## Events
| command | events |
|---|---|
| \`login\` | \`device_code{verification_uri,user_code,verification_uri_complete,expires_at}\`, \`logged_in{principal}\` |
| \`connect\` | \`ready{session,target,host,port,url,endpoints,env,expires_at}\`, \`denied{operation,rule,message}\`, \`expiring{expires_at}\`, \`reconnecting{cut,message,until}\`, \`reconnected{session,expires_at}\`, \`closed{reason,message}\` |
| \`gateway start\` | \`listening{url}\`, \`stopped\` |
| \`replay\` | \`verified{verdict,reason,records}\`, then every record under its own type; of a session that goes on \`following{verdict,records}\` first and \`verified\` last |

## Environment
| variable | meaning |
|---|---|
| \`VGATE_GATEWAY\` | address of the gateway |
| \`VGATE_CA_FILE\` | PEM file of an authority to trust besides the usual ones |
| \`VGATE_RECONNECT\` | seconds for which \`connect\` and \`exec\` dial a lost gateway again; default 30, 0: never |
| \`HTTPS_PROXY\`, \`HTTP_PROXY\`, \`NO_PROXY\` | the HTTP proxy for every call and the tunnel, in capitals or not; \`http://user:password@host:port\`. \`NO_PROXY\` lists names, \`.suffixes\`, \`*.suffixes\`, each with \`:port\` or not, or \`*\`. This machine (\`localhost\`, 127.0.0.0/8, ::1) is never asked for through a proxy |
| \`VGATE_CONFIG_DIR\` | folder of the state; default \`$XDG_CONFIG_HOME/vgate\` or \`~/.config/vgate\` |
| \`VGATE_TOKEN_STORE\` | \`keychain\`, \`file\` or \`memory\` |
| \`VGATE_STORE_KEY\` | encrypts the file that stands in for a keychain |
| \`VGATE_TOKEN\`, \`VGATE_TOKEN_FILE\` | a job's identity token, or the file that holds it; before any login ([ci.md](ci.md)) |
| \`VGATE_DEBUG\` | shows where an error came from |
`

/** The page for these commands. */
export function cliDocs(manifest: Manifest): string {
  const commands = Object.values(manifest.commands).sort((a, b) => (a.id < b.id ? -1 : 1))
  return `${HEAD}\n${commands.map(commandDocs).join('\n')}`
}

function commandDocs(command: ManifestCommand): string {
  const words = command.id.replaceAll(':', ' ')
  const args = Object.values(command.args)
  const usage =
    command.usage ?? [words, ...args.map((arg) => arg.name.toUpperCase()), '[FLAGS]'].join(' ')
  const lines = [
    `## vgate ${words}`,
    command.description ?? '',
    '',
    '```',
    `vgate ${usage}`,
    '```',
    '',
  ]
  if (args.length > 0)
    lines.push(
      '| argument | |',
      '|---|---|',
      ...args.map((arg) => `| \`${arg.name.toUpperCase()}\` | ${cell(arg.description)} |`),
      '',
    )
  const flags = Object.values(command.flags).filter((flag) => flag.hidden !== true)
  lines.push(
    '| flag | |',
    '|---|---|',
    ...flags.map((flag) => `| \`${flagName(flag)}\` | ${cell(flag.description)}${choices(flag)} |`),
    '',
  )
  const examples = (command.examples ?? []).map((example) =>
    example.replaceAll('<%= config.bin %>', 'vgate'),
  )
  if (examples.length > 0) lines.push('```sh', ...examples, '```', '')
  return lines.join('\n')
}

function flagName(flag: ManifestFlag): string {
  if (flag.type === 'boolean')
    return flag.allowNo === true ? `--[no-]${flag.name}` : `--${flag.name}`
  return `--${flag.name} ${flag.helpValue ?? 'VALUE'}`
}

function choices(flag: ManifestFlag): string {
  return flag.options === undefined ? '' : ` (${flag.options.join(', ')})`
}

function cell(text: string | undefined): string {
  return (text ?? '').replaceAll('|', '\\|')
}
