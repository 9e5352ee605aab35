// The start-up packet: options split as PostgreSQL splits them, versions, and what is refused.

import { describe, expect, test } from 'vitest'
import {
  optionSettings,
  quotedPath,
  readStartup,
  splitOptions,
} from '../../../../src/protocol/postgres/startup.js'
import { cstr, i32, untyped } from '../../../../src/protocol/postgres/wire.js'
import { fakeAnalyzer } from '../../../support/fake-analyzer.js'

const packet = (pairs: readonly (readonly [string, string])[], version = 196608): Buffer =>
  untyped(
    i32(version),
    ...pairs.flatMap(([name, value]) => [cstr(name), cstr(value)]),
    Buffer.from([0]),
  )
const read = (pairs: readonly (readonly [string, string])[], version?: number) =>
  readStartup(packet([['user', 'anna'], ...pairs], version), 'probe', fakeAnalyzer())

describe('options', () => {
  test.each([
    ['', []],
    ['  -c a=b  ', ['-c', 'a=b']],
    ['-c\\ a=b', ['-c a=b']],
    ['-c a=b\\ c', ['-c', 'a=b c']],
    ['-c a=\\\\', ['-c', 'a=\\']],
    ['-c\ta=b\n--c=d', ['-c', 'a=b', '--c=d']],
    ['\\', ['']],
  ])('%j is split into %j', (text, words) => {
    expect(splitOptions(text)).toEqual(words)
  })

  test.each([
    ['-c a-b=c', [['a_b', 'c']]],
    ['-ca=b=c', [['a', 'b=c']]],
    ['--work-mem=1', [['work_mem', '1']]],
    ['-c\\ search_path=x', [[' search_path', 'x']]],
  ])('%j sets %j', (text, settings) => {
    expect(optionSettings(text)).toEqual(settings)
  })

  test.each([
    ['-c'],
    ['-c a'],
    ['-e'],
    ['--'],
    ['a=b'],
    ['-d 5'],
    ['--=x'],
    ['-c =x'],
  ])('%j is refused', (text) => {
    expect(() => optionSettings(text)).toThrow('is refused')
  })
})

describe('the packet', () => {
  test('keeps what is allowed, and asks for UTF8', () => {
    const found = read([
      ['database', 'probe'],
      ['application_name', 'psql'],
      ['DateStyle', 'ISO'],
      ['client_encoding', "'utf-8'"],
    ])
    expect(found).toEqual({
      user: 'anna',
      parameters: { application_name: 'psql', datestyle: 'ISO', client_encoding: 'UTF8' },
    })
  })

  test.each([
    ['replication', 'database', '42501'],
    ['replication', 'true', '42501'],
    ['database', 'postgres', '3D000'],
    ['options', '-c standard_conforming_strings=off', '42501'],
    ['options', '-c session_authorization=postgres', '42501'],
    ['options', '-c\\ search_path=shadow', '42501'],
    ['client_encoding', 'LATIN1', '42501'],
    ['role', 'postgres', '42501'],
  ])('%s = %j is refused with %s', (name, value, sqlstate) => {
    expect(() => read([[name, value]])).toThrow(
      expect.objectContaining({ faces: expect.objectContaining({ sqlstate }) }),
    )
  })

  test.each([['false'], ['off'], ['0'], ['no'], ['OFF']])('replication = %s is none', (value) => {
    expect(read([['replication', value]]).user).toBe('anna')
  })

  test('parameters given twice are refused', () => {
    expect(() => read([['user', 'bert']])).toThrow('given twice')
    expect(() =>
      read([
        ['DateStyle', 'ISO'],
        ['datestyle', 'SQL'],
      ]),
    ).toThrow('given twice')
    expect(() =>
      read([
        ['statement_timeout', '1'],
        ['options', '-c statement_timeout=2'],
      ]),
    ).toThrow('given twice')
  })

  test('newer versions and unknown options are negotiated down to 3.0', () => {
    expect(read([['_pq_.evil', '1']]).negotiate?.toString('hex')).toBe(
      `7600000016${'00030000'}00000001${Buffer.from('_pq_.evil\0').toString('hex')}`,
    )
    expect(read([], 196610).negotiate?.toString('hex')).toBe('760000000c0003000000000000')
    expect(read([]).negotiate).toBeUndefined()
  })

  test.each([[262144], [131072], [0], [0xffffffff]])('version %i is refused', (version) => {
    expect(() => read([], version)).toThrow('is not supported')
  })

  test('bytes after the end, and an end that never comes, are violations', () => {
    const good = packet([['user', 'anna']])
    expect(() =>
      readStartup(Buffer.concat([good, Buffer.from([0])]), 'probe', fakeAnalyzer()),
    ).toThrow('after its last field')
    expect(() => readStartup(good.subarray(0, -1), 'probe', fakeAnalyzer())).toThrow('has no end')
    expect(() => readStartup(packet([]), 'probe', fakeAnalyzer())).toThrow('names no user')
  })

  test('a path is quoted name by name', () => {
    expect(quotedPath(['public', 'a"b', 'x, y'])).toBe('"public", "a""b", "x, y"')
  })
})
