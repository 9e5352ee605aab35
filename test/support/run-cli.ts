// Owns running the real binary as people and scripts do: stdout, stderr and exit code apart, nothing on stdin, an own
// state folder, no keychain, no colours.

import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

export interface CliResult {
  readonly exit: number | undefined
  readonly stdout: string
  readonly stderr: string
}

function environment(
  folder: string,
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VGATE_|PG|CI$|FORCE_COLOR|NODE_|VITEST)/.test(name),
  )
  const own = { VGATE_CONFIG_DIR: folder, VGATE_TOKEN_STORE: 'file', NO_COLOR: '1', ...env }
  return Object.fromEntries(
    [...inherited, ...Object.entries(own)].map(([name, value]) => [name, value ?? '']),
  )
}

/** Starts the binary; for commands that run on. */
export function spawnCli(
  args: readonly string[],
  folder: string,
  env: Readonly<Record<string, string>> = {},
  cwd?: string,
) {
  return execa(process.execPath, [BIN, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: environment(folder, env),
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
  })
}

export type CliProcess = ReturnType<typeof spawnCli>

/** Runs the binary to its end. */
export async function runCli(
  args: readonly string[],
  folder: string,
  env: Readonly<Record<string, string>> = {},
  cwd?: string,
): Promise<CliResult> {
  const { exitCode, stdout, stderr } = await spawnCli(args, folder, env, cwd)
  return { exit: exitCode, stdout: String(stdout), stderr: String(stderr) }
}

/** The JSON lines of stdout. */
export function events(stdout: string): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** Waits for a line of a running process. It only listens: what execa collects stays whole. */
export function untilLine(
  child: ReturnType<typeof spawnCli>,
  wanted: (line: string) => boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = text.split('\n').slice(0, -1).find(wanted)
      if (found !== undefined) resolve(found)
    })
    child.stdout.on('end', () => reject(new Error(`ended before the line came: ${text}`)))
  })
}
