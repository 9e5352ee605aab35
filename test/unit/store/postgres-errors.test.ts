// Owns the table of what people are told when PostgreSQL fails, and the proof that the driver's own words stay away.

import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { VgateError } from '../../../src/core/errors.js'
import { postgresError } from '../../../src/store/postgres-errors.js'

const failure = (code?: string, message = 'planted detail'): Error =>
  Object.assign(new Error(message), code === undefined ? {} : { code }, { detail: 'planted row' })

it.each([
  ['53100', 'cannot be written: the disk is full (53100)'],
  ['25006', 'cannot be written: it is read only (25006)'],
  ['42501', 'cannot be used: permission denied (42501)'],
  ['28P01', 'refuses the login (28P01)'],
  ['28000', 'refuses the login (28000)'],
  ['53300', 'has no connection left (53300)'],
  ['57014', 'did not answer in time (57014)'],
  ['55P03', 'did not answer in time (55P03)'],
  ['57P01', 'cannot be reached (57P01)'],
  ['57P03', 'cannot be reached (57P03)'],
  ['08006', 'cannot be reached (08006)'],
  ['58030', 'cannot be read or written (58030)'],
  ['XX001', 'is damaged (XX001)'],
  ['ENOTFOUND', 'cannot be reached (ENOTFOUND)'],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'shows a certificate that cannot be verified (ERR_TLS_CERT_ALTNAME_INVALID)',
  ],
  ['42P01', 'failed (42P01)'],
])('%s: %s', (code, what) => {
  const error = postgresError(failure(code))
  expect(error).toMatchObject({
    code: 'VGATE_STORE_UNAVAILABLE',
    message: `the store (PostgreSQL) ${what}`,
    hint: expect.any(String),
  })
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('planted')
})

it.each([
  ['Query read timeout', 'did not answer in time'],
  ['Connection terminated unexpectedly', 'cannot be reached'],
  ['timeout exceeded when trying to connect', 'cannot be reached'],
  ['timeout expired', 'cannot be reached'],
  ['The server does not support SSL connections', 'offers no TLS'],
  ['SASL: SCRAM-SERVER-FINAL-MESSAGE: server signature is wrong', 'refuses the login'],
  ['planted words', 'failed'],
])('the driver says "%s": %s', (said, what) => {
  const error = postgresError(failure(undefined, said))
  expect(error.message).toBe(`the store (PostgreSQL) ${what}`)
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('planted')
})

it("names vgate's own tables, and passes its own errors on", () => {
  const broken = Object.assign(failure('23505'), { table: 'grants', constraint: 'grants_pkey' })
  expect(postgresError(broken).cause).toMatchObject({
    message: 'PostgreSQL, 23505, table grants, constraint grants_pkey',
  })
  const own = new VgateError('VGATE_STORE_UNAVAILABLE', 'x')
  expect(postgresError(own)).toBe(own)
})
