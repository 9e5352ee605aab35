// Owns what is left of a message in the demo's data: its own text, and nobody's address, number, link or full name.

import { createHash } from 'node:crypto'

const MAX_BODY = 1300

const GIVEN = [
  'Robin',
  'Sasha',
  'Kim',
  'Noor',
  'Alex',
  'Jules',
  'Mika',
  'Toni',
  'Ren',
  'Lou',
  'Ezra',
  'Yuri',
  'Dana',
  'Remy',
  'Ariel',
  'Nico',
  'Sam',
  'Charlie',
  'Quinn',
  'Marlow',
]
const FAMILY = [
  'Ashdown',
  'Birch',
  'Calder',
  'Dunmore',
  'Elmwood',
  'Fenwick',
  'Garrow',
  'Hollin',
  'Inskip',
  'Jessop',
  'Kestrel',
  'Larkin',
  'Marlin',
  'Norrow',
  'Oakes',
  'Penrose',
  'Quill',
  'Rowan',
  'Sorrel',
  'Thornby',
]
const CRUDE =
  /\b(?:sex\w*|porn\w*|fuck\w*|shit\w*|nigg\w*|rape\w*|penis|viagra|cunt|bitch\w*|faggot\w*|whore\w*|masturbat\w*|orgasm\w*|genital\w*|nazi\w*|suicide)\b/i
const ENGLISH = /\b(?:the|and|of|to|is|that|it|for|in|you|this|with|have|not|are)\b/gi
const ADDRESS = /[a-z0-9._%+=-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*/gi
const SPOKEN_ADDRESS =
  /\b[a-z0-9._-]+\s*(?:\(at\)|\[at\]|<at>|_at_|\sat\s)\s*[a-z0-9-]+(?:\s*(?:\(dot\)|\[dot\]|_dot_|\sdot\s|\.)\s*[a-z]{2,})+\b/gi
const PHONE =
  /(?<![\w.:/-])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?|\d{2,5}[ .-])*(?!(?:19|20)\d\d-(?:19|20)?\d\d)(?:\d{3,4}[ -]\d{4}|\d{2,5}[ .-]\d{3,4}[ .-]?\d{3,4})(?![\w-])/g
