// Jobs, end to end through the binary: no login, no secret, the platform's own token. Real PostgreSQL, real gateway, an
// issuer over real HTTP.

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Result, startProduct } from '../support/product.js'
import { auditText } from '../support/stored-text.js'
import {
  githubClaims,
  startWorkloadIssuer,
  type WorkloadIssuer,
} from '../support/workload-issuer.js'

const SETUP = `
CREATE TABLE docs(id int PRIMARY KEY, title text);
INSERT INTO docs SELECT g, 'doc '||g FROM generate_series(1,5) g;
`
const POLICY = `
roles:
  ingest: { allow: [{ operations: [insert], collections: [docs] }] }
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-*] }
  - { who: { provider: github, claims: { repository: acme/ingest, ref: refs/heads/main } }, role: ingest, targets: [prod-vectors],
      grant: { max: 2h }, owner: corp:ana@example.com, until: 2099-01-01 }
  - { who: { provider: github, claims: { repository: acme/ingest, ref: "refs/tags/*" } }, role: reader, targets: [prod-vectors],
      owner: corp:ana@example.com, until: 2099-01-01 }
  - { who: { provider: github, claims: { sub: "repo:acme/old:ref:refs/heads/*" } }, role: reader, targets: [prod-vectors],
      owner: corp:ana@example.com, until: 2026-01-01 }
  - { who: { group: github:deployers }, role: reader, targets: [prod-vectors], owner: corp:ana@example.com, until: 2099-01-01 }
`

