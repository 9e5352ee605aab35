// The binary without any gateway: help, usage, verify, replay, and the rules of the terminal.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildFile, testPair } from '../../support/recording-files.js'
import { events, runCli } from '../../support/run-cli.js'

let folder: string
let closed: string
let open: string
let broken: string
let keys: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-offline-'))
  const pair = testPair(1)
  const id = 'ses_00000000000000000001'
  const texts = ['SELECT 1', 'DROP \u001b[2J\u202e']
  const good = buildFile(pair, id, ['open', texts, 'closed'])
  closed = join(folder, 'closed.vgr')
  writeFileSync(closed, good.bytes)
  open = join(folder, 'open.vgr')
  writeFileSync(open, buildFile(pair, id, ['open', texts, 'open', ['later']]).bytes)
  broken = join(folder, 'broken.vgr')
  const bytes = Buffer.from(good.bytes)
  bytes[good.header.length + 80] = (bytes[good.header.length + 80] ?? 0) ^ 1
  writeFileSync(broken, bytes)
  keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify({ keys: [pair.key] }))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('usage', () => {
  it('answers --version at once', async () => {
    const { version } = JSON.parse(
      readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
    ) as { version: string }
    expect(await runCli(['--version'], folder)).toEqual({
      exit: 0,
      stdout: `vgate/${version} ${process.platform}-${process.arch} node-${process.version}`,
      stderr: '',
    })
  })

  it('has a description and an example for every command', async () => {
    const manifest = JSON.parse(
      readFileSync(new URL('../../../oclif.manifest.json', import.meta.url), 'utf8'),
    ) as {
      commands: Record<
        string,
        {
          description?: string
          examples?: string[]
          flags: Record<string, { description?: string }>
        }
      >
    }
    for (const [id, command] of Object.entries(manifest.commands)) {
      expect([id, command.description, command.examples?.[0]]).toEqual([
        id,
        expect.any(String),
        expect.any(String),
      ])
      for (const [name, flag] of Object.entries(command.flags))
        expect([id, name, flag.description]).toEqual([id, name, expect.any(String)])
    }
  })

  it.each([
    [['nonsense'], 'there is no command nonsense'],
    [['connect'], expect.stringContaining('missing 1 required arg')],
    [['whoami', '--bogus'], 'nonexistent flag: --bogus'],
    [['connect', 'x', '--port', '70000'], expect.stringContaining('--port')],
    [
      ['connect', 'x', '--socket', '/tmp/s', '--port', '1'],
      expect.stringContaining('cannot also be provided'),
    ],
  ])('%j is a usage error', async (args, message) => {
    const { exit, stdout } = await runCli([...args, '--json'], folder)
    expect([exit, events(stdout)]).toEqual([
      2,
      [{ error: { code: 'VGATE_USAGE', message, hint: expect.any(String) } }],
    ])
  })

  it('names a missing flag without escape sequences, where colours are on', async () => {
    const { stderr } = await runCli(['deny', 'req_1'], folder, { FORCE_COLOR: '1', NO_COLOR: '' })
    expect(stderr).toMatch(/^\S*error:\S* missing required flag reason\n {2}see --help\n/)
  })

  it('says what to do without a gateway, on stderr alone', async () => {
    expect(await runCli(['whoami'], join(folder, 'none'))).toEqual({
      exit: 4,
      stdout: '',
      stderr:
        'error: no gateway is known\n  run `vgate login --gateway URL`, or set VGATE_GATEWAY\n  VGATE_LOGIN_REQUIRED',
    })
  })

  it('says what to do for env without connect', async () => {
    const { exit, stdout } = await runCli(['env', 'prod', '--json'], folder)
    expect([exit, events(stdout)]).toEqual([
      1,
      [
        {
          error: {
            code: 'VGATE_NOT_CONNECTED',
            message: 'not connected to prod',
            hint: 'run `vgate connect prod` in another terminal',
          },
        },
      ],
    ])
  })

  it('ends quietly when nobody reads', async () => {
    const bin = new URL('../../../bin/run.js', import.meta.url).pathname
    const { stderr, exitCode } = await execa(
      'sh',
      ['-c', `"$0" "$1" help --nested-commands | true`, process.execPath, bin],
      { reject: false },
    )
    expect([exitCode, stderr]).toEqual([0, ''])
  })

  it('exits 11 for a configuration that is not good', async () => {
    const file = join(folder, 'vgate.yaml')
    writeFileSync(file, 'gateway: { listen: 127.0.0.1:0, nonsense: 1 }\n')
    const { exit, stdout } = await runCli(['gateway', 'check', '--config', file, '--json'], folder)
    expect([exit, events(stdout)[0]]).toMatchObject([
      11,
      { error: { code: 'VGATE_CONFIG_INVALID' } },
    ])
  })
})

