// Owns a section of docs/benchmarks.md between two marks, so that each benchmark writes its own and leaves the others.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url))

/** The sections of a page, each with its marks. */
export function sectionsOf(page: string): string[] {
  return page.match(/<!-- section (\S+) -->[\s\S]*?<!-- end of \1 -->\n?/g) ?? []
}

/** Puts a section in its place, or behind everything else. */
export function writeSection(name: string, text: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const section = `<!-- section ${name} -->\n${text.trim()}\n<!-- end of ${name} -->\n`
  const old = sectionsOf(page).find((one) => one.startsWith(`<!-- section ${name} -->`))
  const fresh =
    old === undefined ? `${page.trimEnd()}\n\n${section}` : page.replace(old, () => section)
  writeFileSync(PAGE, fresh)
}
