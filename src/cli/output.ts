// Owns the terminal. The rules: stdout is data, stderr is for people. With --json stdout carries JSON alone: one
// object, or one event a line. What came from elsewhere is shown with control and bidirectional characters made
// visible. Colour only on a terminal without NO_COLOR. A closed pipe ends quietly. Never a stack, never a secret
// that was not asked for.

import { stripVTControlCharacters } from 'node:util'
import { Chalk, type ChalkInstance } from 'chalk'
import { neutralizeLines } from '../audit/neutralize.js'
import type { Environment } from '../client/state-dir.js'
import { VgateError } from '../core/errors.js'

export interface Stream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): boolean
}

export interface Failure {
  readonly code: string
  readonly message: string
  readonly hint?: string
  readonly exit: number
}

/** Text from elsewhere, safe for a terminal; it may have several lines. */
export function visible(text: string): string {
  return neutralizeLines(text).join('\n')
}

/** JSON on one line whose text holds nothing that moves a terminal's cursor: the same value, spelled in escapes. */
export function jsonLine(value: unknown): string {
  const spell = (found: string): string =>
    found
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join('')
  return JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, spell)
}

export class Output {
  readonly json: boolean
  /** For stderr. */
  readonly colour: ChalkInstance
  /** For stdout. */
  readonly dataColour: ChalkInstance
  readonly #stdout: Stream
  readonly #stderr: Stream
  readonly #env: Environment

  constructor(options: {
    readonly json: boolean
    readonly stdout: Stream
    readonly stderr: Stream
    readonly env: Environment
  }) {
    this.json = options.json
    this.#stdout = options.stdout
    this.#stderr = options.stderr
    this.#env = options.env
    const plain = (options.env['NO_COLOR'] ?? '') !== '' || options.env['TERM'] === 'dumb'
    this.colour = new Chalk({ level: plain || options.stderr.isTTY !== true ? 0 : 1 })
    this.dataColour = new Chalk({ level: plain || options.stdout.isTTY !== true ? 0 : 1 })
  }

  /** People are watching stderr, and nothing reads JSON. */
  get interactive(): boolean {
    return this.#stderr.isTTY === true && !this.json && (this.#env['CI'] ?? '') === ''
  }

  /** Somebody sits at a terminal that can be drawn on: keys come in, pictures go out. */
  get takesKeys(): boolean {
    const terminals = this.#stdout.isTTY === true && process.stdin.isTTY === true
    return terminals && !this.json && (this.#env['CI'] ?? '') === '' && this.#env['TERM'] !== 'dumb'
  }

  /** Data for people or a pipe; nothing under --json. */
  data(text: string): void {
    if (!this.json) this.#stdout.write(`${text}\n`)
  }

  /** The one object of a one-shot command. Nothing without --json. */
  result(fields: object): void {
    if (this.json) this.#stdout.write(`${jsonLine({ v: 1, ...fields })}\n`)
  }

  /** One event of a command that runs on. Nothing without --json. */
  event(event: string, fields: object): void {
    if (this.json)
      this.#stdout.write(
        `${jsonLine(Object.assign({ v: 1, event, at: new Date().toISOString() }, fields, { v: 1, event }))}\n`,
      )
  }

  /** A line for people; nothing under --json. */
  say(text: string): void {
    if (!this.json) this.#stderr.write(`${text}\n`)
  }

  /** A line that people should not miss; also under --json. */
  warn(text: string): void {
    this.#stderr.write(`${this.colour.yellow('warning:')} ${visible(text)}\n`)
  }

  /** Reports a failure in the one way there is, and answers its exit code. */
  fail(error: unknown): number {
    const failure = failureOf(error)
    const { code, message, hint } = failure
    if (this.json) {
      const body = { code, message, ...(hint === undefined ? {} : { hint }) }
      this.#stdout.write(`${jsonLine({ error: body })}\n`)
    } else {
      this.#stderr.write(`${this.colour.red('error:')} ${visible(message)}\n`)
      if (hint !== undefined) this.#stderr.write(`  ${visible(hint)}\n`)
      this.#stderr.write(`  ${this.colour.dim(code)}\n`)
    }
    if ((this.#env['VGATE_DEBUG'] ?? '') !== '' && error instanceof Error) {
      this.#stderr.write(`${visible(error.stack ?? '')}\n`)
      if (error.cause instanceof Error)
        this.#stderr.write(`caused by ${visible(error.cause.stack ?? '')}\n`)
    }
    return failure.exit
  }
}

/** What a failure is to the caller. Usage errors of oclif carry exit 2; anything else unknown is ours to fix. */
export function failureOf(error: unknown): Failure {
  if (error instanceof VgateError) {
    const { code, message, hint, faces } = error
    return { code, message, ...(hint === undefined ? {} : { hint }), exit: faces.exit }
  }
  if (error instanceof Error && oclifExit(error) === 2) {
    return { code: 'VGATE_USAGE', message: usageText(error.message), hint: 'see --help', exit: 2 }
  }
  const text = error instanceof Error ? error.message : String(error)
  return {
    code: 'VGATE_UNEXPECTED',
    message: `unexpected: ${text.split('\n')[0] ?? ''}`,
    hint: 'set VGATE_DEBUG=1 to see where, and please report it',
    exit: 1,
  }
}

/** The exit code that an error of oclif carries. It is told by its shape: plugins bring an oclif of their own. */
export function oclifExit(error: unknown): number | undefined {
  const oclif = error instanceof Error && 'oclif' in error ? error.oclif : undefined
  const exit =
    typeof oclif === 'object' && oclif !== null && 'exit' in oclif ? oclif.exit : undefined
  return typeof exit === 'number' ? exit : undefined
}

/** What oclif says of wrong flags: without the frame around it, and without its own colours. */
function usageText(message: string): string {
  const text = stripVTControlCharacters(message)
    .replace(/\n?See more help with --help$/, '')
    .replace(/^The following errors? occurred:\n/, '')
    .trim()
  return text.charAt(0).toLowerCase() + text.slice(1)
}
