// Owns what `connect` tells people.

import type { Closed, ConnectEvent, Ready } from '../client/connect.js'
import { type Output, visible } from './output.js'
import { indent, whenText } from './people.js'

/** What stands beside the spinner while a second person has not answered. */
export const WAITING = 'waiting for the answer; Ctrl-C gives up, the request stays open'

/** What stands above and below the connection string. */
export function readyLines(output: Output, ready: Ready, now: number): string[] {
  const lines = [
    `${output.colour.green('✔')} connected to ${visible(ready.target)} until ${whenText(ready.expires_at, now)}, session ${visible(ready.session)}`,
    ...ready.notes.map((note) => `  ${output.colour.dim('note:')} ${visible(note)}`),
    '',
  ]
  for (const snippet of ready.snippets)
    lines.push(output.colour.bold(snippet.client), indent(visible(snippet.code)), '')
  lines.push(output.colour.dim('Ctrl-C disconnects. The connection string:'))
  return lines
}

/** One line for something that happened. */
export function eventLine(output: Output, event: ConnectEvent): string {
  if (event.event === 'expiring') {
    return `${output.colour.yellow('!')} access ends at ${whenText(event.expires_at, Date.now())}`
  }
  if (event.event === 'reconnecting') {
    const cut =
      event.cut === 0
        ? ''
        : `, ${event.cut} open ${event.cut === 1 ? 'connection was' : 'connections were'} cut`
    return `${output.colour.yellow('!')} reconnecting until ${whenText(event.until, Date.now())}: ${visible(event.message)}${cut}`
  }
  if (event.event === 'reconnected') {
    return `${output.colour.green('✔')} reconnected, session ${visible(event.session)}: same port, same secret; open your connections again`
  }
  if (event.event === 'waiting_approval') {
    const who = event.approvers.map(visible).join(' or ')
    return `${output.colour.yellow('⏸')} waits for ${who}: request ${event.request}\n  they type: vgate approve ${event.request}\n  or open:   ${visible(event.url)}`
  }
  if (event.event === 'held') {
    const where = event.collections.map(visible).join(', ')
    return `${output.colour.yellow('⏸')} held ${visible(event.operation)} on ${where}: ${visible(event.preview)}\n  request ${event.request} waits for ${event.approvers.map(visible).join(' or ')}`
  }
  if (event.event === 'released')
    return `${output.colour.green('✔')} approved: ${event.request} runs`
  const rule = event.message.includes(event.rule) ? '' : ` (${visible(event.rule)})`
  return `${output.colour.red('✖')} denied ${visible(event.operation)}: ${visible(event.message)}${output.colour.dim(rule)}`
}

/** The event `closed`: the reason in a word, and what the gateway or the tunnel said of it. */
export function closedEvent({ reason, error }: Closed): { reason: string; message?: string } {
  return { reason, ...(error === undefined ? {} : { message: error.message }) }
}

/** Why it is over. */
export function closedLine(output: Output, closed: Closed): string {
  if (closed.reason === 'expired') return 'access has ended with its grant'
  const why = closed.error === undefined ? closed.reason : visible(closed.error.message)
  const hint = closed.error?.hint === undefined ? '' : `\n  ${visible(closed.error.hint)}`
  return `${output.colour.red('error:')} ${why}${hint}`
}
