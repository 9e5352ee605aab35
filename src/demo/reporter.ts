// Owns what the demo shows: a spinner on a terminal, lines elsewhere, NDJSON with `json`.

import yoctoSpinner, { type Spinner } from 'yocto-spinner'

export class Reporter {
  readonly #out: NodeJS.WritableStream
  readonly #json: boolean
  #spinner: Spinner | undefined

  constructor(out: NodeJS.WritableStream, json: boolean) {
    this.#out = out
    this.#json = json
  }

  get #terminal(): boolean {
    return (
      !this.#json &&
      'isTTY' in this.#out &&
      this.#out.isTTY === true &&
      process.env['CI'] === undefined
    )
  }

  /** Something that takes a while. */
  working(text: string): void {
    if (this.#json) this.event({ event: 'progress', text })
    else if (!this.#terminal) this.#out.write(`${text} …\n`)
    else if (this.#spinner === undefined)
      this.#spinner = yoctoSpinner({ text, stream: process.stderr }).start()
    else this.#spinner.text = text
  }

  /** It is over; whatever comes next is on a line of its own. */
  done(): void {
    this.#spinner?.stop()
    this.#spinner = undefined
  }

  /** For people. */
  text(text: string): void {
    if (!this.#json) this.#out.write(text)
  }

  line(text: string): void {
    this.text(`${text}\n`)
  }

  failure(text: string): void {
    if (this.#json) this.event({ event: 'failed', message: text })
    else this.line(`error: ${text}`)
  }

  /** For scripts. */
  event(event: Readonly<Record<string, unknown>>): void {
    if (this.#json)
      this.#out.write(`${JSON.stringify({ v: 1, ...event, at: new Date().toISOString() })}\n`)
  }
}
