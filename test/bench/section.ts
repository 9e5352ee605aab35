// Owns a section of docs/benchmarks.md, from its heading to the next, so that each benchmark writes its own and leaves the
// others.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url))

/** Heading of the benchmark of searches, as it begins. */
export const SESSIONS_HEADING = 'Lists and searches'

/** The section whose heading begins so; empty where there is none. */
export function sectionOf(page: string, heading: string): string {
  const from = page.indexOf(`## ${heading}`)
  if (from < 0) return ''
  const next = page.indexOf('\n## ', from)
  return page.slice(from, next < 0 ? page.length : next + 1)
}

/** A page made anew, with what other benchmarks wrote behind it in the old one. */
export function withSectionsOf(old: string, text: string): string {
  const headings = [...old.matchAll(/^## (.*)$/gm)].map(([, heading = '']) => heading)
  const kept = headings
    .filter((heading) => sectionOf(text, heading) === '')
    .map((heading) => sectionOf(old, heading).trim())
  return `${[text.trim(), ...kept].join('\n\n')}\n`
}

/** Puts a section behind everything else, in place of the one before. */
export function writeSection(heading: string, text: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const rest = page.replace(sectionOf(page, heading), '')
  writeFileSync(PAGE, `${rest.trimEnd()}\n\n${text.trim()}\n`)
}
