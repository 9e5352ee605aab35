// Owns the terminal while the player has it: the other screen, raw keys, no cursor, no wrapping. Whatever happens, it
// gives back what it took. It must never write a text that the view did not make.

import type { ReadStream, WriteStream } from 'node:tty'
import { keysOf } from './keys.js'

const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J'
const LEAVE = '\u001b[0m\u001b[?7h\u001b[?25h\u001b[?1049l'
/** What is asked of terminals that say nothing of their size. */
const FALLBACK = { width: 80, height: 24 }

export interface Listener {
  key(key: string): void
  resize(width: number, height: number): void
  /** The terminal is gone. */
  gone(): void
}

export class Screen {
  readonly #input: ReadStream
  readonly #output: WriteStream
  readonly #listener: Listener
  #painted: readonly string[] = []
  #entered = false

  constructor(input: ReadStream, output: WriteStream, listener: Listener) {
    this.#input = input
    this.#output = output
    this.#listener = listener
  }

  get size(): { readonly width: number; readonly height: number } {
    const { columns, rows } = this.#output
    return { width: columns || FALLBACK.width, height: rows || FALLBACK.height }
  }

  /** Takes the terminal, until `leave` or the end of the process. */
  enter(): void {
    this.#entered = true
    // Also after an error that nobody caught.
    process.once('exit', this.#leave)
    this.#input.setRawMode(true)
    this.#input.setEncoding('utf8')
    this.#input.on('data', this.#onData)
    this.#input.once('end', this.#onGone)
    this.#input.once('error', this.#onGone)
    this.#output.once('error', this.#onGone)
    this.#output.on('resize', this.#onResize)
    this.#input.resume()
    this.#output.write(ENTER)
  }

  /** Gives the terminal back as it was. */
  leave(): void {
    this.#leave()
    process.off('exit', this.#leave)
    this.#input.off('data', this.#onData)
    this.#input.off('end', this.#onGone)
    this.#input.off('error', this.#onGone)
    this.#output.off('error', this.#onGone)
    this.#output.off('resize', this.#onResize)
    this.#input.pause()
  }

  /** Shows these lines; only those that changed are sent. */
  paint(lines: readonly string[]): void {
    if (!this.#entered) return
    let text = ''
    for (const [row, line] of lines.entries()) {
      // Erased before it is written: after a line that fills the row it would take the last character away.
      if (line !== this.#painted[row]) text += `\u001b[${row + 1};1H\u001b[K${line}\u001b[0m`
    }
    this.#painted = lines
    if (text !== '') this.#output.write(text)
  }

  readonly #leave = (): void => {
    if (!this.#entered) return
    this.#entered = false
    try {
      this.#input.setRawMode(false)
      this.#output.write(LEAVE)
    } catch {
      // The terminal is gone: there is nothing to give back.
    }
  }

  readonly #onData = (chunk: string): void => {
    for (const key of keysOf(chunk)) this.#listener.key(key)
  }

  readonly #onGone = (): void => this.#listener.gone()

  readonly #onResize = (): void => {
    const { width, height } = this.size
    this.#painted = []
    this.#output.write('\u001b[2J')
    this.#listener.resize(width, height)
  }
}