describe('verify', () => {
  it.each([
    ['closed', () => [closed, '--key', keys], 0, 'closed'],
    ['incomplete', () => [open, '--key', keys], 0, 'incomplete'],
    [
      'incomplete where a closed one is required',
      () => [open, '--key', keys, '--require-closed'],
      10,
      'incomplete',
    ],
    ['tampered', () => [broken, '--key', keys], 10, 'tampered'],
    ['of an unknown key', () => [closed], 10, 'unknown_key'],
    ['a folder, by its worst', () => [folder, '--key', keys], 10, 'tampered'],
  ] as const)('%s', async (_name, args, code, verdict) => {
    const { exit, stdout } = await runCli(['verify', ...args(), '--json'], folder)
    const [answer] = events(stdout)
    expect([exit, answer]).toMatchObject([code, { v: 1, verdict, reason: expect.any(String) }])
    expect(answer).toHaveProperty('at')
  })

  it('names what is not there', async () => {
    const { exit, stderr } = await runCli(['verify', './nothing.vgr'], folder)
    expect([exit, stderr.split('\n')[0]]).toEqual([2, 'error: there is no file ./nothing.vgr'])
    const key = await runCli(['verify', closed, '--key', 'nothing'], folder)
    expect([key.exit, key.stderr.split('\n')[0]]).toEqual([
      2,
      'error: --key nothing is neither a file nor the id of a pinned key',
    ])
  })

  it('says what is wrong with a file of keys, and which it is', async () => {
    const [own, other] = [testPair(1).key, testPair(2).key]
    const cases: [string, string, number, RegExp][] = [
      ['empty.json', '', 2, /^error: --key \S+empty.json is not a file of keys$/m],
      ['none.json', '{"keys":[]}', 2, /^error: --key \S+none.json holds no key$/m],
      ['text.pem', '-----BEGIN PUBLIC KEY-----', 2, /text.pem is not a file of keys$/m],
      ['id.json', JSON.stringify([{ ...own, id: other.id }]), 2, /id.json were changed: key/],
      ['other.json', JSON.stringify([other]), 10, /other.json does not hold this key/],
      ['both.json', JSON.stringify([other, own]), 0, /^$/],
    ]
    const ran = cases.map(async ([name, content, exit, said]) => {
      const file = join(folder, name)
      writeFileSync(file, content)
      const found = await runCli(['verify', closed, '--key', file], folder)
      expect([name, found.exit, found.stderr]).toEqual([name, exit, expect.stringMatching(said)])
    })
    await Promise.all(ran)
    expect((await runCli(['verify', closed], folder)).stderr).toContain('log in, or name a file')
  })
})

describe('replay', () => {
  it('takes what looks like a session for one, also where a file has its name', async () => {
    const session = `ses_${'0'.repeat(20)}`
    copyFileSync(closed, join(folder, session))
    const named = { VGATE_GATEWAY: 'http://127.0.0.1:9' }
    const [id, path] = await Promise.all([
      runCli(['replay', session, '--key', keys, '--json'], folder, named, folder),
      runCli(['replay', `./${session}`, '--key', keys, '--json'], folder, named, folder),
    ])
    expect([id.exit, path.exit]).toEqual([4, 0])
    expect(events(path.stdout)[0]).toMatchObject({ event: 'verified', verdict: 'closed' })
  })

  it('verifies first, then plays every record', async () => {
    const { exit, stdout } = await runCli(['replay', closed, '--key', keys, '--json'], folder)
    expect(exit).toBe(0)
    expect(events(stdout)[0]).toMatchObject({
      v: 1,
      event: 'verified',
      verdict: 'closed',
      records: 2,
    })
    expect(events(stdout).length).toBe(3)
  })

  it('shows nothing of a recording that was tampered with', async () => {
    const { exit, stdout, stderr } = await runCli(['replay', broken, '--key', keys], folder)
    expect([exit, stdout]).toEqual([10, ''])
    expect(stderr).toContain('error: the recording was tampered with')
  })

  it('warns of a key that it does not know, and exits 10', async () => {
    const { exit, stderr } = await runCli(['replay', closed], folder)
    expect(exit).toBe(10)
    expect(stderr).toContain('warning: unknown_key')
  })

  it('never passes an escape to the terminal', async () => {
    const { stdout } = await runCli(['replay', closed, '--key', keys], folder)
    expect(stdout).toContain('DROP')
    expect(stdout).not.toContain('\u001b')
  })

  it('writes an asciicast', async () => {
    const { stdout } = await runCli(
      ['replay', closed, '--key', keys, '--format', 'asciicast'],
      folder,
    )
    const [head, ...rest] = stdout.split('\n').map((line) => JSON.parse(line) as unknown)
    expect(head).toMatchObject({ version: 2 })
    expect(rest.length).toBe(2)
  })
})
