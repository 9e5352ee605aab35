import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, describe, expect, it } from 'vitest'
import { KNOWN_ACTIONS } from '../../../src/databases/list.js'
import {
  DEMO_POLICY,
  DEMO_TARGET,
  makeFolder,
  writeGatewayFiles,
  writeUserFiles,
} from '../../../src/demo/files.js'
import { startWorkloadIssuer } from '../../../src/demo/workload-issuer.js'
import { checkConfig } from '../../../src/gateway/config.js'
import { compilePolicy } from '../../../src/policy/compile.js'
import { loadPolicy } from '../../../src/policy/schema.js'

describe('the demo’s files', () => {
  const parent = mkdtempSync(path.join(tmpdir(), 'vgate-test-'))
  const folder = path.join(parent, "a folder with ’ and ' in it")
  afterAll(() => rmSync(parent, { recursive: true, force: true }))

  it('has a policy that compiles: a reader, an owner, a contractor, a job', () => {
    const policy = compilePolicy(loadPolicy(DEMO_POLICY, 'policy.yaml'), {
      actions: [...KNOWN_ACTIONS],
      peopleProviders: ['demo'],
      workloadProviders: [{ name: 'pipeline', issuer: 'http://127.0.0.1:4001' }],
    })
    expect([...policy.roles.keys()].sort()).toEqual(['contractor', 'ingest', 'owner', 'reader'])
  })

  it('has a configuration that the gateway accepts, in a folder of its owner alone', () => {
    makeFolder(folder)
    writeGatewayFiles({
      folder,
      issuer: 'http://127.0.0.1:4000',
      platform: 'http://127.0.0.1:4001',
      databasePort: 5432,
      databaseName: 'postgres',
      databaseUser: 'vgate',
      gatewayPort: 8443,
    })
    const checked = checkConfig(path.join(folder, 'vgate.yaml'), {
      env: { VGATE_DEMO_PASSWORD: 'x' },
    })
    expect([...checked.config.targets.keys()]).toEqual([DEMO_TARGET])
    expect(checked.warnings.filter((warning) => !warning.includes('keys'))).toEqual([])
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(statSync(path.join(folder, 'vgate.yaml')).mode & 0o777).toBe(0o600)
    expect(readFileSync(path.join(folder, 'vgate.yaml'), 'utf8')).toContain(DEMO_TARGET)
  })

  it('writes what a second terminal needs, quoted for the shell', async () => {
    const platform = await startWorkloadIssuer(async () => ({ text: 'a token' }))
    writeUserFiles(folder, 'http://127.0.0.1:8443', platform.issuer)
    const env = readFileSync(path.join(folder, 'env.sh'), 'utf8')
    expect(env).toContain("export VGATE_GATEWAY='http://127.0.0.1:8443'\n")
    expect(env).toContain("'\\'' in it/you'")
    const script = '. "$1"; vgate --version; be bob; echo "$VGATE_CONFIG_DIR"; ci_token'
    const { stdout } = await execa('bash', ['-c', script, 'bash', path.join(folder, 'env.sh')])
    await platform.close()
    const [version, bobs, token] = stdout.split('\n')
    expect(version).toMatch(/^vgate\//)
    expect(bobs).toBe(path.join(folder, 'bob'))
    expect(token).toBe('a token')
    expect(readFileSync(path.join(folder, 'nearest.sql'), 'utf8')).toMatch(
      /ORDER BY embedding <=> '\[[-\d.,e]+\]'\nLIMIT 5;\n$/,
    )
  })
})
