// Owns the rules of the house as data: who may import whom, what pure rooms may never touch, where each
// package may be used. A change of the tables below is a change of the architecture: it needs an ADR.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const src = join(root, 'src')

/** A room may import rooms of lower levels, and itself. */
const LEVELS: readonly (readonly string[])[] = [
  ['core'],
  ['identity', 'policy', 'masking', 'protocol', 'databases', 'audit', 'tunnel', 'secrets'],
  ['proxy', 'store'],
  ['client', 'control', 'agent'],
  ['cli', 'gateway', 'demo'],
]

/** Doors beside the levels: from a room to one file or one room. */
const DOORS: readonly { readonly from: string; readonly to: string; readonly lazy: boolean }[] = [
  { from: 'databases', to: 'protocol/table.ts', lazy: false },
  { from: 'cli', to: 'gateway', lazy: true },
  { from: 'cli', to: 'demo', lazy: true },
  { from: 'demo', to: 'gateway', lazy: true },
]

/** No sockets, files, environment or timers: that is what makes these rooms fuzzable. */
const PURE = ['protocol', 'policy', 'masking', 'databases', 'tunnel']
const PURE_BUILTINS = ['node:crypto', 'node:buffer', 'node:util', 'node:url']
/** The parser's WebAssembly is a CommonJS module, which only `createRequire` loads more than once. */
const BUILTIN_EXCEPTIONS = ['protocol/postgres/sql/parser.ts → node:module']
/** Workers' entries: they talk to the thread that started them, and to nobody else. */
const WORKER_ENTRIES = ['protocol/postgres/sql/parse-worker.ts']
const IMPURE_WORDS =
  /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask|fetch|randomUUID|getRandomValues)\s*\(|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bprocess\.(?:env|argv|cwd|exit|on|once|hrtime|memoryUsage|platform|nextTick|stdin|stdout|stderr)\b|\bconsole\./

/** Rooms in which a package may be imported. A package that is not here may not be imported at all. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@electric-sql/pglite': ['demo'],
  '@electric-sql/pglite-pgvector': ['demo'],
  '@hono/node-server': ['control', 'gateway'],
  '@napi-rs/keyring': ['client'],
  '@oclif/core': ['cli'],
  chalk: ['cli'],
  'cli-table3': ['cli', 'audit'],
  execa: ['cli', 'client', 'demo'],
  hono: ['control', 'gateway'],
  'https-proxy-agent': ['client'],
  inquirer: ['cli'],
  jose: ['identity', 'client', 'demo'],
  kysely: ['store'],
  'libpg-query': ['protocol'],
  libsql: ['store'],
  'lru-cache': ['protocol', 'proxy', 'policy', 'masking', 'identity', 'control'],
  'node-forge': ['gateway'],
  'oidc-provider': ['demo'],
  open: ['cli', 'client'],
  'openid-client': ['client'],
  pg: ['proxy', 'store', 'demo'], // side queries and the store; the data path has its own wire code
  pino: ['gateway', 'cli'],
  'proxy-from-env': ['client'],
  re2js: ['masking', 'policy'],
  ws: ['client', 'gateway'],
  yaml: ['core', 'identity', 'policy', 'gateway'],
  'yocto-spinner': ['cli', 'demo'],
  zod: [
    ...['core', 'policy', 'audit', 'identity', 'secrets', 'store'],
    ...['client', 'control', 'gateway', 'cli', 'demo'],
  ],
}

/** Files that walk one recursive grammar and therefore call each other. No other circle is allowed. */
const ONE_GRAMMAR = [
  ...['call', 'expression', 'from', 'merge', 'query', 'relation-columns'],
  ...['write', 'with', 'view'],
].map((name) => `protocol/postgres/sql/${name}.ts`)

const FORBIDDEN_NAMES =
  /(?:^|[-/.])(?:utils?|helpers?|common|managers?|services?|misc|v2)(?:[-/.]|$)/

interface Import {
  readonly file: string
  readonly specifier: string
  readonly lazy: boolean
}

const files = sourceFiles(src)
const imports = files.flatMap(importsOf)

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(src, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort()
}

/** Static, re-exporting, dynamic and type imports, and modules named by their place in the build (workers). */
function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true)
  const found: Import[] = []
  const add = (node: ts.Node | undefined, lazy: boolean): void => {
    if (node && ts.isStringLiteralLike(node)) found.push({ file, specifier: node.text, lazy })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
    } else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], true)
    } else if (ts.isCallExpression(node) && node.expression.getText() === 'builtFile') {
      const [first] = node.arguments
      if (first && ts.isStringLiteralLike(first)) {
        found.push({ file, specifier: join(relative(dirname(file), '.'), first.text), lazy: true })
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function read(file: string): string {
  return readFileSync(join(src, file), 'utf8')
}

function target({ file, specifier }: Import): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  const path = resolve(dirname(join(src, file)), specifier.replace(/\.js$/, '.ts'))
  return relative(src, path).split(sep).join('/')
}

const roomOf = (file: string): string => file.split('/')[0] ?? ''
const levelOf = (room: string): number => LEVELS.findIndex((rooms) => rooms.includes(room))

function packageOf(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '')
}

