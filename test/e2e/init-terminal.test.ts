// The interview of `gateway init` as a person meets it, in a real terminal: its answers make files that `gateway check`
// accepts, a wrong answer is asked again, and Ctrl-C at any point leaves nothing behind.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { type IPty, spawn } from '@lydell/node-pty'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCli } from '../support/run-cli.js'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const ENTER = '\r'
const CTRL_C = '\u0003'
/** Each question's beginning, and what is typed. */
const ANSWERS: readonly (readonly [asked: string, typed: string])[] = [
  ['Where should the gateway listen?', ENTER],
  ['By which URL do people reach it?', `https://vgate.example.com${ENTER}`],
  ['Issuer of your identity provider', `https://id.example.com${ENTER}`],
  ['Client id that is registered', `vgate${ENTER}`],
  ['A short name for the provider?', ENTER],
  ['Scopes to ask it for?', ENTER],
  ['Claim with the groups?', ENTER],
  ['A name for your first database?', ENTER],
  ['Its address', `postgres://127.0.0.1:5432/vectors${ENTER}`],
  ['Database user of the gateway?', ENTER],
  ['Its password?', `hunter2${ENTER}`],
  ['Tables that readers may read?', `docs,notes${ENTER}`],
  ['Group of the people who may read?', ENTER],
  ['Group that runs and audits the gateway?', ENTER],
]

let folder: string
const open: IPty[] = []
const place = (...parts: string[]): string => join(folder, 'gateway', ...parts)

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-terminal-'))
})
afterEach(() => {
  for (const terminal of open.splice(0)) terminal.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

interface Person {
  /** Waits until this was asked after what was asked before. */
  asked(text: string): Promise<void>
  type(text: string): void
  screen(): string
  readonly ended: Promise<number>
}

function sitDown(): Person {
  const terminal = spawn(process.execPath, [BIN, 'gateway', 'init', '--directory', place()], {
    cols: 200,
    rows: 50,
    cwd: folder,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      VGATE_CONFIG_DIR: join(folder, 'state'),
      VGATE_TOKEN_STORE: 'file',
      TERM: 'xterm-256color',
    },
  })
  open.push(terminal)
  let raw = ''
  let seen = 0
  terminal.onData((data) => {
    raw += data
  })
  const screen = (): string => stripVTControlCharacters(raw)
  return {
    screen,
    asked: async (text) => {
      await expect
        .poll(() => screen().indexOf(text, seen), { timeout: 30_000, message: text })
        .toBeGreaterThanOrEqual(0)
      seen = screen().indexOf(text, seen) + text.length
    },
    type: (text) => terminal.write(text),
    ended: new Promise((resolve) => terminal.onExit(({ exitCode }) => resolve(exitCode))),
  }
}

// Two keys are minted, which takes seconds where the machine is busy.
describe('the interview in a terminal', () => {
  it('asks again after a wrong answer, and makes what the check accepts', async () => {
    const person = sitDown()
    for (const [asked, typed] of ANSWERS) {
      await person.asked(asked)
      if (asked.startsWith('Issuer')) {
        person.type(`id.example.com${ENTER}`)
        await person.asked('expected a URL such as https://vgate.example.com')
        // Ctrl-U empties the line.
        person.type('\u0015')
      }
      person.type(typed)
    }
    expect(await person.ended).toBe(0)
    expect(person.screen()).toContain('vgate login --gateway https://vgate.example.com')
    expect(person.screen()).not.toContain('hunter2')
    expect(readFileSync(place('db-password'), 'utf8').trim()).toBe('hunter2')
    expect(statSync(place('db-password')).mode & 0o777).toBe(0o600)
    expect(readFileSync(place('policy.yaml'), 'utf8')).toContain('collections: [docs, notes]')
    const checked = await runCli(['gateway', 'check', '--config', place('vgate.yaml')], folder)
    expect(checked).toMatchObject({ exit: 0, stdout: '' })
  })

  it.each([
    ['the password', 10],
    ['the last question', ANSWERS.length - 1],
  ])('leaves nothing behind after Ctrl-C at %s', async (_, at) => {
    const person = sitDown()
    for (const [asked, typed] of ANSWERS.slice(0, at)) {
      await person.asked(asked)
      person.type(typed)
    }
    await person.asked(ANSWERS[at]?.[0] ?? '')
    person.type(CTRL_C)
    expect(await person.ended).toBe(130)
    expect(existsSync(place())).toBe(false)
    expect(readdirSync(folder).filter((name) => name !== 'state')).toEqual([])
  })
})