const LINK = /\b(?:https?|ftp):\/\/[^\s<>"')\]]+|\bwww\.[^\s<>"')\]]+/gi
const HOST_NUMBER = /\b\d{1,3}(?:\.\d{1,3}){3}\b/g

const hash = (text) => createHash('sha256').update(`vgate demo\n${text.toLowerCase()}`).digest()
const pick = (list, byte) => list[byte % list.length]
const invented = (text) => {
  const bytes = hash(text)
  return { given: pick(GIVEN, bytes[0]), family: pick(FAMILY, bytes[1]), bytes }
}

/** An invented address, the same for the same text every time. */
export function stableEmail(text) {
  const { given, family, bytes } = invented(ADDRESS.exec(text)?.[0] ?? text)
  ADDRESS.lastIndex = 0
  return `${given}.${family}${(bytes[2] % 90) + 10}@example.org`.toLowerCase()
}

/** An invented number out of the range that is kept free for fiction. */
function stablePhone(text) {
  const bytes = hash(text.replace(/\D/g, ''))
  return `+1 202-555-01${String(bytes[0] % 100).padStart(2, '0')}`
}

/** Full names out of the From headers, each with an invented one. */
export function findNames(headers) {
  const names = new Map()
  for (const header of headers) {
    const shown = header
      .replace(/<[^>]*>|[^\s]+@[^\s]+/g, ' ')
      .replace(/["'()]/g, ' ')
      .replace(/\s+/g, ' ')
      .trim()
    if (!/^[A-Z][a-z]+(?: [A-Z]\.?)?(?: [A-Z][A-Za-z-]+){1,2}$/.test(shown)) continue
    const { given, family } = invented(shown)
    names.set(shown, `${given} ${family}`)
    const parts = shown.split(' ')
    if (parts.length > 2) names.set(`${parts[0]} ${parts.at(-1)}`, `${given} ${family}`)
  }
  return names
}

function replacePeople(text, names) {
  let result = text
    .replace(LINK, (link) => `https://www.example.org/${hash(link).toString('hex').slice(0, 6)}`)
    .replace(ADDRESS, (address) => stableEmail(address))
    .replace(SPOKEN_ADDRESS, (address) => stableEmail(address))
    .replace(HOST_NUMBER, (address) => `192.0.2.${hash(address)[0]}`)
    .replace(PHONE, (phone) => stablePhone(phone))
  for (const [name, other] of names)
    if (result.includes(name)) result = result.replaceAll(name, other)
  return result
}

function decode(body) {
  const quotedPrintable = /=\n|=20|=3D/.test(body)
  const text = quotedPrintable
    ? body.replace(/=\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => {
        const code = Number.parseInt(hex, 16)
        return code < 0x80 ? String.fromCharCode(code) : ' '
      })
    : body
  return text.replace(/\uFFFD|[^\x20-\x7e\n\t]/g, ' ').replace(/<[a-z/][^>\n]{0,80}>/gi, ' ')
}

const FOOTER =
  /^(?:--+ ?$|-- |__+|==+|\*\*+ ?$|~~+|[-=_]{5,}|-+ ?Original Message|Begin forwarded|-----BEGIN|To unsubscribe|This sf\.net email|Yahoo! Groups Sponsor|You have received this message because|Copyright \d)/i
const DROPPED =
  /^\s*(?:[A-Za-z]{0,12}>|\*.*\*$|Message-Id|Content-|References:|In-Reply-To|ph#|[|}:] |From:|To:|Sent:|Date:|Subject:|Cc:|URL:|Reply-To:|Posted\b|Tel|Phone|Fax|Mobile)/i
const ATTRIBUTION =
  /(?:wrote|writes|said|schrieb)\s*:?\s*$|^\s*(?:Quoting|On (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)|In message|At \d|Once upon)/i

/** The writer's own lines: no quotes, no attribution, no signature, no list footer, no sign-off. */
function ownText(body) {
  const kept = []
  for (const line of body
    .replace(/-----BEGIN PGP SIGNED MESSAGE-----\n(?:Hash:.*\n)?/g, '')
    .split('\n')) {
    const text = line.trimEnd()
    if (FOOTER.test(text.trim())) {
      if (kept.some((other) => other.trim() !== '')) break
      continue
    }
    if (DROPPED.test(text) || ATTRIBUTION.test(text)) continue
    kept.push(text.trim())
  }
  while (
    kept.length > 0 &&
    (kept.at(-1) === '' ||
      (kept.length > 1 && kept.at(-1).length < 28 && !/[.?!:;)]$/.test(kept.at(-1))))
  )
    kept.pop()
  return kept
    .join('\n')
    .replace(/[ \t]+/g, ' ')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
}

function shorten(text) {
  if (text.length <= MAX_BODY) return text
  const cut = text.slice(0, MAX_BODY)
  const end = Math.max(cut.lastIndexOf('. '), cut.lastIndexOf('.\n'), cut.lastIndexOf('\n\n'))
  return cut.slice(0, end > MAX_BODY / 2 ? end + 1 : cut.lastIndexOf(' ')).trim()
}

/** Subject, list and own text of a message; undefined where nothing fit to show is left. */
export function clean(message, names) {
  const body = shorten(replacePeople(ownText(decode(message.body)), names))
  const rawSubject = message.subject
    .replace(/=\?[^?]*\?[QB]\?[^?]*\?=/gi, ' ')
    .replace(/[^\x20-\x7e]/g, ' ')
  const subject = replacePeople(
    rawSubject
      .replace(/\[[^\]]*\]/g, ' ')
      .replace(/\b(?:re|fwd?|fw|aw|sv)(?:\[\d+\])?: */gi, '')
      .replace(/\s+/g, ' ')
      .trim(),
    names,
  )
  const english = (body.match(ENGLISH) ?? []).length / Math.max(1, body.split(/\s+/).length)
  if (
    /out of (?:the )?office/i.test(subject) ||
    subject.length < 4 ||
    english < 0.1 ||
    CRUDE.test(body) ||
    CRUDE.test(subject)
  )
    return undefined
  const list =
    /([a-z][a-z-]+)(?:\.|@|>)/i.exec(message.list.replace(/^.*</, ''))?.[1]?.toLowerCase() ?? ''
  return {
    subject: subject.slice(0, 120),
    body,
    list: list.replace(/-(?:list|talk|users|admin)$/, ''),
  }
}
