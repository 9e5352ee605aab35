// Peers of other versions get a clear message: which side speaks what, which is older, who updates.

import { afterEach, describe, expect, it } from 'vitest'
import { GatewayApi } from '../../../src/client/gateway-api.js'
import { dialTunnel } from '../../../src/client/tunnel-client.js'
import { versionRefusal } from '../../../src/client/versions.js'
import { type FakeGateway, startFakeGateway } from '../../support/fake-gateway.js'

let gateway: FakeGateway
afterEach(() => gateway.close())

describe('a gateway of another version', () => {
  it.each([
    [2, 'this vgate is the older one: update it'],
    [0, expect.stringContaining('the gateway is the older one: ask its administrator')],
  ])('%i is met at login, by its discovery', async (version, hint) => {
    gateway = await startFakeGateway({ versions: [version] })
    await expect(new GatewayApi({ url: gateway.url }).discovery()).rejects.toMatchObject({
      code: 'VGATE_VERSION_UNSUPPORTED',
      message: expect.stringMatching(
        new RegExp(
          `^the gateway \\(0\\.1\\.0\\) speaks API version ${version}, and this vgate \\(.*\\) speaks 1$`,
        ),
      ),
      hint,
    })
  })

  it.each([2, 0])('%i that picks its own subprotocol is met by the tunnel', async (version) => {
    gateway = await startFakeGateway({
      versions: [version],
      subprotocol: `vgate.tunnel.v${version}`,
    })
    await expect(dialTunnel({ url: gateway.url }, 'token')).rejects.toMatchObject({
      code: 'VGATE_VERSION_UNSUPPORTED',
      message: expect.stringContaining(`version ${version}, and this vgate`),
    })
  })

  it('that refuses the upgrade in words of its own is asked for its versions', async () => {
    gateway = await startFakeGateway({ versions: [2] })
    gateway.refuseTunnel = [400, { problem: 'subprotocol' }]
    await expect(dialTunnel({ url: gateway.url }, 'token')).rejects.toMatchObject({
      code: 'VGATE_VERSION_UNSUPPORTED',
    })
  })

  it('that says so itself is quoted', async () => {
    gateway = await startFakeGateway()
    const error = {
      code: 'VGATE_VERSION_UNSUPPORTED',
      message: 'this gateway (2.0.0) speaks tunnel version 2, and the client speaks 1',
      hint: 'the client is the older one: update vgate',
    }
    gateway.refuseTunnel = [426, { error }]
    await expect(dialTunnel({ url: gateway.url }, 'token')).rejects.toMatchObject(error)
  })

  it('is not blamed for a failure that versions do not explain', async () => {
    gateway = await startFakeGateway()
    gateway.refuseTunnel = [502, { oops: true }]
    await expect(dialTunnel({ url: gateway.url }, 'token')).rejects.toMatchObject({
      code: 'VGATE_GATEWAY_UNREACHABLE',
      message: expect.stringContaining('answered with status 502'),
    })
  })

  it('that speaks several with ours among them is fine; a hostile list is cut', async () => {
    gateway = await startFakeGateway({ versions: [1, 2] })
    expect((await new GatewayApi({ url: gateway.url }).discovery()).api.versions).toEqual([1, 2])
    const versions = Array.from({ length: 100 }, (_, index) => index + 2)
    const refused = versionRefusal({ name: 'vgate', api: { versions }, tunnel: { versions } })
    expect(refused?.message.length).toBeLessThan(120)
  })
})
