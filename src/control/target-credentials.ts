// Owns reading the targets' own credentials: a secret that changes where it is kept is read again.

import { createSecretSource, type SecretDeps, type SecretSource } from '../secrets/resolve.js'
import type { TargetSettings } from './settings.js'

export class TargetCredentials {
  readonly #deps: SecretDeps
  readonly #sources = new Map<string, SecretSource>()

  constructor(deps: SecretDeps) {
    this.#deps = deps
  }

  /** The credential as it is now. Throws where its secret cannot be read. */
  of({ spec, credential }: TargetSettings): { username: string; password: string } {
    const { username, password } = credential
    let source = this.#sources.get(spec.name)
    if (source === undefined) {
      source = createSecretSource(password, this.#deps)
      this.#sources.set(spec.name, source)
    }
    return { username, password: source.resolve().value.reveal() }
  }
}
