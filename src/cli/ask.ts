// Owns questions at the terminal. It never asks where nobody can answer: not on a pipe, and not under CI.

import { createInterface } from 'node:readline/promises'
import type { Environment } from '../client/state-dir.js'
import { VgateError } from '../core/errors.js'

/** Throws VGATE_USAGE where nobody can be asked. */
export function requireTerminal(env: Environment, instead: string): void {
  if (process.stdin.isTTY === true && (env['CI'] ?? '') === '') return
  throw new VgateError('VGATE_USAGE', 'there is no terminal to ask at', { hint: instead })
}

/** One line from the person at the terminal, trimmed. Throws VGATE_ANSWERED_NO when there is none. */
export async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const closed = new Promise<never>((_resolve, reject) => {
      terminal.once('close', () =>
        reject(new VgateError('VGATE_ANSWERED_NO', 'no answer was given')),
      )
    })
    return (await Promise.race([terminal.question(`${question} `), closed])).trim()
  } finally {
    terminal.removeAllListeners('close')
    terminal.close()
  }
}
