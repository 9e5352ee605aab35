// docs/cli.md says what the binary does. `UPDATE_DOCS=1` writes it anew.

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { cliDocs, type Manifest } from '../../support/generate-cli-docs.js'

const root = new URL('../../../', import.meta.url)

it('docs/cli.md is current', () => {
  const manifest = JSON.parse(
    readFileSync(new URL('oclif.manifest.json', root), 'utf8'),
  ) as Manifest
  const page = new URL('docs/cli.md', root)
  const wanted = cliDocs(manifest)
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(page, wanted)
  expect(readFileSync(page, 'utf8')).toBe(wanted)
})
