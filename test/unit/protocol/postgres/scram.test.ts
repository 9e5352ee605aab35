// SCRAM-SHA-256 on both sides: the exchange of RFC 7677 section 3, and what must be refused.

import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { ScramClient, ScramServer, scramVerifier } from '../../../../src/protocol/postgres/scram.js'

const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const CLIENT_NONCE = 'rOprNGfwEbeRWgbNEkqO'
const SERVER_NONCE = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const FIRST = `n,,n=user,r=${CLIENT_NONCE}`
const SERVER_FIRST = `r=${CLIENT_NONCE}${SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`
const FINAL = `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`
const SERVER_FINAL = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='
const verifier = scramVerifier('pencil', SALT, 4096)

describe('the server', () => {
  test('answers the exchange of RFC 7677', () => {
    const server = new ScramServer(verifier, SERVER_NONCE)
    expect(server.first(FIRST)).toBe(SERVER_FIRST)
    expect(server.final(FINAL)).toBe(SERVER_FINAL)
  })

  test('refuses a proof of another password', () => {
    const server = new ScramServer(scramVerifier('pencils', SALT, 4096), SERVER_NONCE)
    server.first(FIRST)
    expect(server.final(FINAL)).toBeUndefined()
  })

  test.each([
    [`p=tls-server-end-point,,n=user,r=${CLIENT_NONCE}`],
    [`n,a=admin,n=user,r=${CLIENT_NONCE}`],
    [`n,,m=ext,n=user,r=${CLIENT_NONCE}`],
    ['n,,n=user,r='],
    ['garbage'],
    [''],
  ])('refuses the first message %j', (text) => {
    expect(() => new ScramServer(verifier, SERVER_NONCE).first(text)).toThrow('is not offered')
  })

  test.each([
    ['another nonce', FINAL.replace('hvYDp', 'XXXXX'), 'changed its nonce'],
    ['another header', FINAL.replace('biws', 'eSws'), 'changed its header'],
    ['no proof', `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE}`, 'carries no proof'],
    ['a short proof', `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE},p=AAAA`, 'wrong length'],
  ])('refuses %s', (_, text, why) => {
    const server = new ScramServer(verifier, SERVER_NONCE)
    server.first(FIRST)
    expect(() => server.final(text)).toThrow(why)
  })

  test('takes the flag y, bound to its own header', () => {
    const server = new ScramServer(verifier, SERVER_NONCE)
    server.first(FIRST.replace('n,,', 'y,,'))
    expect(() => server.final(FINAL)).toThrow('changed its header')
  })
})

describe('the client', () => {
  test('makes the exchange of RFC 7677', () => {
    const client = new ScramClient('pencil', CLIENT_NONCE, 'user')
    expect(client.first()).toBe(FIRST)
    expect(client.respond(SERVER_FIRST)).toBe(FINAL)
    expect(client.verify(SERVER_FINAL)).toBe(true)
    expect(client.verify(SERVER_FINAL.replace('6rri', '7rri'))).toBe(false)
  })

  test.each([
    ['a foreign nonce', SERVER_FIRST.replace('rOpr', 'XXXX'), 'foreign nonce'],
    [
      'no nonce of the server',
      `r=${CLIENT_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
      'foreign nonce',
    ],
    [
      'iterations that stop the event loop',
      SERVER_FIRST.replace('4096', '2147483647'),
      'out of bounds',
    ],
    ['no iterations', SERVER_FIRST.replace('4096', '0'), 'out of bounds'],
  ])('refuses %s', (_, text, why) => {
    expect(() => new ScramClient('pencil', CLIENT_NONCE, 'user').respond(text)).toThrow(why)
  })

  test('agrees with the server for any password', () => {
    for (const password of ['', 'ß ü', '\u00bd', 'a'.repeat(200)]) {
      const server = new ScramServer(scramVerifier(password, randomBytes(16), 1), 'server')
      const client = new ScramClient(password, 'client')
      const final = server.final(client.respond(server.first(client.first())))
      expect(final !== undefined && client.verify(final)).toBe(true)
    }
  })
})
