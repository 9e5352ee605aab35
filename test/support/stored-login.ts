// Owns reading and changing the login that the command line keeps in its file, as somebody with the disk could.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Product } from './product.js'

export interface Login {
  accessToken: string
  refreshToken: string
  expiresAt: string
}

const fileOf = (product: Product, person: string): string =>
  join(product.stateOf(person), 'tokens.json')

/** What is stored of this person's login. */
export function storedLogin(product: Product, person: string): Login {
  const file = JSON.parse(readFileSync(fileOf(product, person), 'utf8')) as {
    entries: Record<string, string>
  }
  return JSON.parse(file.entries[`login ${product.url}`] ?? '{}') as Login
}

/** Lets the access token look as if it had expired, so that the next command renews it. */
export function expireAccess(product: Product, person: string): void {
  const path = fileOf(product, person)
  const file = JSON.parse(readFileSync(path, 'utf8')) as { entries: Record<string, string> }
  const login = storedLogin(product, person)
  login.expiresAt = new Date(0).toISOString()
  file.entries[`login ${product.url}`] = JSON.stringify(login)
  writeFileSync(path, JSON.stringify(file))
}
