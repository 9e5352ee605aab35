import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { approveDevice, browser } from '../../../src/demo/approve-device.js'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../../src/demo/identity-provider.js'

const SCOPE = 'openid offline_access email profile groups'

describe('the demo’s identity provider', () => {
  let provider: IdentityProvider
  let config: client.Configuration

  beforeAll(async () => {
    provider = await startIdentityProvider()
    config = await client.discovery(new URL(provider.issuer), 'vgate', undefined, client.None(), {
      execute: [client.allowInsecureRequests],
    })
  })
  afterAll(() => provider.close())

  const login = async (
    person: string,
    open = browser(),
  ): Promise<Awaited<ReturnType<typeof client.pollDeviceAuthorizationGrant>>> => {
    const device = await client.initiateDeviceAuthorization(config, { scope: SCOPE })
    const polled = client.pollDeviceAuthorizationGrant(config, device)
    polled.catch(() => undefined) // awaited below; approving may fail first
    await approveDevice(device.verification_uri_complete ?? '', person, open)
    return polled
  }

  it('asks clients to poll every second', async () => {
    const device = await client.initiateDeviceAuthorization(config, { scope: SCOPE })
    expect(device.interval).toBe(1)
  })

  it.each([
    ['alice', ['data-science']],
    ['bob', ['data-owners']],
    ['carol', ['contractors']],
  ])('signs %s in with groups in the ID token', async (person, groups) => {
    const tokens = await login(person)
    expect(tokens.claims()).toMatchObject({
      sub: person,
      email: `${person}@example.org`,
      groups,
      aud: 'vgate',
    })
    expect(tokens.refresh_token).toBeTypeOf('string')
  })

  it('asks who it is at every login, in a browser that signed somebody in before', async () => {
    const open = browser()
    expect((await login('alice', open)).claims()?.sub).toBe('alice')
    expect((await login('bob', open)).claims()?.sub).toBe('bob')
  })

  it('rotates refresh tokens and revokes the family when an old one comes again', async () => {
    const first = await login('alice')
    const second = await client.refreshTokenGrant(config, first.refresh_token ?? '')
    expect(second.refresh_token).not.toBe(first.refresh_token)
    expect(second.claims()).toMatchObject({ sub: 'alice', groups: ['data-science'] })
    await expect(client.refreshTokenGrant(config, first.refresh_token ?? '')).rejects.toMatchObject(
      { error: 'invalid_grant' },
    )
    await expect(
      client.refreshTokenGrant(config, second.refresh_token ?? ''),
    ).rejects.toMatchObject({ error: 'invalid_grant' })
  })

  it('refuses a stranger', async () => {
    await expect(login('mallory')).rejects.toMatchObject({ error: 'access_denied' })
  })
})
