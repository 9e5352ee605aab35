// Owns what `gateway init` reads from a pipe and what it tells when it is done.

import { isAbsolute, relative } from 'node:path'
import { VgateError } from '../core/errors.js'
import type { InitResult } from '../gateway/init.js'
import type { Output } from './output.js'
import { shellWord } from './people.js'

const PASSWORD_BYTES = 64 * 1024

/** The first line of stdin. Rejects with VGATE_USAGE when there is none. */
export async function passwordFromStdin(): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of process.stdin) {
    parts.push(Buffer.from(part))
    size += parts.at(-1)?.length ?? 0
    if (size > PASSWORD_BYTES) throw new VgateError('VGATE_USAGE', 'stdin is too long')
  }
  const line = Buffer.concat(parts).toString('utf8').split(/\r?\n/)[0] ?? ''
  if (line === '') throw new VgateError('VGATE_USAGE', '--password-stdin: stdin is empty')
  return line
}

/** Says what was written and what to do next; with --json one object. */
export function initSaid(output: Output, result: InitResult): void {
  const config = shown(result.config)
  const ca = result.ca === undefined ? '' : ` --ca ${shown(result.ca)}`
  const commands = {
    check: `vgate gateway check --config ${config}`,
    start: `vgate gateway start --config ${config}`,
    login: `vgate login --gateway ${shellWord(result.publicUrl)}${ca}`,
  }
  output.result({ ...result, ...commands })
  output.say(`${output.colour.green('✔')} wrote ${result.files.join(', ')} in ${result.directory}`)
  for (const warning of result.warnings) output.warn(warning)
  if (output.json) return
  output.say('\nFirst look through both files, and check them:')
  output.data(`  ${commands.check}`)
  if (result.variable !== undefined)
    output.say(`(where it runs, ${result.variable} must hold the database's password)`)
  output.say('Start it:')
  output.data(`  ${commands.start}`)
  output.say('Then everybody, with a copy of the authority’s certificate where there is one:')
  output.data(`  ${commands.login}`)
  if (result.caKey === undefined) return
  output.warn(
    `${result.caKey} can make certificates for this gateway’s names; the gateway does not need it: move it to a medium that you keep offline`,
  )
}

/** A path as one would type it from here. */
function shown(path: string): string {
  const near = relative(process.cwd(), path)
  return shellWord(near.startsWith('..') || isAbsolute(near) ? path : near)
}
