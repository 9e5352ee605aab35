// Owns what can be checked of the documents: links lead somewhere, every error code has its heading with the
// right faces, examples of configuration are files that exist or YAML that parses, commands named are commands.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ERRORS } from '../src/core/errors.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
].sort()
const read = (page: string): string => readFileSync(join(root, page), 'utf8')

/** GitHub's anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

const anchorsOf = (page: string): string[] =>
  [...read(page).matchAll(/^#+ (.+)$/gm)].map((match) => anchorOf(match[1] ?? ''))

/** Fenced blocks of one language. */
const blocksOf = (page: string, language: string): string[] =>
  [...read(page).matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1] ?? '',
  )

describe('links', () => {
  it.each(pages)('of %s lead to a file, and to a heading in it', (page) => {
    const text = read(page).replace(/^```[\s\S]*?^```/gm, '')
    const links = [...text.matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(
      (match) => match[1] ?? '',
    )
    const broken = links.filter((link) => {
      const [path = '', anchor] = link.split('#')
      const file = path === '' ? join(root, page) : join(root, dirname(page), path)
      if (!existsSync(file)) return true
      if (anchor === undefined) return false
      return statSync(file).isDirectory() || !anchorsOf(relative(root, file)).includes(anchor)
    })
    expect(broken).toEqual([])
  })
})

describe('docs/errors.md', () => {
  const sections = read('docs/errors.md')
    .split(/^## /m)
    .filter((section) => section.startsWith('VGATE_'))

  it('has one heading for each code, in the order of the table', () => {
    const headings = sections.map((section) => section.split('\n')[0])
    expect(headings).toEqual(Object.keys(ERRORS))
  })

  it.each(Object.entries(ERRORS))('states the faces of %s', (code, faces) => {
    const section = sections.find((one) => one.startsWith(`${code}\n`))
    const { exit, http, grpc, sqlstate, close } = faces
    expect(section).toContain(
      `Exit ${exit} · HTTP ${http} · gRPC ${grpc} · SQLSTATE ${sqlstate} · close ${close}\n`,
    )
    expect(section).toContain('**What to do**: ')
  })
})

describe('examples', () => {
  it.each(pages)('of YAML in %s parse', (page) => {
    for (const block of blocksOf(page, 'yaml')) expect(() => parse(block)).not.toThrow()
  })

  it('name commands that exist', () => {
    const commands = new Set(
      readdirSync(join(root, 'src/cli/commands'), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .flatMap((file) => {
          const words = file.replace(/(?:\/index)?\.ts$/, '').split('/')
          return words.map((_, index) => words.slice(0, index + 1).join(' '))
        }),
    )
    // Given by oclif's plugins.
    for (const word of ['help', 'autocomplete']) commands.add(word)
    const unknown = pages.flatMap((page) =>
      [...blocksOf(page, 'sh'), ...blocksOf(page, 'console')]
        .flatMap((block) => [...block.matchAll(/^(?:\$ )?vgate ([a-z][a-z-]*)/gm)])
        .map((match) => match[1] ?? '')
        .filter((word) => !commands.has(word))
        .map((word) => `${page}: vgate ${word}`),
    )
    expect(unknown).toEqual([])
  })

  it('name npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json'))
    const named = pages.flatMap((page) => [...read(page).matchAll(/npm (?:run )([a-z:]+)/g)])
    expect(named.map((match) => match[1]).filter((name) => !(String(name) in scripts))).toEqual([])
  })
})

describe('style', () => {
  it.each(pages)('%s has one title, at its top', (page) => {
    const text = read(page).replace(/^```[\s\S]*?^```/gm, '')
    expect(text.startsWith('# ')).toBe(true)
    expect(text.match(/^# /gm)).toHaveLength(1)
  })

  it.each(
    pages.filter((page) => /^docs\/adr\/\d/.test(page)),
  )('%s says context, decision, consequences', (page) => {
    const headings = [...read(page).matchAll(/^## (.+)$/gm)].map((match) => match[1])
    expect(headings).toEqual(['Context', 'Decision', 'Consequences'])
  })
})
