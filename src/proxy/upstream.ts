// Owns dialling the database and logging in: sockets, TLS, deadlines. One upstream connection belongs to one client
// connection of one session and is never handed to another.

import { randomBytes } from 'node:crypto'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ProtocolFamily, UpstreamGreeting } from '../core/adapter.js'
import type { TargetSpec } from '../core/authority.js'
import { VgateError } from '../core/errors.js'
import type { Secret } from '../core/secret.js'

export const DIAL_DEADLINE_MS = 10_000
export const CANCEL_DEADLINE_MS = 3_000

export interface UpstreamConnection {
  readonly socket: Socket
  readonly greeting: UpstreamGreeting
  /** What to send on a new connection to cancel what runs on this one. */
  readonly cancel: Buffer
  /** Bytes read past the login. */
  readonly rest: Buffer
}

export interface DialOptions {
  readonly family: ProtocolFamily
  readonly target: TargetSpec
  readonly credential: { readonly username: string; readonly password: Secret }
  readonly parameters: Readonly<Record<string, string>>
  /** Ask where the session looks names up. */
  readonly askPath?: boolean
}

/** Dials, upgrades to TLS where the target asks for it (verified, always), and logs in. Rejects with VGATE_UPSTREAM_FAILED. */
export function dial(options: DialOptions): Promise<UpstreamConnection> {
  return new Promise((resolve, reject) => {
    const { target, family } = options
    let socket: Socket = connectTcp({ host: target.host, port: target.port, noDelay: true })
    let settled = false
    const deadline = setTimeout(
      () => fail(unreachable(target, 'no answer in time')),
      DIAL_DEADLINE_MS,
    )
    const fail = (error: VgateError): void => {
      if (settled) return
      settled = true
      clearTimeout(deadline)
      socket.destroy()
      reject(error)
    }
    const login = family.createLogin(
      {
        credential: {
          username: options.credential.username,
          password: options.credential.password.reveal(),
        },
        databaseName: target.databaseName,
        parameters: options.parameters,
        tls: target.tls.verify === 'full',
        // Without TLS a target is on a literal loopback address; the configuration refuses anything else.
        allowPlaintextPassword: true,
        askPath: options.askPath === true,
        randomBytes,
      },
      {
        toUpstream: (bytes) => socket.write(bytes),
        startTls: () => {
          socket.removeAllListeners('data')
          socket = upgrade(socket, target, () => {
            listen()
            login.secured()
          })
          watch()
        },
        ready: (greeting, cancel, rest) => {
          if (settled) return
          settled = true
          clearTimeout(deadline)
          socket.pause()
          socket.removeAllListeners()
          resolve({ socket, greeting, cancel, rest })
        },
        failed: fail,
      },
    )
    const listen = (): void => {
      socket.on('data', (bytes: Buffer) => {
        try {
          login.fromUpstream(bytes)
        } catch (error) {
          fail(
            error instanceof VgateError
              ? error
              : unreachable(target, 'it answered with what is not its protocol'),
          )
        }
      })
    }
    const watch = (): void => {
      socket.on('error', (error: NodeJS.ErrnoException) =>
        fail(unreachable(target, reasonOf(error))),
      )
      socket.on('close', () => fail(unreachable(target, 'it closed the connection')))
    }
    watch()
    socket.once('connect', () => {
      listen()
      login.start()
    })
  })
}

/** Sends a cancel packet on a connection of its own, secured as the target's are. Best effort by nature: it never rejects. */
export function sendCancel(
  family: ProtocolFamily,
  target: TargetSpec,
  packet: Buffer,
): Promise<void> {
  return new Promise((resolve) => {
    let socket: Socket = connectTcp({ host: target.host, port: target.port, noDelay: true })
    const deadline = setTimeout(() => socket.destroy(), CANCEL_DEADLINE_MS)
    const cancel = family.createCancel(
      { packet, tls: target.tls.verify === 'full' },
      {
        toUpstream: (bytes) => socket.write(bytes),
        startTls: () => {
          socket.removeAllListeners('data')
          socket = upgrade(socket, target, () => cancel.secured())
          watch()
        },
        done: () => socket.end(),
      },
    )
    const watch = (): void => {
      socket.on('data', (bytes: Buffer) => cancel.fromUpstream(bytes))
      // The database answers a cancel with nothing and closes; after an error there is nothing left to cancel.
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        clearTimeout(deadline)
        resolve()
      })
    }
    watch()
    socket.once('connect', () => cancel.start())
  })
}

/** TLS options for a target: verified against the given CA or the system's, for the name that the target has. */
export function tlsOptions(target: TargetSpec): {
  host: string
  servername?: string
  ca?: string
  rejectUnauthorized: true
  minVersion: 'TLSv1.2'
} {
  const tls = target.tls
  const ca = tls.verify === 'full' ? tls.ca : undefined
  const name = (tls.verify === 'full' ? tls.serverName : undefined) ?? target.host
  return {
    host: name,
    // RFC 6066 §3: a literal address is no server name.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(ca === undefined ? {} : { ca }),
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  }
}

function upgrade(socket: Socket, target: TargetSpec, secured: () => void): Socket {
  const secure = connectTls({ ...tlsOptions(target), socket })
  secure.once('secureConnect', secured)
  return secure
}

function unreachable(target: TargetSpec, why: string): VgateError {
  return new VgateError(
    'VGATE_UPSTREAM_FAILED',
    `cannot reach the database of ${target.name}: ${why}`,
    {
      hint: `check targets.${target.name} in vgate.yaml and that the database is up`,
    },
  )
}

function reasonOf(error: NodeJS.ErrnoException): string {
  return error.code ?? error.message
}
