// Owns JSON as a type and its canonical bytes.

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/**
 * Canonical JSON text: keys sorted by UTF-16 code unit, no white space, numbers and strings as
 * `JSON.stringify` writes them (the rules of RFC 8785 §3.2). Members that are `undefined` are left out.
 * Throws a TypeError for a number that JSON cannot carry.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quoted(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'number':
      if (!Number.isFinite(value))
        throw new TypeError('canonical JSON cannot carry a non-finite number')
      return JSON.stringify(value)
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? canonicalArray(value) : canonicalObject(value)
    default:
      throw new TypeError(`canonical JSON cannot carry a ${typeof value}`)
  }
}

/** What JSON.stringify would escape. Without it, quoting by hand is three times as fast. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must be escaped (RFC 8259 §7)
const ESCAPED = /[\u0000-\u001f"\\\ud800-\udfff]/

function quoted(text: string): string {
  return text.length < 64 && !ESCAPED.test(text) ? `"${text}"` : JSON.stringify(text)
}

function canonicalArray(items: readonly unknown[]): string {
  let text = '['
  for (let index = 0; index < items.length; index += 1) {
    if (index > 0) text += ','
    text += canonicalJson(items[index] ?? null)
  }
  return `${text}]`
}

function canonicalObject(value: object): string {
  let text = ''
  for (const key of Object.keys(value).sort()) {
    const member: unknown = Reflect.get(value, key)
    if (member !== undefined)
      text += `${text === '' ? '' : ','}${quoted(key)}:${canonicalJson(member)}`
  }
  return `{${text}}`
}
