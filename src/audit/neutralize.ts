// Owns making recorded text safe to show: terminal escapes, control, bidirectional and invisible characters are
// spelled out. What comes out of here never moves a cursor, changes a title or reorders what is read.

// C0, DEL and C1; soft hyphen; Arabic letter mark; fillers that look like nothing; zero width and directional marks;
// line and paragraph separators, embeddings and overrides; invisible operators and isolates; BOM; interlinear
// annotation; tags; lone surrogates.
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]|\p{Cs}/gu

/** One line of safe text: ESC as `^[`, other controls as `^X`, the rest as `\u{202e}`. Tabs and line ends too. */
export function neutralize(text: string): string {
  return text.replace(UNSAFE, (found) => {
    const code = found.codePointAt(0) ?? 0
    if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`
    return code === 0x7f ? '^?' : `\\u{${code.toString(16)}}`
  })
}

/** Safe lines of a text that may have several; tabs become spaces. */
export function neutralizeLines(text: string): readonly string[] {
  return text.split(/\r\n|\n/).map((line) => neutralize(line.replaceAll('\t', '  ')))
}
