// Runs the shell commands of the pages that somebody begins with as their reader would, against a real PostgreSQL and a
// real provider, with the gateway that the quickstart itself starts from its own two files. A command that this test
// does not know fails it: a page says nothing that nobody has tried.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { approveDevice } from '../../src/demo/approve-device.js'
import { type IdentityProvider, startIdentityProvider } from '../../src/demo/identity-provider.js'
import { commandsOf, installScript, type StillRunning, Terminal } from '../support/page-commands.js'
import { findPostgres, hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (page: string): string => readFileSync(join(root, page), 'utf8')
const quickstart = read('docs/quickstart.md')
const SETUP = `
CREATE EXTENSION vector;
CREATE TABLE docs(id int PRIMARY KEY, title text, email text, body text, embedding vector(3));
INSERT INTO docs SELECT g, 'doc '||g, 'ann'||g||'@example.org', 'text', '[1,0,0]' FROM generate_series(1,9) g;
CREATE TABLE labels(id int PRIMARY KEY, doc int, source text);
INSERT INTO labels SELECT g, g, CASE WHEN g <= 18204 THEN 'model-1' ELSE 'by hand' END FROM generate_series(1,20000) g;
ANALYZE;
`
/** The build, the tests and the demo: the continuous integration runs these itself. */
const ELSEWHERE = /^npm (ci|link|run build)( && npm (run demo|test))?$/

describe.skipIf(!hasPostgres('pgvector'))('the commands of the pages', () => {
  let folder: string
  let postgres: TestPostgres
  let provider: IdentityProvider
  let url: string
  let alice: Terminal
  let bob: Terminal
  let gateway: StillRunning | undefined
  let connect: StillRunning | undefined
  let held: StillRunning | undefined
  let request = ''
  let session = ''
  /** Alice's session that wrote keys. */
  let written = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vgate-pages-'))
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: SETUP })
    provider = await startIdentityProvider()
    url = `http://127.0.0.1:${await freePort()}`
    const [config = '', policy = ''] = [...quickstart.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(
      (match) => match[1] ?? '',
    )
    const given = changed(config, [
      ['127.0.0.1:8443', url.replace('http://', '')],
      ['https://id.example.com', provider.issuer],
      [
        'postgres://db.internal:5432/vectors',
        `postgres://${postgres.host}:${postgres.port}/${database}`,
      ],
      ['{ verify: full, ca: file:db-ca.pem }', 'off'],
      ['username: vgate', `username: ${postgres.superuser}`],
      ['corp:platform', 'corp:data-owners'],
      ['corp:security', 'corp:data-owners'],
    ])
    writeFileSync(join(folder, 'vgate.yaml'), given)
    writeFileSync(join(folder, 'policy.yaml'), policy)
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    installScript(bin, 'vgate', `exec ${process.execPath} ${join(root, 'bin/run.js')} "$@"`)
    // The reader's own program.
    installScript(bin, 'python', 'echo "$1"; exec psql -Atc "SELECT 40 + 2"')
    const path = [bin, process.env['PATH'], ...Object.values(findPostgres())].join(':')
    alice = new Terminal(folder, 'alice', path)
    bob = new Terminal(folder, 'bob', path)
  })

  afterAll(async () => {
    for (const one of [held, connect, gateway]) await one?.stop()
    await provider?.close()
    await postgres?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  async function login(terminal: Terminal, command: string, person: string): Promise<void> {
    const running = await terminal.start(command, /^Open (\S+)$/m)
    await approveDevice(running.ready[1] ?? '', person)
    expect(await running.ended).toMatchObject({ exitCode: 0 })
  }

  /** Runs it, expects its end with this code, and that it said this. */
  async function says(terminal: Terminal, command: string, words: RegExp, code = 0): Promise<void> {
    const { exitCode, text } = await terminal.run(command)
    expect({ command, exitCode, text }).toMatchObject({
      exitCode: code,
      text: expect.stringMatching(words),
    })
  }

  /** The auditor looks until it is there: a session is read when it has ended, or every few seconds. */
  async function finds(command: string, words: RegExp): Promise<void> {
    for (const until = Date.now() + 90_000; Date.now() < until; ) {
      const { exitCode, text } = await bob.run(command)
      expect([command, exitCode, text]).toEqual([command, 0, text])
      if (words.test(text)) return
    }
    await says(bob, command, words)
  }

  /** What sessions.md asks for. */
  async function write(): Promise<void> {
    const update = `psql -c "UPDATE labels SET source = 'by hand' WHERE id IN (42, 43)"`
    const exec = `vgate exec prod-vectors -- sh -c '${update.replaceAll("'", `'\\''`)} && echo $VGATE_SESSION'`
    written = /ses_\w+/.exec((await alice.run(exec)).text)?.[0] ?? expect.fail('no session')
  }

  /** What is typed, and what its reader must see. */
  const KNOWN: readonly [RegExp, (command: string) => Promise<unknown>][] = [
    [
      /^export VGATE_DB_PASSWORD=…$/,
      (command) => says(alice, command.replace('…', postgres.password), /^$/),
    ],
    [/^vgate --version$/, (command) => says(alice, command, /^vgate\/\d/)],
    [/^vgate gateway check$/, (command) => says(alice, command, /vgate.yaml is good/)],
    [
      /^vgate gateway start$/,
      async (command) => {
        gateway = await alice.start(command, /listening on (\S+)/)
        expect(gateway.ready[1]).toBe(url)
        await login(bob, `vgate login --gateway ${url}`, 'bob')
      },
    ],
    [
      /^vgate login --gateway \S+/,
      (command) => login(alice, command.replace(/https?:\/\/\S+/, url), 'alice'),
    ],
    [/^vgate targets$/, (command) => says(alice, command, /prod-vectors/)],
    [
      /^vgate connect prod-vectors/,
      async (command) => {
        await connect?.stop()
        connect = await alice.start(command, /session (ses_\w+)[\s\S]*postgres(?:ql)?:\/\//)
        session = connect.ready[1] ?? ''
      },
    ],
    [/^eval "\$\(vgate env prod-vectors\)"$/, (command) => says(alice, command, /^$/)],
    [
      /^psql -c "SELECT id, title, email FROM docs/,
      (command) => says(alice, command.replace('[…]', '[1,0,0]'), /\[masked\]/),
    ],
    [
      /^psql -c "DROP TABLE docs"/,
      async (command) => {
        await says(alice, command, /default deny[\s\S]*#vector-help/, 1)
        // What sessions.md looks for.
        await says(alice, `psql -Atc "SELECT 1 FROM docs WHERE title = 'annual report'"`, /^$/)
      },
    ],
    [
      /^psql -c "DELETE FROM labels/,
      async (command) => {
        held = await alice.start(command, /request (req_\w+) waits for corp:data-owners/)
        request = held.ready[1] ?? ''
      },
    ],
    [/^vgate requests/, (command) => says(bob, command, /alice.*[\d,]+ of [\d,]+ rows of labels/)],
    [
      // What is left out is the yes to its question.
      /^vgate approve req_…/,
      async (command) => {
        const typed = command.replace('req_…', `${request} --yes`)
        await says(bob, typed, /exact text\n +DELETE FROM labels[\s\S]*approved/)
        expect(await held?.ended).toMatchObject({
          exitCode: 0,
          text: expect.stringMatching(/^DELETE \d+$/m),
        })
        held = undefined
      },
    ],
    [
      /^vgate revoke alice@example.org --reason/,
      async (command) => {
        await says(bob, command, /revoked \d+ grants?, ended 1 sessions?/)
        expect(await connect?.ended).toMatchObject({ exitCode: 5 })
        connect = undefined
        // What was taken from her was everything, her login too.
        await login(alice, `vgate login --gateway ${url}`, 'alice')
      },
    ],
    [
      /^vgate exec prod-vectors -- python nightly.py$/,
      (command) => says(alice, command, /^nightly.py\n42$/m),
    ],
    [/^vgate sessions$/, (command) => says(alice, command, new RegExp(session))],
    [
      /^vgate sessions list --(person|text)/,
      (command) =>
        finds(command.replace('ana@example.org', 'alice@example.org'), new RegExp(session)),
    ],
    [/^vgate sessions list --key 43$/, (command) => finds(command, new RegExp(written))],
    [
      /^vgate audit search --collection docs --key 42/,
      // What the policy of the quickstart lets somebody write are labels.
      (command) => finds(command.replace('docs', 'labels'), new RegExp(written)),
    ],
    [
      /^vgate sessions watch$/,
      async (command) => {
        const watch = await bob.start(command, /watching; Ctrl-C ends/)
        expect(await watch.stop()).toMatchObject({ exitCode: 130 })
      },
    ],
    [
      /^vgate replay ses_… --only denied --json$/,
      (command) => says(bob, command.replace('ses_…', session), /"verdict":"deny"/),
    ],
    [
      /^vgate replay session.vgr --format asciicast > session.cast$/,
      (command) => {
        const typed = command.replace('session.vgr', `data/recordings/${session}.vgr`)
        return says(bob, `${typed} && head -1 session.cast`, /"version": ?2/)
      },
    ],
    [
      /^vgate replay ses_…/,
      (command) => says(bob, command.replace('ses_…', session), /\[masked\]|DELETE/),
    ],
    [
      /^vgate verify (data\/recordings\/ses_…|recording)\.vgr/,
      (command) =>
        says(
          bob,
          command.replace(/verify \S+/, `verify ${folder}/data/recordings/${session}.vgr`),
          /closed|incomplete/,
        ),
    ],
  ]

  // One page after the other: the README's session is at the gateway that the quickstart sets up.
  it.each([
    'docs/quickstart.md',
    'README.md',
    'docs/sessions.md',
    'docs/replay.md',
  ])('of %s do what it says', async (page) => {
    if (page === 'docs/sessions.md') await write()
    const commands = commandsOf(read(page)).filter((command) => !ELSEWHERE.test(command))
    expect(commands.length).toBeGreaterThan(1)
    for (const command of commands) {
      const found = KNOWN.find(([pattern]) => pattern.test(command))
      if (found === undefined)
        throw new Error(`nobody has tried this command of ${page}: ${command}`)
      await found[1](command)
    }
    await connect?.stop()
    connect = undefined
  }, 300_000)
})

/** Every one of these must be in the text: a page that changed is looked at. */
function changed(text: string, changes: readonly (readonly [string, string])[]): string {
  return changes.reduce((so, [from, to]) => {
    if (!so.includes(from)) throw new Error(`the page does not say ${from}`)
    return so.replaceAll(from, to)
  }, text)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
