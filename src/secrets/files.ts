// Owns the real file system behind `SecretFiles`.

import { readFileSync, statSync } from 'node:fs'
import type { SecretFiles } from './resolve.js'

/** Reads secrets from the disk of this machine. */
export const diskFiles: SecretFiles = {
  stat(path) {
    const stat = statSync(path)
    return { mtimeMs: stat.mtimeMs, mode: stat.mode, size: stat.size, regular: stat.isFile() }
  },
  read: (path) => readFileSync(path, 'utf8'),
}