/** Code without comments and without the contents of strings, so that words in them do not count. */
function codeOf(file: string): string {
  const scanner = ts.createScanner(ts.ScriptTarget.Latest, true)
  scanner.setText(read(file))
  const tokens: string[] = []
  for (let kind = scanner.scan(); kind !== ts.SyntaxKind.EndOfFileToken; kind = scanner.scan()) {
    tokens.push(kind === ts.SyntaxKind.StringLiteral ? "''" : scanner.getTokenText())
  }
  return tokens.join(' ').replaceAll(' . ', '.').replaceAll(' (', '(').replaceAll('( )', '()')
}

describe('the house', () => {
  it('has only rooms that the table names', () => {
    expect([...new Set(files.map(roomOf))].filter((room) => levelOf(room) < 0)).toEqual([])
  })

  it('imports downwards only, and siblings not at all', () => {
    const wrong = imports.filter((one) => {
      const to = target(one)
      if (to === undefined || roomOf(to) === roomOf(one.file)) return false
      if (levelOf(roomOf(to)) < levelOf(roomOf(one.file))) return false
      return !DOORS.some(
        (door) =>
          door.from === roomOf(one.file) &&
          (door.to === to || door.to === roomOf(to)) &&
          (one.lazy || !door.lazy),
      )
    })
    expect(wrong.map((one) => `${one.file} → ${one.specifier}`)).toEqual([])
  })

  it('imports only what exists, by relative paths with .js', () => {
    const known = new Set(files)
    const wrong = imports.filter((one) => {
      const to = target(one)
      return to !== undefined && !known.has(to)
    })
    expect(wrong.map((one) => `${one.file} → ${one.specifier}`)).toEqual([])
  })

  it('has no circles', () => {
    const edges = new Map(files.map((file) => [file, new Set<string>()]))
    for (const one of imports) {
      const to = target(one)
      const inGrammar = [one.file, to ?? ''].every((file) => ONE_GRAMMAR.includes(file))
      if (to !== undefined && !one.lazy && !inGrammar) edges.get(one.file)?.add(to)
    }
    expect(circleIn(edges)).toEqual([])
  })

  it('names no product outside databases', () => {
    const wrong = imports.filter((one) => {
      const to = target(one)
      return (
        to?.startsWith('databases/') &&
        to !== 'databases/list.ts' &&
        to !== 'databases/types.ts' &&
        roomOf(one.file) !== 'databases'
      )
    })
    expect(wrong.map((one) => `${one.file} → ${one.specifier}`)).toEqual([])
  })
})

function circleIn(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return []
    for (const next of edges.get(file) ?? []) {
      const circle = walk(next, [...path, file])
      if (circle.length > 0) return circle
    }
    done.add(file)
    return []
  }
  for (const file of edges.keys()) {
    const circle = walk(file, [])
    if (circle.length > 0) return circle
  }
  return []
}

