// Owns running a command at a terminal of its own, as a person would.

import { spawn } from '@lydell/node-pty'

/** Types each answer once its question stands there. Throws when a question never comes. */
export async function atTerminal(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  answers: readonly (readonly [question: string, answer: string])[],
): Promise<{ readonly exitCode: number; readonly shown: string }> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { cols: 200, rows: 50, env: { ...env } })
  let shown = ''
  let from = 0
  const waiting = [...answers]
  child.onData((text) => {
    shown += text
    const [next] = waiting
    if (next === undefined || !shown.slice(from).includes(next[0])) return
    from = shown.length
    waiting.shift()
    child.write(`${next[1]}\r`)
  })
  const exitCode = await new Promise<number>((resolve) =>
    child.onExit((end) => resolve(end.exitCode)),
  )
  if (waiting[0] !== undefined) throw new Error(`never asked: ${waiting[0][0]}; shown: ${shown}`)
  return { exitCode, shown }
}
