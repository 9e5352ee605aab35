// The control messages of the tunnel against their vectors, and the specification's table against both.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { clientMessage, gatewayMessage } from '../../../src/core/api.js'

interface Vector {
  readonly from: 'client' | 'gateway'
  readonly name: string
  readonly message: { readonly type: string }
  readonly outcome: 'accepted' | 'ignored' | 'ends the tunnel'
}
const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
const vectors = JSON.parse(read('test/vectors/tunnel-messages/messages.json')) as Vector[]
const spec = read('docs/spec/tunnel-v1.md')

describe('control messages', () => {
  it.each(vectors)('from a $from: $name is $outcome', ({ from, message, outcome }) => {
    const schema = from === 'client' ? clientMessage : gatewayMessage
    expect(schema.safeParse(message).success).toBe(outcome === 'accepted')
    expect(outcome).not.toBe(from === 'client' ? 'ignored' : 'ends the tunnel')
  })

  it.each(
    [...clientMessage.options, ...gatewayMessage.options].map((option) => [
      option.shape.type.value,
      Object.keys(option.shape).filter((member) => member !== 'type'),
    ]),
  )('%s is in the specification with every member, and has a vector', (type, members) => {
    const line = spec.split('\n').find((one) => one.includes(`| \`${type}\` |`)) ?? ''
    for (const member of members) expect(line).toContain(`\`${member}`)
    expect(
      vectors.some(({ message, outcome }) => message.type === type && outcome === 'accepted'),
    ).toBe(true)
  })
})
