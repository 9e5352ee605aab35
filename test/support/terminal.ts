// Owns running a command at a terminal of its own, as a person would, with the `script` of util-linux.

import { spawnSync } from 'node:child_process'
import { execa } from 'execa'

/** True where a terminal can be had. */
export const hasTerminal = (): boolean =>
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true

/** Types each answer once its question stands there. Throws when a question never comes. */
export async function atTerminal(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  answers: readonly (readonly [question: string, answer: string])[],
): Promise<{ readonly exitCode: number; readonly shown: string }> {
  const line = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const child = execa('script', ['-qefc', line, '/dev/null'], {
    env: { ...env },
    extendEnv: false,
    reject: false,
    all: true,
    timeout: 60_000,
  })
  let shown = ''
  let from = 0
  const waiting = [...answers]
  child.all.on('data', (bytes: Buffer) => {
    shown += bytes.toString()
    const [next] = waiting
    if (next === undefined || !shown.slice(from).includes(next[0])) return
    from = shown.length
    waiting.shift()
    child.stdin.write(`${next[1]}\n`)
  })
  const { exitCode } = await child
  if (waiting[0] !== undefined) throw new Error(`never asked: ${waiting[0][0]}; shown: ${shown}`)
  return { exitCode: exitCode ?? -1, shown }
}
