// What is shown of texts that are not parsed, or must not be shown as they are.

import { describe, expect, it } from 'vitest'
import {
  unparsedReason,
  unparsedText,
  withoutLiterals,
} from '../../../../../src/protocol/postgres/sql/lexical-text.js'
import { withoutVectors } from '../../../../../src/protocol/postgres/values.js'

describe('a text that was not parsed', () => {
  it.each([
    ["SELECT '[1, -2.5,3e-7]' FROM FROM", 'SELECT vector(3) FROM FROM'],
    ["SELEC E'[1,2]', $x$[1,2,3]$x$, '[1]', '[a,b]'", "SELEC vector(2), vector(3), '[1]', '[a,b]'"],
    ["ALTER ROLE a PASSWORD 'b", "ALTER ROLE a PASSWORD '[secret]'"],
    ['alter role a password=b, c', "alter role a password='[secret]' c"],
    ['ALTER ROLE "a\'b" PASSWORD $$x$$ -- y', `ALTER ROLE "a'b" PASSWORD '[secret]' `],
  ])('%s', (text, shown) => {
    expect(unparsedText(text)).toBe(shown)
  })

  it('is looked through in one go, whatever is in it', () => {
    const size = 50_000
    const began = process.cpuUsage()
    for (const unit of [
      "'",
      '[',
      '[1,',
      "'[1,1",
      '$',
      '$a$',
      '/*',
      '--',
      '"',
      "E'\\",
      ' ',
      "' ",
      'password ',
      "password '",
    ])
      for (const text of [unit.repeat(size), `password ${unit.repeat(size)}`]) {
        expect(unparsedText(text).length).toBeGreaterThan(0)
        expect(withoutVectors(text).length).toBeGreaterThan(0)
        expect(withoutLiterals(text)).toBeDefined()
      }
    // Of the square of the size it would be an hour.
    expect(process.cpuUsage(began).user / 1e6).toBeLessThan(30)
  })

  it('says why without quoting a secret', () => {
    const said = 'syntax error at or near "\'hunter2\'"'
    expect(unparsedReason("ALTER ROLE a PASSWORDS 'hunter2'", said)).toBe('syntax error')
    expect(unparsedReason("SELEC 'hunter2'", said)).toBe(said)
  })
})
