// Owns running a command line once, and errors that come before any command runs (unknown commands, a broken
// installation), so that they too have a code, a hint and, with --json, a form for scripts.

import { VgateError } from '../core/errors.js'
import { Output, oclifExit } from './output.js'

/** Runs the arguments; sets the exit code and never throws. `entry` is the URL of a file of the package. */
export async function startCli(argv: readonly string[], entry: string): Promise<void> {
  try {
    if (!asksForHelp(argv)) {
      const { runOwnCommand } = await import('./own-commands.js')
      if (await runOwnCommand(argv)) return
    }
    // Help, completion and words that name no command are for oclif's plugins, which bring oclif with them.
    const { flush, run } = await import('@oclif/core')
    await run([...argv], entry)
    await flush()
  } catch (error) {
    process.exitCode = report(error, argv)
  }
}

function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return argv.length === 0 || (end === -1 ? argv : argv.slice(0, end)).includes('--help')
}

/** What oclif's not-found hook exits with. */
const NOT_FOUND = 127

function report(error: unknown, argv: readonly string[]): number {
  const exit = oclifExit(error)
  if (exit === 0) return 0
  if (exit !== undefined && error instanceof Error && 'code' in error && error.code === 'EEXIT')
    return exit
  const json =
    argv.includes('--json') && (!argv.includes('--') || argv.indexOf('--json') < argv.indexOf('--'))
  const output = new Output({
    json,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
  })
  if (exit !== NOT_FOUND) return output.fail(error)
  const words = argv.filter((word) => !word.startsWith('-')).slice(0, 2)
  return output.fail(
    new VgateError('VGATE_USAGE', `there is no command ${words.join(' ')}`, {
      hint: 'see `vgate help`',
    }),
  )
}
