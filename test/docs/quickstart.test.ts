// Runs what the documents tell people to write: the quickstart's two files pass the gateway's own check, and
// what the pages call not supported yet is refused in those words.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { checkConfig } from '../../src/gateway/config.js'
import { selfSignedCertificate } from '../support/certificates.js'

const page = readFileSync(new URL('../../docs/quickstart.md', import.meta.url), 'utf8')
const [config = '', policy = ''] = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(
  (match) => match[1] ?? '',
)
const folders: string[] = []

afterEach(() => {
  vi.unstubAllEnvs()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** Writes the quickstart's files, changed by the test, and checks them. */
async function check(text: string): Promise<{ readonly warnings: readonly string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'vgate-quickstart-'))
  folders.push(folder)
  mkdirSync(join(folder, 'data'))
  writeFileSync(join(folder, 'vgate.yaml'), text)
  writeFileSync(join(folder, 'policy.yaml'), policy)
  writeFileSync(join(folder, 'db-ca.pem'), selfSignedCertificate().cert)
  vi.stubEnv('VGATE_DB_PASSWORD', 'not a real one')
  vi.stubEnv('XDG_CONFIG_HOME', join(folder, 'home'))
  return checkConfig(join(folder, 'vgate.yaml'))
}

describe('the quickstart', () => {
  it('is a configuration that passes the check', async () => {
    await expect(check(config)).resolves.toBeDefined()
  })

  it.each([
    ['notifications', 'notifications: { slack: { webhook: env:URL } }\n'],
    ['audit', 'audit: { heartbeat: 1h }\n'],
  ])('may say nothing about %s, which is not supported yet', async (key, line) => {
    await expect(check(config + line)).rejects.toMatchObject({
      code: 'VGATE_CONFIG_INVALID',
      message: expect.stringMatching(
        new RegExp(`${key}[\\s\\S]*not supported yet|not supported yet[\\s\\S]*${key}`),
      ),
    })
  })

  it('may not misspell a key: line and column are named', async () => {
    const line = config.split('\n').findIndex((text) => text.includes('administrators')) + 1
    await expect(check(config.replace('administrators', 'administators'))).rejects.toMatchObject({
      code: 'VGATE_CONFIG_INVALID',
      message: expect.stringContaining(`${line}:`),
    })
  })
})
