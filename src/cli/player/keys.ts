// Owns what a terminal sends for keys. Pure.

const SEQUENCES: Readonly<Record<string, string>> = {
  '[A': 'up',
  OA: 'up',
  '[B': 'down',
  OB: 'down',
  '[C': 'right',
  OC: 'right',
  '[D': 'left',
  OD: 'left',
  '[5~': 'pageup',
  '[6~': 'pagedown',
  '[H': 'home',
  OH: 'home',
  '[1~': 'home',
  '[7~': 'home',
  '[F': 'end',
  OF: 'end',
  '[4~': 'end',
  '[8~': 'end',
}
const CONTROLS: Readonly<Record<string, string>> = {
  '\u0003': 'ctrl-c',
  '\u0004': 'ctrl-d',
  '\u0008': 'backspace',
  '\u007f': 'backspace',
  '\r': 'enter',
  '\n': 'enter',
  '\u0015': 'ctrl-u',
  '\u001b': 'escape',
}
// CSI with its parameters, SS3, or any one character.
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what it looks for
const TOKEN = /\u001b(\[[0-9;]*[ -/]*[@-~]|O[A-Z])|[\s\S]/gu

/** The keys in what came from the terminal at once; what is not known is left out. */
export function keysOf(chunk: string): readonly string[] {
  const keys: string[] = []
  for (const [token, sequence] of chunk.matchAll(TOKEN)) {
    const key = sequence === undefined ? (CONTROLS[token] ?? plain(token)) : SEQUENCES[sequence]
    if (key !== undefined) keys.push(key)
  }
  return keys
}

function plain(token: string): string | undefined {
  return /^[\p{Cc}\p{Cf}\p{Cs}]$/u.test(token) ? undefined : token
}
