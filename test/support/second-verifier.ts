// Owns running the verifier in Python (verify_recording.py) over many files in one process.

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Verification } from '../../src/audit/verify.js'

const SCRIPT = fileURLToPath(new URL('verify_recording.py', import.meta.url))

/** False where there is no python3; throws in CI, where it must be. */
export function hasPython(): boolean {
  try {
    execFileSync('python3', ['-c', 'import hashlib; hashlib.new("sha512_256")'], {
      stdio: 'ignore',
    })
    return true
  } catch (error) {
    if (process.env['CI'] !== undefined) throw error
    process.stderr.write('skipped: there is no python3 with SHA-512/256\n')
    return false
  }
}

/** What it says of each file: `verdict records place`. */
export function secondVerdicts(files: readonly Buffer[], keys: readonly string[]): string[] {
  const input = files.flatMap((file) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(file.length)
    return [length, file]
  })
  const output = execFileSync('python3', [SCRIPT, '--batch', ...keys], {
    input: Buffer.concat(input),
    maxBuffer: 64 * 1024 * 1024,
    encoding: 'utf8',
  })
  return output.trimEnd().split('\n')
}

/** The first verifier's finding in the same words. */
export function firstVerdict({ verdict, records, at }: Verification): string {
  return `${verdict} ${records} ${at === undefined ? '-' : `${at.record} ${at.block} ${at.offset}`}`
}
