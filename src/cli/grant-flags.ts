// Owns the argument and the flags that `connect` and `exec` share, and what they ask of the gateway.

import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { GrantRequest } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import { durationSeconds } from './people.js'

export const targetArgument = {
  name: Args.string({ description: 'target to connect to', required: true }),
}

export const grantFlags = {
  role: Flags.string({ description: 'ask for exactly this role', helpValue: 'ROLE' }),
  reason: Flags.string({ description: 'why, for the record and for approvers', helpValue: 'TEXT' }),
  ticket: Flags.string({ description: 'ticket that this belongs to', helpValue: 'ID' }),
  ttl: Flags.string({
    description: 'how long, for instance 30m; default and maximum are the rule’s',
    helpValue: 'TIME',
  }),
  wait: Flags.boolean({ description: 'wait for an approval', default: true, allowNo: true }),
  port: Flags.integer({ description: 'local port', min: 1, max: 65_535, helpValue: 'N' }),
  bind: Flags.string({
    description: 'loopback address to listen on; default every loopback family',
    helpValue: 'ADDR',
  }),
}

export interface GrantFlags {
  readonly role?: string | undefined
  readonly reason?: string | undefined
  readonly ticket?: string | undefined
  readonly ttl?: string | undefined
}

/** The request for a grant. Throws VGATE_USAGE for a duration that is none. */
export function grantRequestOf(target: string, flags: GrantFlags): GrantRequest {
  const ttl = flags.ttl === undefined ? undefined : durationSeconds(flags.ttl)
  if (flags.ttl !== undefined && ttl === undefined) {
    throw new VgateError('VGATE_USAGE', `--ttl ${flags.ttl} is not a duration`, {
      hint: 'for instance 30m, 1h or 1h30m',
    })
  }
  return {
    target,
    ...(flags.role === undefined ? {} : { role: flags.role }),
    ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    ...(flags.ticket === undefined ? {} : { ticket: flags.ticket }),
    ...(ttl === undefined ? {} : { ttl_seconds: ttl }),
  }
}

/** Where to listen, as far as the flags say. */
export function listenOptions(flags: {
  readonly port?: number | undefined
  readonly bind?: string | undefined
  readonly socket?: string | undefined
}): { readonly port?: number; readonly bind?: string; readonly socket?: string } {
  return {
    ...(flags.port === undefined ? {} : { port: flags.port }),
    ...(flags.bind === undefined ? {} : { bind: flags.bind }),
    ...(flags.socket === undefined ? {} : { socket: flags.socket }),
  }
}
