// Owns running a command line once, and errors that come before any command runs (unknown commands, a broken
// installation), so that they too have a code, a hint and, with --json, a form for scripts.

import { Errors, flush, run } from '@oclif/core'
import { VgateError } from '../core/errors.js'
import { Output } from './output.js'

/** Runs the arguments; sets the exit code and never throws. `entry` is the URL of a file of the package. */
export async function startCli(argv: readonly string[], entry: string): Promise<void> {
  try {
    await run([...argv], entry)
    await flush()
  } catch (error) {
    process.exitCode = report(error, argv)
  }
}

/** What oclif's not-found hook exits with. */
const NOT_FOUND = 127

function report(error: unknown, argv: readonly string[]): number {
  const exit =
    error instanceof Errors.CLIError || error instanceof Errors.ExitError
      ? error.oclif.exit
      : undefined
  if (exit === 0) return 0
  if (error instanceof Errors.ExitError) return exit ?? 1
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
