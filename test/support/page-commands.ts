// Owns running the commands of a page as its reader would: in bash, one after the other, in one folder. What a command
// exports stays for the next; one that runs on is left running once it has said that it is ready.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'

export interface Said {
  readonly exitCode: number
  /** stdout and stderr. */
  readonly text: string
}

export interface StillRunning {
  /** What matched. */
  readonly ready: RegExpMatchArray
  readonly ended: Promise<Said>
  stop(): Promise<Said>
}

/** Commands in the fenced blocks of these languages, in the page's order, without the prompt. */
export function commandsOf(page: string): string[] {
  const blocks = [...page.matchAll(/^```(console|sh)\n([\s\S]*?)^```/gm)]
  return blocks.flatMap(([, language, block = '']) =>
    block
      .split('\n')
      .filter((line) => (language === 'console' ? line.startsWith('$ ') : line !== ''))
      .map((line) => line.replace(/^\$ /, '')),
  )
}

/** One reader at one terminal. */
export class Terminal {
  readonly #folder: string
  readonly #path: string
  #env: Record<string, string>

  constructor(folder: string, name: string, path: string, env: Record<string, string> = {}) {
    const home = join(folder, 'homes', name)
    mkdirSync(home, { recursive: true })
    this.#folder = folder
    this.#path = path
    this.#env = { HOME: home, VGATE_TOKEN_STORE: 'file', NO_COLOR: '1', ...env }
  }

  /** Runs it to its end. */
  async run(command: string): Promise<Said> {
    const kept = join(this.#env['HOME'] ?? '', 'environment')
    const child = this.#spawn(`${command}\nstatus=$?\nenv -0 > "$HOME/environment"\nexit $status`)
    const { exitCode, all } = await child
    // `exec` in the command ends the shell before it can say what it exports.
    if (existsSync(kept)) this.#keep(readFileSync(kept, 'utf8'))
    return { exitCode: exitCode ?? -1, text: all }
  }

  /** Starts it and waits until it has said this. Rejects with all that it said when it ends before. */
  async start(command: string, ready: RegExp): Promise<StillRunning> {
    const child = this.#spawn(`exec ${command}`)
    const ended = child.then(({ exitCode, all }): Said => ({ exitCode: exitCode ?? -1, text: all }))
    let text = ''
    const found = new Promise<RegExpMatchArray>((resolve) => {
      child.all.on('data', (bytes: Buffer) => {
        text += bytes.toString()
        const match = ready.exec(text)
        if (match !== null) resolve(match)
      })
    })
    const first = await Promise.race([found, ended])
    if ('exitCode' in first) throw new Error(`${command}: ${first.exitCode}: ${first.text}`)
    return {
      ready: first,
      ended,
      stop: async () => {
        child.kill('SIGINT')
        return await ended
      },
    }
  }

  #spawn(script: string) {
    return execa('bash', ['-c', script], {
      cwd: this.#folder,
      env: { PATH: this.#path, ...this.#env },
      extendEnv: false,
      reject: false,
      all: true,
      stdin: 'ignore',
      forceKillAfterDelay: 5_000,
    })
  }

  #keep(environment: string): void {
    for (const pair of environment.split('\0')) {
      const at = pair.indexOf('=')
      if (/^(PG|VGATE_|DATABASE_URL)/.test(pair)) this.#env[pair.slice(0, at)] = pair.slice(at + 1)
    }
  }
}

/** Puts an executable script into a folder. */
export function installScript(folder: string, name: string, lines: string): void {
  const file = join(folder, name)
  writeFileSync(file, `#!/bin/sh\n${lines}\n`)
  chmodSync(file, 0o755)
}
