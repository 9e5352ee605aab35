// Owns where a command line keeps its state, and how files there are written: private, whole or not at all.
// Must never hold a token: those are the keychain's.

import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { signingKey } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { hasCode } from '../core/system-error.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** What was learned about a gateway at login. Public knowledge only. */
export const gatewayProfile = z.object({
  url: z.string(),
  caFile: z.string().optional(),
  /** Keys that sign its recordings, pinned at login. */
  keys: z.array(signingKey),
  provider: z.object({
    name: z.string(),
    issuer: z.string(),
    clientId: z.string(),
    scopes: z.array(z.string()),
  }),
  principal: z.object({ id: z.string(), name: z.string() }),
})
export type GatewayProfile = z.infer<typeof gatewayProfile>

/** `VGATE_CONFIG_DIR`, else `$XDG_CONFIG_HOME/vgate`, else `~/.config/vgate`. */
export function statePath(env: Environment): string {
  const own = env['VGATE_CONFIG_DIR']
  if (own !== undefined && own !== '') return own
  const xdg = env['XDG_CONFIG_HOME']
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.config'), 'vgate')
}

/** A short name for a file that belongs to these words. */
export function fileName(...words: string[]): string {
  return createHash('sha256').update(JSON.stringify(words)).digest('hex').slice(0, 24)
}

export class StateDir {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Makes the folder (0700) if it is not there, and answers the path of a file or folder in it. */
  async place(...parts: string[]): Promise<string> {
    const folder = join(this.path, ...parts.slice(0, -1))
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await chmod(this.path, 0o700)
    } catch (cause) {
      throw new VgateError('VGATE_UNEXPECTED', `cannot use the state folder ${this.path}`, {
        cause,
        hint: 'set VGATE_CONFIG_DIR to a folder of your own',
      })
    }
    return join(folder, parts.at(-1) ?? '')
  }

  /** The file's JSON, or undefined when it does not exist. Throws for one that cannot be read or is not JSON. */
  async read(...parts: string[]): Promise<unknown> {
    const path = join(this.path, ...parts)
    try {
      return JSON.parse(await readFile(path, 'utf8'))
    } catch (cause) {
      if (isMissing(cause)) return undefined
      throw new VgateError('VGATE_UNEXPECTED', `cannot read ${path}`, {
        cause,
        hint: 'remove the file and run `vgate login` again',
      })
    }
  }

  /** Replaces a file as a whole, readable by its owner alone. */
  async write(value: unknown, ...parts: string[]): Promise<void> {
    const path = await this.place(...parts)
    const fresh = `${path}.${randomBytes(6).toString('hex')}`
    await writeFile(fresh, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
    await rename(fresh, path)
  }

  async remove(...parts: string[]): Promise<void> {
    await rm(join(this.path, ...parts), { force: true })
  }

  /** Names in a folder; none when it does not exist. */
  async list(folder: string): Promise<string[]> {
    try {
      return await readdir(join(this.path, folder))
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }

  /** What is known of a gateway; undefined before the first login. */
  async profile(url: string): Promise<GatewayProfile | undefined> {
    const found = await this.read('gateways', `${fileName(url)}.json`)
    return found === undefined ? undefined : gatewayProfile.parse(found)
  }

  async saveProfile(profile: GatewayProfile): Promise<void> {
    await this.write(profile, 'gateways', `${fileName(profile.url)}.json`)
    await this.write({ url: profile.url }, 'current.json')
  }

  /** The gateway of the last login. */
  async currentGateway(): Promise<string | undefined> {
    const found = z.object({ url: z.string() }).safeParse(await this.read('current.json'))
    return found.success ? found.data.url : undefined
  }

  /** Keys pinned at any login, for proving recordings offline. */
  async pinnedKeys(): Promise<GatewayProfile['keys']> {
    const keys: GatewayProfile['keys'] = []
    for (const name of await this.list('gateways')) {
      if (name.endsWith('.json'))
        keys.push(...gatewayProfile.parse(await this.read('gateways', name)).keys)
    }
    return keys
  }
}

/** True for the error of a file that is not there. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT')
}
