// Owns running the real command line for the tour: once, or staying on with its events.

import { createInterface } from 'node:readline'
import { execa } from 'execa'
import { approveDevice } from './approve-device.js'
import { type Event, parseEvent } from './child.js'
import { commandEnvironment } from './files.js'
import type { DemoPerson } from './identity-provider.js'
import { COMMAND, type DemoWorld } from './world.js'

export interface Ran {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** The object, or the last event, that `--json` printed. */
  readonly json: Event
}

const ONCE_MS = 30_000
const EVENT_MS = 20_000

/** Who types it: a person with a folder of their own, and what else is in their environment. */
export interface Typist {
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
}

function options(
  world: DemoWorld,
  typist: Typist,
): {
  readonly env: Readonly<Record<string, string>>
  readonly extendEnv: false
  readonly reject: false
  readonly stdin: 'ignore'
} {
  const { PATH = '', HOME = '' } = process.env
  const env = {
    PATH,
    HOME,
    CI: '1',
    NO_COLOR: '1',
    ...commandEnvironment(world.folder, world.gateway, typist.name),
    ...typist.env,
  }
  return { env, extendEnv: false, reject: false, stdin: 'ignore' }
}

/** Runs a command to its end. */
export async function runCommand(
  world: DemoWorld,
  typist: Typist,
  args: readonly string[],
): Promise<Ran> {
  const done = await execa(process.execPath, ['--no-warnings', COMMAND, ...args], {
    ...options(world, typist),
    timeout: ONCE_MS,
  })
  const last = done.stdout.trimEnd().split('\n').at(-1) ?? ''
  const json = parseEvent(done.stdout) ?? parseEvent(last) ?? {}
  return { exitCode: done.exitCode ?? 1, stdout: done.stdout, stderr: done.stderr, json }
}

/** `vgate login`, with somebody in a browser who is this person. */
export async function logIn(
  world: DemoWorld,
  person: DemoPerson,
): Promise<{ readonly code: string; readonly loggedIn: Event; readonly exitCode: number }> {
  const command = new Staying(world, { name: person }, ['login', '--json', '--no-browser'])
  try {
    const device = await command.event('device_code')
    await approveDevice(String(device['verification_uri_complete']), person)
    const loggedIn = await command.event('logged_in')
    return { code: String(device['user_code']), loggedIn, exitCode: await command.end() }
  } finally {
    await command.stop()
  }
}

/** A command that runs on and prints events. */
export class Staying {
  readonly #kill: (signal: 'SIGINT' | 'SIGKILL') => void
  readonly #done: Promise<{ readonly exitCode: number; readonly stderr: string }>
  readonly #events: Event[] = []
  readonly #wake = new Set<() => void>()
  #taken = 0
  #over = false

  constructor(world: DemoWorld, typist: Typist, args: readonly string[]) {
    const started = execa(process.execPath, ['--no-warnings', COMMAND, ...args], {
      ...options(world, typist),
      buffer: { stdout: false },
    })
    createInterface({ input: started.stdout }).on('line', (line) => {
      const event = parseEvent(line)
      if (event !== undefined) this.#events.push(event)
      this.#notify()
    })
    this.#kill = (signal) => void started.kill(signal)
    this.#done = started.then(({ exitCode, stderr }) => {
      this.#over = true
      this.#notify()
      return { exitCode: exitCode ?? 1, stderr }
    })
  }

  /** The event of this name that nobody has taken yet, now or soon. Rejects when the command ends without it, or after 20 s. */
  async event(name: string): Promise<Event> {
    const late = Date.now() + EVENT_MS
    for (;;) {
      const at = this.#events.findIndex(
        ({ event }, index) => index >= this.#taken && event === name,
      )
      const found = this.#events[at]
      if (found !== undefined) {
        this.#taken = at + 1
        return found
      }
      if (this.#over || Date.now() > late)
        throw new Error(
          `no event "${name}"; seen: ${JSON.stringify(this.#events)} ${this.#over ? (await this.#done).stderr : ''}`,
        )
      await this.#something(late)
    }
  }

  /** SIGINT, as Ctrl-C; waits for the end. */
  async stop(): Promise<void> {
    if (this.#over) return
    this.#kill('SIGINT')
    const timer = setTimeout(() => this.#kill('SIGKILL'), 10_000)
    await this.#done
    clearTimeout(timer)
  }

  /** Waits for the command's own end; answers its exit code. */
  async end(): Promise<number> {
    return (await this.#done).exitCode
  }

  #notify(): void {
    for (const wake of this.#wake) wake()
    this.#wake.clear()
  }

  async #something(until: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake.add(resolve)
      timer = setTimeout(resolve, Math.max(1, until - Date.now()))
    })
    clearTimeout(timer)
  }
}
