// What npm publishes, unpacked beside nothing but its dependencies: it has what it needs, and nothing of the checkout.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('the published package', () => {
  let folder: string
  let files: string[]
  const vgate = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    execa(process.execPath, [join(folder, 'package/bin/run.js'), ...args], {
      cwd: folder,
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        NO_COLOR: '1',
        PACKAGE_TEST_PASSWORD: 'x',
        ...env,
      },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
    })

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vgate-package-'))
    const said = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    })
    const [packed] = JSON.parse(said) as [
      { readonly filename: string; readonly files: readonly { readonly path: string }[] },
    ]
    files = packed.files.map(({ path }) => path)
    execFileSync('tar', ['-xzf', packed.filename], { cwd: folder })
    symlinkSync(join(root, 'node_modules'), join(folder, 'package/node_modules'))
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('has no sources, no tests and no demo', () => {
    expect(files.filter((file) => /^(?:src|test)\/|^dist\/demo\//.test(file))).toEqual([])
    expect(files).toEqual(expect.arrayContaining(['bin/run.js', 'oclif.manifest.json', 'LICENSE']))
  })

  it('has every file that its files import', () => {
    const missing = files
      .filter((file) => /^dist\/.*\.js$/.test(file))
      .flatMap((file) => {
        const text = readFileSync(join(folder, 'package', file), 'utf8')
        const named = text.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)
        return [...named].map(([, path = '']) => join(dirname(file), path))
      })
      .filter((file) => !files.includes(file))
    // Which `vgate demo` looks for before it loads it.
    expect([...new Set(missing)]).toEqual(['dist/demo/start.js'])
  })

  it('names the licences of the packages that went into it', () => {
    const text = readFileSync(join(folder, 'package/dist/licenses.txt'), 'utf8')
    const named = text.matchAll(/^(\S+) [\d.]+ \(([^)]+)\)$/gm)
    const licences = new Map([...named].map(([, name, licence]) => [name, licence]))
    expect([...licences.keys()]).toEqual(expect.arrayContaining(['zod', '@oclif/core', 'kysely']))
    // What asks for more than its own text to be carried along must be looked at before it goes in.
    const usual = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0']
    expect([...licences].filter(([, licence]) => !usual.includes(licence ?? ''))).toEqual([])
  })

  it('answers for help with every command, and for words that it does not know', async () => {
    const help = await vgate(['--help'])
    expect(help).toMatchObject({ exitCode: 0 })
    for (const word of ['whoami', 'connect', 'gateway', 'audit', 'autocomplete'])
      expect(help.stdout).toContain(`  ${word} `)
    expect((await vgate(['gateway', 'check', '--help'])).stdout).toContain('--config')
    const unknown = await vgate(['conect', '--json'])
    expect(JSON.parse(unknown.stdout)).toMatchObject({
      error: { code: 'VGATE_USAGE', message: 'there is no command conect' },
    })
  })

  it('sets up a gateway and checks it', async () => {
    const flags = {
      '--directory': join(folder, 'gateway'),
      '--listen': '127.0.0.1:0',
      '--public-url': 'https://localhost:7443',
      '--issuer': 'https://login.example.com',
      '--client-id': 'vgate',
      '--address': 'postgres://127.0.0.1:5432/db',
      '--db-user': 'vgate',
      '--credential': 'env:PACKAGE_TEST_PASSWORD',
    }
    const made = await vgate(['gateway', 'init', '--json', ...Object.entries(flags).flat()])
    expect(made).toMatchObject({ exitCode: 0 })
    const { config } = JSON.parse(made.stdout) as { readonly config: string }
    const checked = await vgate(['gateway', 'check', '--config', config])
    expect(checked.stdout + checked.stderr).toContain(`${config} is good`)
    expect(checked.exitCode).toBe(0)
  })

  it('says where an error came from, in the words of the sources', async () => {
    const failed = await vgate(['whoami', '--gateway', 'ftp://x'])
    expect(failed.stderr).not.toContain(' at ')
    const told = await vgate(['whoami', '--gateway', 'ftp://x'], { VGATE_DEBUG: '1' })
    // A map names its sources from where it is itself: here, where the package was unpacked.
    const source = join(folder, 'package/src/client/http-request.ts')
    expect(told.stderr).toMatch(
      new RegExp(`at gatewayOrigin \\((?:file://)?${source}:\\d+:\\d+\\)`),
    )
  })
})
