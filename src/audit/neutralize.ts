// Owns making recorded text safe to show: terminal escapes, control, bidirectional and invisible characters are
// spelled out. What comes out of here never moves a cursor, changes a title or reorders what is read.

// Controls (C0, DEL, C1); format characters (directional marks, overrides and isolates, soft hyphen, BOM, tags); line
// and paragraph separators; lone surrogates; whatever else is meant to look like nothing. Not the emoji selector.
const UNSAFE = /(?!\ufe0f)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu

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
