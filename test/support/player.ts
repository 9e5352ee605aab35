// Owns running `vgate replay` on a real pseudo-terminal, and looking at what is on its screen.

import { fileURLToPath } from 'node:url'
import { type IPty, spawn } from '@lydell/node-pty'
import { execa } from 'execa'
import { TestTerminal } from './terminal.js'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const WAIT_MS = 25_000

export class TestPlayer {
  readonly terminal: TestTerminal
  readonly #pty: IPty
  readonly ended: Promise<number>
  readonly #waitMs: number
  #wake: (() => void)[] = []

  /** `command` and its arguments; the binary by default. */
  constructor(options: {
    readonly args: readonly string[]
    readonly folder: string
    readonly width: number
    readonly height: number
    readonly env?: Readonly<Record<string, string>>
    readonly shell?: boolean
    /** How long `shows` waits. */
    readonly waitMs?: number
  }) {
    const { args, folder, width, height, env, shell } = options
    this.#waitMs = options.waitMs ?? WAIT_MS
    this.terminal = new TestTerminal(width, height)
    const { PATH = '', HOME = '' } = process.env
    const own = { PATH, HOME, TERM: 'xterm-256color', LANG: 'C.UTF-8', VGATE_CONFIG_DIR: folder }
    const command = shell
      ? ['/bin/sh', '-c', 'stty -g; "$@"; echo "exit $?"; stty -g', 'sh', process.execPath, BIN]
      : [process.execPath, BIN]
    this.#pty = spawn(command[0] ?? '', [...command.slice(1), ...args], {
      cols: width,
      rows: height,
      cwd: folder,
      env: { ...own, VGATE_TOKEN_STORE: 'file', ...env },
    })
    this.#pty.onData((data) => {
      this.terminal.write(data)
      for (const wake of this.#wake.splice(0)) wake()
    })
    this.ended = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => {
        resolve(signal ? 128 + signal : exitCode)
        for (const wake of this.#wake.splice(0)) wake()
      })
    })
  }

  get pid(): number {
    return this.#pty.pid
  }

  press(keys: string): void {
    this.#pty.write(keys)
  }

  resize(width: number, height: number): void {
    this.terminal.resize(width, height)
    this.#pty.resize(width, height)
  }

  /** Process id of the binary that the shell runs. */
  async child(): Promise<string> {
    const { stdout } = await execa('ps', ['-o', 'pid=', '--ppid', String(this.#pty.pid)])
    return stdout.trim()
  }

  /** Waits until the screen shows this. */
  async shows(wanted: string | RegExp): Promise<void> {
    const isThere = (): boolean =>
      typeof wanted === 'string'
        ? this.terminal.text.includes(wanted)
        : wanted.test(this.terminal.text)
    const until = Date.now() + this.#waitMs
    while (!isThere()) {
      if (Date.now() > until) throw new Error(`not shown: ${wanted}\n${this.terminal.text}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }
}
