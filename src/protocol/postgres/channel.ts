// Owns what is asked of a role about a channel of LISTEN and NOTIFY. What is sent there is past masks and limits, as
// the result of a function of the role's own is: so a role names channels as it names functions.

/** The use of a channel as a role must name it, such as `$channel.listen(orders)`. */
export function channelUse(act: 'listen' | 'notify', channel: string): string {
  return `$channel.${act}(${channel})`
}
