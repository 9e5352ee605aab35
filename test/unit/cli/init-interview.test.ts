// The questions of `gateway init`: flags first, then a person, then defaults, and a refusal that names the flag.

import { describe, expect, it } from 'vitest'
import { type Ask, interview } from '../../../src/cli/init-interview.js'

const enough = {
  issuer: 'https://id.example.com',
  'client-id': 'vgate',
  address: 'postgres://db.internal:5432/vectors',
  credential: 'env:PGPASS',
}
const choices = { names: [], tls: true }

describe('the interview', () => {
  it('needs four flags of a script', async () => {
    await expect(interview(enough, choices, undefined)).resolves.toMatchObject({
      listen: '127.0.0.1:8443',
      publicUrl: 'https://127.0.0.1:8443',
      tls: 'mint',
      databaseTls: 'system',
      password: 'env:PGPASS',
      collections: ['docs'],
    })
  })

  it.each(
    Object.keys(enough),
  )('names --%s when it is missing and nobody can be asked', async (flag) => {
    const given = Object.fromEntries(Object.entries(enough).filter(([name]) => name !== flag))
    await expect(interview(given, choices, undefined)).rejects.toMatchObject({
      code: 'VGATE_USAGE',
      message: `--${flag} is missing`,
    })
  })

  it('cannot guess the URL of a gateway that listens everywhere', async () => {
    const given = { ...enough, listen: '0.0.0.0:8443' }
    await expect(interview(given, choices, undefined)).rejects.toMatchObject({
      message: '--public-url is missing',
    })
  })

  it.each([
    ['listen', '8443'],
    ['public-url', 'http://vgate.example.com'],
    ['issuer', 'id.example.com'],
    ['address', 'postgres://user:secret@db/vectors'],
    ['target', 'a b'],
    ['group', 'a, b'],
    ['provider', '-'],
  ])('refuses --%s %s', async (flag, value) => {
    await expect(interview({ ...enough, [flag]: value }, choices, undefined)).rejects.toMatchObject(
      {
        code: 'VGATE_USAGE',
        message: expect.stringContaining(`--${flag} `),
      },
    )
  })

  it('takes no password as a flag, and does not repeat one', async () => {
    const given = { ...enough, credential: 'hunter2' }
    const refused = interview(given, choices, undefined)
    await expect(refused).rejects.toMatchObject({ code: 'VGATE_USAGE' })
    await expect(refused).rejects.not.toThrow(/hunter2/)
  })

  it('asks a person for what no flag says, the password hidden', async () => {
    const asked: string[] = []
    const ask: Ask = async ({ flag, initial, hidden }) => {
      asked.push(hidden === true ? `${flag} (hidden)` : flag)
      return { address: 'postgres://127.0.0.1:5432/v', credential: 'typed' }[flag] ?? initial ?? 'x'
    }
    const given = { issuer: 'https://id.example.com', 'client-id': 'vgate' }
    await expect(interview(given, choices, ask)).resolves.toMatchObject({
      databaseTls: 'off',
      password: 'file:db-password',
      passwordValue: 'typed',
    })
    expect(asked).not.toContain('issuer')
    expect(asked).toContain('credential (hidden)')
  })
})
