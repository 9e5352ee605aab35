// Owns what stands in stored files, for tests that look for a text in them: recordings and logs are compressed, so that
// their plain bytes prove nothing.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RecordingScanner } from '../../src/audit/scanner.js'

/** The bytes of a file as latin1; of a recording also its records, signed or not. */
export function storedText(path: string): string {
  const bytes = readFileSync(path)
  return path.endsWith('.vgr')
    ? bytes.toString('latin1') + recordsOf(bytes)
    : bytes.toString('latin1')
}

/** The records of every file of a gateway's audit log, one a line. */
export function auditText(data: string): string {
  const folder = join(data, 'audit')
  return readdirSync(folder)
    .filter((name) => name.endsWith('.vgr'))
    .sort()
    .map((name) => recordsOf(readFileSync(join(folder, name))))
    .join('')
}

function recordsOf(bytes: Buffer): string {
  const scanner = new RecordingScanner()
  scanner.push(bytes)
  let text = ''
  for (let block = scanner.next(); block !== undefined; block = scanner.next())
    if (block.kind === 'records') text += block.payload.toString()
  return text
}
