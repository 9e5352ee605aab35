// Owns how many columns text takes in a terminal, and cutting and folding it to them. Where terminals disagree the
// larger number is taken: a line may end early, but never runs into the next one.

/** Wide and fullwidth ranges of Unicode's East Asian Width; emoji are found by their property. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2329, 0x232a],
  [0x2e80, 0x303e],
  [0x3041, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18dff],
  [0x1aff0, 0x1b2ff],
  [0x1f200, 0x1f265],
  [0x20000, 0x3fffd],
]
const NARROW = /^[\x20-\x7e]*$/
const COMBINING = /^[\p{Mn}\p{Me}]$/u
const EMOJI = /^\p{Emoji_Presentation}$/u
const EMOJI_SELECTOR = 0xfe0f

function columnsOfPoint(character: string): number {
  const code = character.codePointAt(0) ?? 0
  if (code < 0x300) return 1
  // The selector asks for the wide form of the character before it.
  if (code === EMOJI_SELECTOR) return 1
  if (COMBINING.test(character)) return 0
  const wide = WIDE.some(([from, to]) => code >= from && code <= to) || EMOJI.test(character)
  return wide ? 2 : 1
}

/** Columns of neutralised text: combining marks take none, East Asian and emoji characters two. */
export function columnsOf(text: string): number {
  if (NARROW.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += columnsOfPoint(character)
  return columns
}

/** At most `width` columns, the last an ellipsis where something was left out. */
export function cut(text: string, width: number): string {
  // A character has at least one column or hangs on one that has: a huge text is not measured to its end.
  if (text.length <= width && columnsOf(text) <= width) return text
  if (width < 1) return ''
  const [head] = split(text, width)
  if (head.length === text.length) return text
  const [shorter] = split(text, width - 1)
  return `${shorter}…`
}

/** Text filled up with spaces to `width` columns. */
export function padTo(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - columnsOf(text)))
}

/** Lines of at most `width` columns, broken at spaces where there are some; at most `most` lines of a huge text. */
export function fold(text: string, width: number, most = Number.POSITIVE_INFINITY): string[] {
  if (!Number.isFinite(width)) return [text]
  const lines: string[] = []
  let rest = text
  while (lines.length < most) {
    const [head, tail] = split(rest, Math.max(1, width))
    if (tail === '') return [...lines, rest]
    const space = tail.startsWith(' ') ? head.length : head.lastIndexOf(' ')
    // A break in the first half would leave more blank than it is worth.
    const at = space > head.length / 2 ? space : head.length
    lines.push(rest.slice(0, at).trimEnd())
    rest = rest.slice(at).replace(/^ /, '')
  }
  return lines
}

/** The longest beginning of at most `width` columns (at least one character), and the rest. */
function split(text: string, width: number): readonly [string, string] {
  let columns = 0
  let at = 0
  while (at < text.length) {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0)
    columns += columnsOfPoint(character)
    if (columns > width && at > 0) break
    at += character.length
  }
  return [text.slice(0, at), text.slice(at)]
}
