// Owns walking a JSON text and replacing values in it, all else kept byte for byte (numbers lose no digit). Iterative:
// nesting costs no stack.

/**
 * What to do with the value that begins here. `path` is the member names down to it, joined by dots; lists add
 * nothing to it. Beyond 1,024 characters it ends in NUL, which no mask's path does.
 */
export interface JsonVisitor {
  /** Text to put in place of the whole value; undefined to look inside. `raw` is a scalar's text, undefined for lists and maps. */
  value(path: string, raw: string | undefined): string | undefined
  /** Text to put in place of a member's name; undefined to keep it. */
  name(path: string, raw: string): string | undefined
}

interface Frame {
  readonly kind: '{' | '['
  readonly path: string
  expectsName: boolean
}

const MAX_PATH = 1024
const SCALAR = /[^\s,:[\]{}"]+/y

/** Rewrites a JSON text. Undefined when it is not one valid JSON document. */
export function rewriteJson(text: string, visitor: JsonVisitor): string | undefined {
  try {
    JSON.parse(text)
  } catch {
    return undefined
  }
  const walk = new Walk(text, visitor)
  return walk.run()
}

class Walk {
  readonly #text: string
  readonly #visitor: JsonVisitor
  readonly #frames: Frame[] = []
  #path = ''
  readonly #out: string[] = []
  #at = 0
  /** Frames left to skip: the value that they belong to has been replaced. */
  #skip = 0

  constructor(text: string, visitor: JsonVisitor) {
    this.#text = text
    this.#visitor = visitor
  }

  run(): string {
    while (this.#at < this.#text.length) this.#step()
    return this.#out.join('')
  }

  #step(): void {
    const character = this.#text[this.#at] ?? ''
    if (character === '{' || character === '[') this.#open(character)
    else if (character === '}' || character === ']') this.#close(character)
    else if (character === '"') this.#string()
    else if (character === ',') {
      this.#next()
      this.#copy(1)
    } else if (/[\s:]/.test(character)) this.#copy(1)
    else this.#scalar(this.#bare())
  }

  #open(kind: '{' | '['): void {
    if (this.#skip > 0) this.#skip += 1
    else {
      const replaced = this.#visitor.value(this.#path, undefined)
      if (replaced === undefined) {
        this.#frames.push({ kind, path: this.#path, expectsName: kind === '{' })
        this.#out.push(kind)
      } else {
        this.#out.push(replaced)
        this.#skip = 1
      }
    }
    this.#at += 1
  }

  #close(kind: string): void {
    if (this.#skip > 0) {
      this.#skip -= 1
    } else {
      this.#frames.pop()
      this.#out.push(kind)
    }
    this.#at += 1
  }

  #next(): void {
    const frame = this.#frames.at(-1)
    if (this.#skip > 0 || frame === undefined) return
    this.#path = frame.path
    frame.expectsName = frame.kind === '{'
  }

  #string(): void {
    const raw = this.#text.slice(this.#at, stringEnd(this.#text, this.#at))
    const frame = this.#frames.at(-1)
    if (this.#skip > 0 || frame?.expectsName !== true) {
      this.#scalar(raw)
      return
    }
    frame.expectsName = false
    this.#path = pathTo(frame.path, String(JSON.parse(raw)))
    this.#out.push(this.#visitor.name(this.#path, raw) ?? raw)
    this.#at += raw.length
  }

  #scalar(raw: string): void {
    if (this.#skip === 0) this.#out.push(this.#visitor.value(this.#path, raw) ?? raw)
    this.#at += raw.length
  }

  #bare(): string {
    SCALAR.lastIndex = this.#at
    const token = SCALAR.exec(this.#text)?.[0]
    // JSON.parse has accepted the text, so this cannot be; going on would loop without end.
    if (token === undefined) throw new Error('malformed JSON after it was parsed')
    return token
  }

  #copy(length: number): void {
    if (this.#skip === 0) this.#out.push(this.#text.slice(this.#at, this.#at + length))
    this.#at += length
  }
}

/** The end of the string literal that begins at `start`: the next quote that no odd run of backslashes precedes. */
function stringEnd(text: string, start: number): number {
  for (
    let quote = text.indexOf('"', start + 1);
    quote !== -1;
    quote = text.indexOf('"', quote + 1)
  ) {
    let slash = quote
    while (text[slash - 1] === '\\') slash -= 1
    if ((quote - slash) % 2 === 0) return quote + 1
  }
  throw new Error('malformed JSON after it was parsed')
}

function pathTo(parent: string, name: string): string {
  if (parent.endsWith('\0')) return parent
  const path = parent === '' ? name : `${parent}.${name}`
  return path.length <= MAX_PATH ? path : `${parent}.\0`
}
