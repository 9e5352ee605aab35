// Owns what vgate.yaml may not say although its form is right: unprotected addresses, secrets and files that are not
// there, groups of providers that do not exist. Every issue has a line and a column; no issue holds a secret.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { ProviderSettings } from '../control/settings.js'
import { VgateError } from '../core/errors.js'
import type { Secret } from '../core/secret.js'
import {
  ConfigError,
  type ConfigIssue,
  type ConfigPath,
  type StrictDocument,
} from '../core/strict-yaml.js'
import { isLoopbackHost } from '../identity/fetch.js'
import { groupProblem, qualifiedGroup } from '../policy/groups.js'
import type { SecretReference } from '../secrets/reference.js'
import { resolveSecret, type SecretDeps } from '../secrets/resolve.js'
import type { ConfigFile } from './config-schema.js'

/** A longer certificate or policy is the wrong file. Bytes. */
const MAX_FILE_BYTES = 1024 * 1024

export interface ConfigCheck {
  readonly issues: readonly ConfigIssue[]
  readonly warnings: readonly string[]
  report(path: ConfigPath, message: string, hint?: string): void
  /** Takes over the issues of another file. */
  adopt(issues: readonly ConfigIssue[]): void
  warn(warnings: readonly string[]): void
  /**
   * Text of a file named relative to the configuration; undefined, and an issue, when it cannot be read. The issue calls
   * it `shown`, for a path that is part of a secret.
   */
  text(path: ConfigPath, file: string, shown?: string): string | undefined
  /** Proves that a secret can be had now; undefined, and an issue, otherwise. */
  secret(path: ConfigPath, reference: SecretReference): Secret<string> | undefined
  /** Certificates of a PEM file; undefined, and an issue as for `text`, when it holds none. */
  certificates(path: ConfigPath, file: string, shown?: string): string | undefined
  /** Of people. */
  providers(): readonly ProviderSettings[]
  listenTls(): { readonly cert: string; readonly key: Secret<string> } | undefined
  publicUrl(): string
  groups(
    key: 'administrators' | 'auditors',
    providers: readonly string[],
    workloads: readonly string[],
  ): readonly string[]
}

/** True for an address in 127.0.0.0/8 and for ::1; a name never counts, for what it resolves to may change. */
export function isLoopbackAddress(host: string): boolean {
  return host !== 'localhost' && isLoopbackHost(host)
}

/** The checks of one configuration document. */
export function createConfigCheck(
  document: StrictDocument<ConfigFile>,
  deps: SecretDeps,
): ConfigCheck {
  return new Check(document, deps)
}

class Check implements ConfigCheck {
  readonly issues: ConfigIssue[] = []
  readonly warnings: string[] = []
  readonly #document: StrictDocument<ConfigFile>
  readonly #deps: SecretDeps

  constructor(document: StrictDocument<ConfigFile>, deps: SecretDeps) {
    this.#document = document
    this.#deps = deps
  }

  report(path: ConfigPath, message: string, hint?: string): void {
    this.issues.push(this.#document.issueAt(path, message, hint))
  }

  adopt(issues: readonly ConfigIssue[]): void {
    this.issues.push(...issues)
  }

  warn(warnings: readonly string[]): void {
    this.warnings.push(...warnings)
  }

  text(path: ConfigPath, file: string, shown = `file:${file}`): string | undefined {
    const place = resolve(this.#deps.baseDir, file)
    try {
      const stat = statSync(place)
      // A pipe or a device would block the process.
      if (stat.isFile() && stat.size <= MAX_FILE_BYTES) return readFileSync(place, 'utf8')
      this.report(path, `${shown} is not a file of at most ${MAX_FILE_BYTES} bytes`)
    } catch {
      // The system's error says no more than this to a person.
      this.report(path, `${shown} cannot be read`, 'paths are relative to this file')
    }
    return undefined
  }

  secret(path: ConfigPath, reference: SecretReference): Secret<string> | undefined {
    try {
      const { value, warnings } = resolveSecret(reference, this.#deps)
      this.warnings.push(...warnings)
      return value
    } catch (error) {
      if (!(error instanceof VgateError)) throw error
      this.report(path, error.message, error.hint)
      return undefined
    }
  }

  certificates(path: ConfigPath, file: string, shown = `file:${file}`): string | undefined {
    const pem = this.text(path, file, shown)
    if (pem === undefined) return undefined
    try {
      const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
      if (blocks.length === 0) throw new Error('empty')
      for (const block of blocks) new X509Certificate(block)
      return pem
    } catch {
      this.report(path, `${shown} holds no certificate in PEM form`)
      return undefined
    }
  }

  providers(): readonly ProviderSettings[] {
    return Object.entries(this.#document.value.identity.providers).flatMap(([name, entry]) => {
      if (entry.type !== 'oidc') return []
      const { type, issuer, clientId, scopes, groupsClaim, nameClaim } = entry
      const url = new URL(issuer)
      if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
        this.report(
          ['identity', 'providers', name, 'issuer'],
          'plain http is accepted for a loopback address only',
          'use https',
        )
      }
      return [{ name, type, issuer, clientId, scopes, groupsClaim, nameClaim }]
    })
  }

  listenTls(): { readonly cert: string; readonly key: Secret<string> } | undefined {
    const { listen, tls } = this.#document.value.gateway
    if (tls === undefined) {
      if (!isLoopbackAddress(listen.host)) {
        this.report(
          ['gateway', 'listen'],
          'plain http is accepted on a literal loopback address only',
          'set gateway.tls, or listen on 127.0.0.1',
        )
      }
      return undefined
    }
    const cert = this.certificates(['gateway', 'tls', 'cert'], tls.cert)
    const key = this.secret(['gateway', 'tls', 'key'], tls.key)
    if (cert === undefined || key === undefined) return undefined
    try {
      const privateKey = createPrivateKey(key.reveal())
      if (new X509Certificate(cert).checkPrivateKey(privateKey)) return { cert, key }
      this.report(['gateway', 'tls', 'key'], 'does not belong to the certificate')
    } catch {
      // The cause is dropped on purpose: a parser's message may quote the key.
      this.report(['gateway', 'tls', 'key'], 'is not a private key in PEM form')
    }
    return undefined
  }

  publicUrl(): string {
    const { listen, tls, publicUrl } = this.#document.value.gateway
    const path = ['gateway', 'publicUrl']
    if (publicUrl === undefined) {
      if (!isLoopbackAddress(listen.host)) {
        this.report(
          ['gateway'],
          'publicUrl is missing',
          'set the URL by which clients reach this gateway',
        )
      }
      const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
      return `${tls === undefined ? 'http' : 'https'}://${host}:${listen.port}`
    }
    const url = new URL(publicUrl)
    if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
      this.report(path, 'plain http is accepted for a loopback address only', 'use https')
    }
    if (url.pathname !== '/') this.report(path, 'a path is not supported yet')
    return url.origin
  }

  groups(
    key: 'administrators' | 'auditors',
    providers: readonly string[],
    workloads: readonly string[],
  ): readonly string[] {
    return this.#document.value.gateway[key].map(({ group }, index) => {
      const problem = groupProblem(group, providers, workloads)
      if (problem === undefined) return qualifiedGroup(group, providers)
      this.report(['gateway', key, index, 'group'], problem.message, problem.hint)
      return group
    })
  }
}

/** The issues inside an error, if it is one of a configuration file. */
export function issuesOf(error: unknown): readonly ConfigIssue[] {
  if (error instanceof ConfigError) return error.issues
  throw error
}
