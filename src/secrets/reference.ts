// Owns the written form of a reference to a secret: `env:NAME` or `file:PATH`. It must never accept the
// secret itself, so that no credential ends up in a configuration file.

export type SecretReference =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }

export type ParsedReference =
  | { readonly ok: true; readonly reference: SecretReference }
  | { readonly ok: false; readonly message: string }

const LATER = ['exec', 'vault', 'aws-sm'] as const

/**
 * Reads a reference. A refusal never repeats the text: somebody may have pasted the secret itself.
 * `exec:`, `vault:` and `aws-sm:` are known and not built yet.
 */
export function parseReference(text: string): ParsedReference {
  const colon = text.indexOf(':')
  const scheme = colon < 0 ? '' : text.slice(0, colon)
  const rest = text.slice(colon + 1)
  if (scheme === 'env') {
    if (/^[A-Za-z_][A-Za-z0-9_]{0,199}$/.test(rest)) {
      return { ok: true, reference: { kind: 'env', name: rest } }
    }
    return { ok: false, message: 'env: must be followed by the name of an environment variable' }
  }
  if (scheme === 'file') {
    if (rest !== '' && rest.length <= 4096 && !rest.includes('\0')) {
      return { ok: true, reference: { kind: 'file', path: rest } }
    }
    return { ok: false, message: 'file: must be followed by a path' }
  }
  const later = LATER.find((name) => name === scheme)
  if (later !== undefined) {
    return { ok: false, message: `${later}: not supported yet; use env:NAME or file:PATH` }
  }
  return { ok: false, message: 'must refer to a secret as env:NAME or file:PATH, never hold it' }
}

/** The reference as it was written; safe to print. */
export function formatReference(reference: SecretReference): string {
  return reference.kind === 'env' ? `env:${reference.name}` : `file:${reference.path}`
}
