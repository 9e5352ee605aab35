// Owns vgate's own version, as package.json says it.

import { readFileSync } from 'node:fs'
import { PACKAGE_ROOT } from './place.js'

export const VERSION: string = JSON.parse(
  readFileSync(new URL('package.json', PACKAGE_ROOT), 'utf8'),
).version
