// Owns the way from a reference to its value. It must never print a value, put one into an error, or hand
// out anything but a Secret.

import { isAbsolute, resolve } from 'node:path'
import { VgateError } from '../core/errors.js'
import { Secret } from '../core/secret.js'
import { formatReference, type SecretReference } from './reference.js'

/** A secret is at most this long; a longer file is the wrong file. Bytes. */
export const MAX_SECRET_BYTES = 64 * 1024

/** What resolving needs of the file system. `stat` follows links: mounted secrets are links. */
export interface SecretFiles {
  stat(path: string): {
    readonly mtimeMs: number
    readonly mode: number
    readonly size: number
    readonly regular: boolean
  }
  read(path: string): string
}

export interface SecretDeps {
  /** Relative `file:` paths start here: the directory of the configuration file. */
  readonly baseDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly files: SecretFiles
}

export interface ResolvedSecret {
  readonly value: Secret<string>
  /** For people: for instance that the file is readable by every user of the machine. */
  readonly warnings: readonly string[]
}

function fail(reference: SecretReference, what: string, cause?: unknown): VgateError {
  return new VgateError('VGATE_CONFIG_INVALID', `${formatReference(reference)} ${what}`, {
    hint: reference.kind === 'env' ? `set ${reference.name}` : `check ${reference.path}`,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** One trailing line break is what editors and `echo` add; it is never part of the secret. */
function trimLineEnd(text: string): string {
  return text.endsWith('\r\n') ? text.slice(0, -2) : text.endsWith('\n') ? text.slice(0, -1) : text
}

function checked(reference: SecretReference, text: string): Secret<string> {
  if (text === '') throw fail(reference, 'is empty')
  // A NUL would cut the value short in every protocol that ends strings with one.
  if (text.includes('\0')) throw fail(reference, 'holds a NUL byte')
  return new Secret(text)
}

function statOf(reference: SecretReference & { kind: 'file' }, path: string, files: SecretFiles) {
  let stat: ReturnType<SecretFiles['stat']>
  try {
    stat = files.stat(path)
  } catch (cause) {
    throw fail(reference, 'cannot be read', cause)
  }
  // A pipe or a device would block the process.
  if (!stat.regular) throw fail(reference, 'is not a regular file')
  if (stat.size > MAX_SECRET_BYTES)
    throw fail(reference, `is longer than ${MAX_SECRET_BYTES} bytes`)
  return stat
}

/** A secret that is looked up each time it is needed, so that a rotated file counts from the next lease on. */
export interface SecretSource {
  /** The value now. Throws VGATE_CONFIG_INVALID, naming the reference, when it is missing, empty or unreadable. */
  resolve(): ResolvedSecret
}

/** A source for one reference. A file is read again only when its modification time or size has changed. */
export function createSecretSource(reference: SecretReference, deps: SecretDeps): SecretSource {
  if (reference.kind === 'env') {
    return {
      resolve() {
        const value = deps.env[reference.name]
        if (value === undefined) throw fail(reference, 'is not set')
        return { value: checked(reference, value), warnings: [] }
      },
    }
  }
  const path = isAbsolute(reference.path) ? reference.path : resolve(deps.baseDir, reference.path)
  let cached: { mtimeMs: number; size: number; answer: ResolvedSecret } | undefined
  return {
    resolve() {
      const stat = statOf(reference, path, deps.files)
      if (cached !== undefined && cached.mtimeMs === stat.mtimeMs && cached.size === stat.size) {
        return cached.answer
      }
      let text: string
      try {
        text = deps.files.read(path)
      } catch (cause) {
        throw fail(reference, 'cannot be read', cause)
      }
      const worldReadable = (stat.mode & 0o004) !== 0
      const answer: ResolvedSecret = {
        value: checked(reference, trimLineEnd(text)),
        warnings: worldReadable
          ? [`${formatReference(reference)} is readable by every user of this machine: chmod 600`]
          : [],
      }
      cached = { mtimeMs: stat.mtimeMs, size: stat.size, answer }
      return answer
    },
  }
}

/** The value of a reference, once. Throws as `SecretSource.resolve` does. */
export function resolveSecret(reference: SecretReference, deps: SecretDeps): ResolvedSecret {
  return createSecretSource(reference, deps).resolve()
}
