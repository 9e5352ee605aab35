// Owns the note that a running `connect` leaves for `vgate env` and for a second `connect`: private, removed with the
// process, ignored when its process is gone. It holds the port's secret, and nothing that works elsewhere.

import { unlinkSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { VgateError } from '../core/errors.js'
import { isAlive } from './lock.js'
import { fileName, type StateDir } from './state-dir.js'

const FOLDER = 'run'

export const runtimeNote = z.object({
  v: z.literal(1),
  pid: z.number().int(),
  gateway: z.string(),
  target: z.string(),
  session: z.string(),
  host: z.string(),
  port: z.number().int(),
  url: z.string(),
  env: z.record(z.string(), z.string()),
  expires_at: z.string(),
})
export type RuntimeNote = z.infer<typeof runtimeNote>

export class RuntimeFile {
  readonly #state: StateDir
  readonly #name: string
  #path: string | undefined
  readonly #removeAtExit = (): void => this.removeNow()

  constructor(state: StateDir, gateway: string, target: string) {
    this.#state = state
    this.#name = `${fileName(gateway, target)}.json`
  }

  /** The note of a `connect` that is running now, or undefined. */
  async read(): Promise<RuntimeNote | undefined> {
    const found = runtimeNote.safeParse(await this.#state.read(FOLDER, this.#name))
    return found.success && isAlive(found.data.pid) ? found.data : undefined
  }

  /** Rejects with VGATE_ALREADY_CONNECTED and the pid when another process is connected. */
  async refuseSecond(): Promise<void> {
    const note = await this.read()
    if (note === undefined || note.pid === process.pid) return
    throw new VgateError(
      'VGATE_ALREADY_CONNECTED',
      `already connected to ${note.target} on port ${note.port} by process ${note.pid}`,
      {
        hint: `use that connection (\`vgate env ${note.target}\`), or stop it with \`kill ${note.pid}\``,
        details: { pid: note.pid, port: note.port },
      },
    )
  }

  /** Leaves the note. It goes with this process, however that ends short of a kill -9. */
  async write(note: RuntimeNote): Promise<void> {
    await this.refuseSecond()
    const path = await this.#state.place(FOLDER, this.#name)
    await rm(path, { force: true })
    await writeFile(path, JSON.stringify(note), { mode: 0o600, flag: 'wx' })
    this.#path = path
    process.once('exit', this.#removeAtExit)
  }

  removeNow(): void {
    if (this.#path === undefined) return
    process.off('exit', this.#removeAtExit)
    try {
      unlinkSync(this.#path)
    } catch {
      // Gone already: that is what was wanted.
    }
    this.#path = undefined
  }

  get path(): string {
    return join(this.#state.path, FOLDER, this.#name)
  }
}