describe.skipIf(!hasPostgres('pgvector'))('a job', () => {
  let postgres: TestPostgres
  let product: Product
  let platform: WorkloadIssuer
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vgate-ci-'))
    platform = await startWorkloadIssuer()
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({
      postgres,
      database,
      policy: POLICY,
      providers: `github: { type: workload, issuer: "${platform.issuer}", audience: vgate-prod }`,
    })
  })
  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
    await platform?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const token = (over: Readonly<Record<string, unknown>> = {}): Promise<string> =>
    platform.sign({ ...githubClaims(), aud: 'vgate-prod', ...over })

  /** Runs SQL as the job's own program would. */
  const exec = (
    sql: string,
    env: Record<string, string>,
    more: { args?: string[]; input?: string; after?: string } = {},
  ): Promise<Result> =>
    product.run(
      'ci',
      [
        ...['exec', 'prod-vectors', ...(more.args ?? []), '--', process.execPath],
        ...['--input-type=module', '-e'],
        `import pg from ${JSON.stringify(import.meta.resolve('pg'))}
         const client = new pg.Client(process.env.DATABASE_URL); await client.connect()
         try { const { rows, rowCount } = await client.query(${JSON.stringify(sql)}); console.log(rowCount, JSON.stringify(rows)) }
         catch (error) { console.log(error.code, error.message) }
         ${more.after ?? ''}
         await client.end()`,
      ],
      { env: { CI: 'true', ...env }, ...(more.input === undefined ? {} : { input: more.input }) },
    )

  it('runs with VGATE_TOKEN: inserts, cannot read, and is recorded as a workload', async () => {
    const env = { VGATE_TOKEN: await token() }
    const inserted = await exec("INSERT INTO docs VALUES (100, 'by the job')", env)
    expect(inserted).toMatchObject({ exitCode: 0, stdout: '1 []' })
    const read = await exec('SELECT * FROM docs LIMIT 1', env)
    expect(read.stdout).toMatch(/^42501 .*docs/)
    const who = await product.run('ci', ['whoami', '--json'], { env })
    expect(JSON.parse(who.stdout)).toMatchObject({
      principal: { kind: 'workload', provider: 'github', subject: githubClaims()['sub'] },
      administrator: false,
      auditor: false,
    })
    const sessions = JSON.parse(
      (await product.run('ci', ['sessions', '--json'], { env })).stdout,
    ) as { sessions: { principal: unknown; roles: string[] }[] }
    expect(sessions.sessions[0]).toMatchObject({
      principal: { provider: 'github', name: githubClaims()['sub'] },
      roles: ['ingest'],
    })
  })

  it('takes its token from stdin, a file, GitHub, GitLab’s variable; the first one that is there counts', async () => {
    const good = await token()
    const file = join(folder, 'token')
    writeFileSync(file, `${good}\n`)
    const whoami = async (
      env: Record<string, string>,
      args: string[] = [],
      input?: string,
    ): Promise<number> =>
      (
        await product.run('ci', ['whoami', ...args], {
          env,
          ...(input === undefined ? {} : { input }),
        })
      ).exitCode
    expect(await whoami({ VGATE_TOKEN: 'wrong' }, ['--token-stdin'], good)).toBe(0)
    expect(await whoami({ VGATE_TOKEN_FILE: file })).toBe(0)
    expect(await whoami({ VGATE_TOKEN: await token({ ref: 'x' }), VGATE_TOKEN_FILE: file })).toBe(5)
    expect(await whoami({ VGATE_ID_TOKEN: good })).toBe(0)
    expect(await whoami({ VGATE_ID_TOKEN: 'wrong', ...platform.githubEnv })).toBe(0)
    expect(platform.asked.at(-1)).toBe('vgate-prod')
    const none = await product.run('ci', ['whoami'], { env: { CI: 'true' } })
    expect(none.exitCode).toBe(4)
    expect(none.stderr).toContain('id-token: write')
  })

  it.each<[string, Record<string, unknown>, number, string]>([
    ['another branch', { ref: 'refs/heads/dev' }, 5, 'no rule matches the claims'],
    [
      'a fork',
      { repository: 'mallory/ingest', sub: 'repo:mallory/ingest:ref:refs/heads/main' },
      5,
      'no rule matches the claims',
    ],
    ['a name that begins alike', { repository: 'acme/ingest-evil' }, 5, 'no rule matches'],
    [
      'a pull request',
      {
        sub: 'repo:acme/ingest:pull_request',
        ref: 'refs/pull/7/merge',
        event_name: 'pull_request',
      },
      5,
      'no rule matches the claims',
    ],
    [
      'a rule that has ended',
      { repository: 'acme/old', sub: 'repo:acme/old:ref:refs/heads/main' },
      5,
      'the access rule for this workload has ended',
    ],
    ['another audience', { aud: 'vgate' }, 4, 'its "aud" claim does not fit'],
    ['several audiences', { aud: ['vgate-prod', 'x'] }, 4, 'it names several audiences'],
    ['another issuer', { iss: 'https://ci.example.com' }, 4, 'its issuer is not configured'],
    ['an issuer with a slash more', { iss: 'slash' }, 4, 'its issuer is not configured'],
    ['an old token', { iat: 1_700_000_000, nbf: 0, exp: 1_700_000_300 }, 4, 'has expired'],
    ['a clock ten minutes ahead', { clock: 630 }, 4, 'are 10 minutes apart'],
  ])('is refused for %s, and told which check failed', async (_what, over, exit, message) => {
    const ahead = Math.floor(Date.now() / 1000) + Number(over['clock'] ?? 0)
    const claims =
      over['iss'] === 'slash'
        ? { ...over, iss: `${platform.issuer}/` }
        : over['clock'] === undefined
          ? over
          : { iat: ahead, nbf: ahead, exp: ahead + 300 }
    const result = await exec('SELECT 1', { VGATE_TOKEN: await token(claims) })
    expect(result.stderr).toContain(message)
    expect(result).toMatchObject({ exitCode: exit, stdout: '' })
  })

  it('matches a whole segment, and a group of workloads', async () => {
    const tag = { VGATE_TOKEN: await token({ ref: 'refs/tags/v1' }) }
    expect((await exec('SELECT count(*)::int AS n FROM docs', tag)).stdout).toMatch(/^1 \[\{"n":/)
    const deeper = await exec('SELECT 1', { VGATE_TOKEN: await token({ ref: 'refs/tags/v1/x' }) })
    expect(deeper.exitCode).toBe(5)
    const group = await token({
      sub: 'system:serviceaccount:ml:nightly',
      repository: undefined,
      groups: ['deployers'],
    })
    expect((await exec('SELECT id FROM docs WHERE id = 1', { VGATE_TOKEN: group })).stdout).toBe(
      '1 [{"id":1}]',
    )
  })

  // These two wait for tokens to end: side by side.
  it.concurrent('loses its session at the end of a token that nobody makes anew', async () => {
    const exp = Math.floor(Date.now() / 1000) + 15
    const result = await exec(
      "INSERT INTO docs VALUES (101, 'x')",
      { VGATE_TOKEN: await token({ exp }) },
      { after: 'await new Promise((resolve) => setTimeout(resolve, 60_000))' },
    )
    expect(result).toMatchObject({
      exitCode: 125,
      stderr: expect.stringContaining('the grant has ended'),
    })
  })

  it.concurrent('goes on beyond one token where the platform makes fresh ones', async () => {
    platform.job = { claims: githubClaims(), seconds: 8 }
    const before = platform.asked.length
    const result = await exec('SELECT 1 AS one', platform.githubEnv, {
      after: `await new Promise((resolve) => setTimeout(resolve, 12_000))
              console.log((await client.query('SELECT 2 AS two')).rows[0].two)`,
    })
    platform.job = { claims: githubClaims(), seconds: 300 }
    expect(result).toMatchObject({ exitCode: 0, stdout: '1 [{"one":1}]\n2' })
    expect(platform.asked.length - before).toBeGreaterThan(2)
  })

  it('gives the child’s exit code and forwards signals', async () => {
    const env = { CI: 'true', VGATE_TOKEN: await token() }
    const seven = await product.run(
      'ci',
      ['exec', 'prod-vectors', '--', process.execPath, '-e', 'process.exit(7)'],
      { env },
    )
    expect(seven.exitCode).toBe(7)
    const child = 'console.log(\'{"event":"up"}\'); setTimeout(() => {}, 60000)'
    const running = product.start(
      'ci',
      ['exec', 'prod-vectors', '--', process.execPath, '-e', child],
      { env },
    )
    await running.event('up')
    expect((await running.stop('SIGTERM')).exitCode).toBe(143)
  })

  it('writes nothing, and leaves what it may not see to the audit log', async () => {
    const state = product.stateOf('ci')
    const files = existsSync(state) ? readdirSync(state) : []
    expect(files.filter((name) => name.includes('token'))).toEqual([])
    expect((await product.stopGateway()).exitCode).toBe(0)
    const text = auditText(join(product.directory, 'data'))
    expect(text).toContain('mallory/ingest')
    expect(text).toContain('corp:ana@example.com')
    expect(text).not.toContain('eyJ')
  })
})
