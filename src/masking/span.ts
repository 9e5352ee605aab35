// Owns spans of a text: where a detector found something.

/** UTF-16 units, end exclusive. */
export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * Finds what it is named after. Linear in the length of the text, whatever the text is. `folded` is `foldDigits` of it,
 * where several look at one text.
 */
export type Detector = (text: string, folded?: string) => Span[]

/** The runs of ASCII digits of a text, in order. */
export function digitGroups(text: string): Span[] {
  const groups: Span[] = []
  // By `test`, which makes no list for each: numbers are what a text has many of.
  const digits = /\d+/g
  while (digits.test(text)) {
    const end = digits.lastIndex
    let start = end - 1
    while (isDigit(text.charCodeAt(start - 1))) start -= 1
    groups.push({ start, end })
  }
  return groups
}

/** An ASCII digit; NaN, before the begin, is none. */
function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** How long it is, in UTF-16 units. */
export function lengthOf({ start, end }: Span): number {
  return end - start
}

/** Decimal digits of other scripts as ASCII ones, so that detectors see them; positions stay the same. */
export function foldDigits(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text
  return text.replace(/[^\0-\x7f]/g, (unit) => {
    if (!/\p{Nd}/u.test(unit)) return unit
    // Decimal digits of a script stand together in order, and their blocks begin at a digit zero.
    let value = 0
    while (value < 9 && /\p{Nd}/u.test(String.fromCharCode(unit.charCodeAt(0) - value - 1)))
      value += 1
    return String(value)
  })
}

export function isLetterOrDigit(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_]/u.test(character)
}