describe('pure rooms', () => {
  const pure = files.filter((file) => PURE.includes(roomOf(file)) && !WORKER_ENTRIES.includes(file))

  it('use no builtin that reaches the world', () => {
    const wrong = imports.filter(
      (one) =>
        pure.includes(one.file) &&
        one.specifier.startsWith('node:') &&
        !PURE_BUILTINS.includes(one.specifier),
    )
    const named = wrong.map((one) => `${one.file} → ${one.specifier}`)
    expect(named.filter((one) => !BUILTIN_EXCEPTIONS.includes(one))).toEqual([])
  })

  it('take time and randomness as arguments', () => {
    const wrong = pure.flatMap((file) => {
      const found = IMPURE_WORDS.exec(codeOf(file))
      return found ? [`${file}: ${found[0]}`] : []
    })
    expect(wrong).toEqual([])
  })

  it('take no randomness from node:crypto', () => {
    const wrong = pure.filter((file) =>
      /import\s*\{[^}]*\b(?:randomBytes|randomInt|randomUUID|randomFill)\b[^}]*\}\s*from 'node:crypto'/.test(
        read(file),
      ),
    )
    expect(wrong).toEqual([])
  })
})

describe('packages', () => {
  it('are imported in their rooms alone', () => {
    const wrong = imports.filter((one) => {
      if (one.specifier.startsWith('.') || one.specifier.startsWith('node:')) return false
      return !PACKAGES[packageOf(one.specifier)]?.includes(roomOf(one.file))
    })
    expect(wrong.map((one) => `${one.file} → ${one.specifier}`)).toEqual([])
  })

  it('are pinned exactly, and none that ships runs an install script', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const loose = Object.entries<string>(manifest.dependencies).filter(
      ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
    )
    expect(loose).toEqual([])
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
    const scripted = Object.entries<Record<string, unknown>>(lock.packages).filter(
      ([path, entry]) => path !== '' && entry['hasInstallScript'] && !entry['dev'],
    )
    expect(scripted.map(([path]) => path)).toEqual([])
  })
})

describe('files', () => {
  it('are called after what they own', () => {
    // oclif calls a topic's own command index.
    const barrels = files.filter((file) => /^(?!cli\/commands\/).*index\.ts$/.test(file))
    expect(files.filter((file) => FORBIDDEN_NAMES.test(file))).toEqual([])
    expect(files.filter((file) => !/^[a-z0-9-]+(?:\/[a-z0-9.-]+)*\.ts$/.test(file))).toEqual([])
    expect(barrels).toEqual([])
  })

  it('have at most 400 lines', () => {
    const long = files.filter((file) => read(file).split('\n').length > 401)
    expect(long).toEqual([])
  })

  it('keep commands at 80 lines', () => {
    const long = files.filter(
      (file) => file.startsWith('cli/commands/') && read(file).split('\n').length > 81,
    )
    expect(long).toEqual([])
  })

  it('open with a comment that says what they own', () => {
    expect(files.filter((file) => !read(file).startsWith('// '))).toEqual([])
  })

  it('have default exports in commands alone', () => {
    const wrong = files.filter(
      (file) => /^export default\b/m.test(read(file)) && !file.startsWith('cli/commands/'),
    )
    expect(wrong).toEqual([])
  })
})

describe('the tree', () => {
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter((file) => /\.(?:ts|js|mjs|json|md|yaml|yml|sql|html|css)$|\/run$/.test(file))

  it('names no path of a machine and no address of a package mirror', () => {
    // Written in pieces, so that this file passes its own rule.
    const paths = ['work', 'home', 'root', 'Users', 'mnt/data'].map((name) => `/${name}/`)
    const found = tracked.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8')
      const hits = paths.filter((path) => new RegExp(`(?<![\\w.:$-])${path}[a-z]`).test(text))
      return hits.map((hit) => `${file}: ${hit}`)
    })
    expect(found).toEqual([])
    const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
    const hosts = [...lock.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)].map((match) => match[1])
    expect([...new Set(hosts)].filter((host) => host !== 'registry.npmjs.org')).toEqual([])
  })
})
