// Owns the short way to a command of vgate's own: oclif's configuration with this package alone in it. oclif's own way
// looks for its plugins first, which costs a command as much time as everything else together.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Command } from '@oclif/core/command'
import { Config, Plugin } from '@oclif/core/config'
import { normalizeArgv } from '@oclif/core/help'
import type { PJSON } from '@oclif/core/interfaces'
import { PACKAGE_ROOT } from '../core/place.js'

/** Runs the command that the arguments name. False, and nothing ran, when they name none: that is for oclif's plugins. */
export async function runOwnCommand(argv: readonly string[]): Promise<boolean> {
  const plugin = ownPlugin()
  const plugins = new Map([[plugin.name, plugin]])
  const config = await Config.load({ root: plugin.root, plugins })
  const [id = '', ...rest] = normalizeArgv(config, [...argv])
  const command = config.findCommand(id)
  if (command === undefined) return false
  await config.runCommand(id, rest, command)
  return true
}

/** This package as oclif's `Plugin.load` would fill it in, from the manifest that the build writes. */
function ownPlugin(): Plugin {
  const root = fileURLToPath(PACKAGE_ROOT)
  const pjson: PJSON = readJson('package.json')
  const { commands }: { commands: Record<string, Command.Cached> } = readJson('oclif.manifest.json')
  return Object.assign(new Plugin({ isRoot: true, pjson, root }), {
    name: pjson.name,
    version: pjson.version,
    root,
    pjson,
    type: 'core',
    valid: true,
    hooks: {},
    commands: Object.values(commands).map((command) => ({
      ...command,
      load: () => loadCommand(command),
    })),
  })
}

async function loadCommand({ id, relativePath = [] }: Command.Cached): Promise<Command.Class> {
  const file = new URL(relativePath.join('/'), PACKAGE_ROOT)
  const { default: found }: { default: Command.Class } = await import(file.href)
  found.id = id
  return found
}

function readJson(name: string) {
  return JSON.parse(readFileSync(new URL(name, PACKAGE_ROOT), 'utf8'))
}
