// Owns spans of a text: where a detector found something.

/** UTF-16 units, end exclusive. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Finds what it is named after. Linear in the length of the text, whatever the text is. */
export type Detector = (text: string) => Span[]

/** One run of digits. */
export interface DigitGroup extends Span {
  readonly digits: string
}

/** The runs of ASCII digits of a text, in order. */
export function digitGroups(text: string): DigitGroup[] {
  const groups: DigitGroup[] = []
  for (const match of text.matchAll(/\d+/g)) {
    groups.push({ start: match.index, end: match.index + match[0].length, digits: match[0] })
  }
  return groups
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
