// Owns what is shown of a text by the lexical rules of SQL alone, where no tree helps: vectors reduced, secrets cut.
// Every pattern is linear: such texts are megabytes, and anybody's.

/** What stands in place of a literal that may be a secret. */
export const SECRET = "'[secret]'"

const NUMBERS = String.raw`[-+0-9.eE]+(?:\s*,\s*[-+0-9.eE]+)+`
const VECTOR_LITERAL = new RegExp(
  String.raw`(?:\b[eE]|\b[uU]&)?'\s*\[\s*${NUMBERS}\s*\]\s*'|\$(\w*)\$\s*\[\s*${NUMBERS}\s*\]\s*\$\1\$`,
  'g',
)
/** Comments, literals and quoted names. What is not closed reaches to the end. */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|(?:\b[uU]&)?'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|\$(\w*)\$[\s\S]*?(?:\$\1\$|$)/g
const QUOTE = /^(?:[eEuU]&?)?'|^\$/
const NEXT_WORD = /\b(password\b\s*(?:=\s*)?)[^\s'"$;=][^\s;]*/gi
const SPEAKS_OF_PASSWORDS = /password/i

/** A statement's text without any literal or comment, for statements whose literals are secrets. */
export function withoutLiterals(text: string): string {
  return text.replace(TOKEN, (token) =>
    QUOTE.test(token) ? SECRET : token.startsWith('"') ? token : '',
  )
}

/** The text of what could not be parsed: literal vectors reduced; without its literals where it speaks of a password. */
export function unparsedText(text: string): string {
  if (SPEAKS_OF_PASSWORDS.test(text))
    return withoutLiterals(text).replace(NEXT_WORD, (_found, before: string) => before + SECRET)
  return text.replace(VECTOR_LITERAL, (found) => `vector(${found.split(',').length})`)
}

/** Why it could not be parsed. The grammar quotes what it stopped at. */
export function unparsedReason(text: string, reason: string): string {
  return SPEAKS_OF_PASSWORDS.test(text) ? reason.replace(/ (?:at or )?near "[\s\S]*$/, '') : reason
}
