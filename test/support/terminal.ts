// Owns a small terminal for tests: it knows what the player may send and nothing else. An escape that it does not know
// fails the test: it would have come out of a recording.

// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what it looks for
const SEQUENCE = /^\u001b\[(\??)([0-9;]*)([A-Za-z])/

export class TestTerminal {
  width: number
  height: number
  #rows: string[][] = []
  #row = 0
  #column = 0
  /** Modes that were set and not reset, such as `?1049`. */
  readonly modes = new Set<string>()
  /** What was sent that a player never sends. */
  readonly strange: string[] = []
  /** How often a colour or another style was set. */
  colours = 0
  /** What was written outside the other screen. */
  outside = ''
  #rest = ''

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.#clear()
  }

  get lines(): readonly string[] {
    return this.#rows.map((row) => row.join('').trimEnd())
  }

  get text(): string {
    return this.lines.join('\n')
  }

  resize(width: number, height: number): void {
    this.width = width
    this.height = height
    this.#clear()
  }

  write(data: string): void {
    let text = this.#rest + data
    this.#rest = ''
    while (text !== '') {
      if (text.startsWith('\u001b')) {
        const found = SEQUENCE.exec(text)
        if (found === null) {
          // It may have been cut in the middle.
          if (text.length < 16) this.#rest = text
          else this.strange.push(text.slice(0, 16))
          if (text.length < 16) return
          text = text.slice(1)
          continue
        }
        this.#sequence(found)
        text = text.slice(found[0].length)
        continue
      }
      const [character = ''] = text
      this.#print(character)
      text = text.slice(character.length)
    }
  }

  #sequence([whole, mark, parameters = '', letter]: RegExpExecArray): void {
    if (mark === '?' && (letter === 'h' || letter === 'l')) {
      if (letter === 'h') this.modes.add(`?${parameters}`)
      else this.modes.delete(`?${parameters}`)
    } else if (mark === '' && letter === 'H') {
      const [row = 1, column = 1] = parameters.split(';').map(Number)
      this.#row = row - 1
      this.#column = column - 1
    } else if (mark === '' && letter === 'J' && parameters === '2') this.#clear()
    else if (mark === '' && letter === 'K') {
      const row = this.#rows[this.#row]
      // Behind the last column the cursor stands on it: terminals erase the character that was just written there.
      const from = Math.min(this.#column, this.width - 1)
      if (row !== undefined) row.length = Math.min(row.length, from)
    } else if (mark === '' && letter === 'm') {
      if (parameters !== '0') this.colours += 1
    } else this.strange.push(whole)
  }

  #print(character: string): void {
    if (!this.modes.has('?1049')) {
      this.outside += character
      return
    }
    if (/\p{Cc}/u.test(character)) {
      this.strange.push(JSON.stringify(character))
      return
    }
    const row = this.#rows[this.#row]
    if (row === undefined || this.#column >= this.width + 1) {
      this.strange.push(`${character} beyond the screen`)
      return
    }
    while (row.length < this.#column) row.push(' ')
    row[this.#column] = character
    this.#column += 1
    if (
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(character)
    ) {
      row[this.#column] = ''
      this.#column += 1
    }
    if (this.#column > this.width) this.strange.push(`${character} beyond column ${this.width}`)
  }

  #clear(): void {
    this.#rows = Array.from({ length: this.height }, () => [])
  }
}
