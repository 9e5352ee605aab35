// Owns the local listener: which port, on loopback alone, every loopback family of the machine or none, or a
// private unix socket. Must never listen where another machine could reach it.

import { createHash } from 'node:crypto'
import { chmod, stat, unlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { VgateError } from '../core/errors.js'
import { hasCode } from '../core/system-error.js'
import { isLoopbackHost } from './loopback.js'

const FIRST_PORT = 20_000
const PORTS = 10_000
/** A free port on IPv4 may be taken on IPv6; tries before giving up. */
const EPHEMERAL_TRIES = 20

export interface PortRequest {
  /** Undefined: any free port. */
  readonly port?: number
  readonly bind?: string
  readonly socket?: string
}

export interface LocalPort {
  readonly host: string
  readonly port: number
  /** Stops listening and waits until the listeners are closed; sockets live on. */
  close(): Promise<void>
}

/** The port that a target always has for this user of this gateway, in 20000–29999. */
export function stablePort(gateway: string, target: string, user: string): number {
  const hash = createHash('sha256')
    .update(JSON.stringify([gateway, target, user]))
    .digest()
  return FIRST_PORT + (hash.readUInt32BE(0) % PORTS)
}

/** Literal loopback addresses to listen on. Throws VGATE_USAGE for a `bind` that is not one. */
export function loopbackAddresses(bind: string | undefined): string[] {
  if (bind === undefined || bind === 'localhost') {
    const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    return all.some((address) => address.address === '::1') ? ['127.0.0.1', '::1'] : ['127.0.0.1']
  }
  if (isLoopbackHost(bind)) return [bind.replace(/^\[|\]$/g, '')]
  throw new VgateError('VGATE_USAGE', `--bind ${bind} is not a loopback address`, {
    hint: 'the local port is for this machine alone: use 127.0.0.1, ::1 or --socket PATH',
  })
}

/** Listens on every address at one port, or rejects: VGATE_PORT_IN_USE names the port. */
export async function openLocalPort(
  request: PortRequest,
  accept: (socket: Socket) => void,
): Promise<LocalPort> {
  if (request.socket !== undefined) return openUnixSocket(request.socket, accept)
  const addresses = loopbackAddresses(request.bind)
  const tries = request.port === undefined ? EPHEMERAL_TRIES : 1
  for (let left = tries; ; left -= 1) {
    try {
      return await listenOnAll(addresses, request.port ?? 0, accept)
    } catch (error) {
      if (left <= 1 || !hasCode(error, 'EADDRINUSE')) throw portError(error, request.port)
    }
  }
}

async function listenOnAll(
  addresses: readonly string[],
  wanted: number,
  accept: (socket: Socket) => void,
): Promise<LocalPort> {
  const servers: Server[] = []
  let port = wanted
  try {
    for (const host of addresses) {
      const server = await listen({ host, port }, accept)
      servers.push(server)
      const address = server.address()
      if (address !== null && typeof address === 'object') port = address.port
    }
  } catch (error) {
    await closeAll(servers)
    throw error
  }
  return { host: addresses[0] ?? '127.0.0.1', port, close: () => closeAll(servers) }
}

async function openUnixSocket(path: string, accept: (socket: Socket) => void): Promise<LocalPort> {
  await removeDeadSocket(path)
  // The mask makes the socket private from its first moment; chmod states it for systems that ignore the mask.
  const before = process.umask(0o177)
  try {
    const server = await listen({ path }, accept)
    await chmod(path, 0o600)
    const libpq = /^(.*)\/[^/]*\.(\d{1,5})$/.exec(path)
    return {
      host: libpq?.[1] ?? path,
      port: Number(libpq?.[2] ?? 0),
      close: () => closeAll([server]),
    }
  } catch (error) {
    throw portError(error, undefined, path)
  } finally {
    process.umask(before)
  }
}

/** A socket file that a dead process left behind is removed; anything else is left alone, and listening fails. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isSocket() !== true) return
  const { connect } = await import('node:net')
  const dead = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy()
      resolve(false)
    })
    probe.on('error', (error) => resolve(hasCode(error, 'ECONNREFUSED')))
  })
  if (dead) await unlink(path)
}

function listen(
  where: { host: string; port: number } | { path: string },
  accept: (socket: Socket) => void,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: false }, accept)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(
      {
        ...where,
        exclusive: true,
        ...('host' in where ? { ipv6Only: where.host.includes(':') } : {}),
      },
      () => {
        server.off('error', reject)
        resolve(server)
      },
    )
  })
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
  )
}

function portError(error: unknown, port: number | undefined, path?: string): VgateError {
  const where = path ?? `port ${port ?? 'any'}`
  if (hasCode(error, 'EADDRINUSE')) {
    return new VgateError('VGATE_PORT_IN_USE', `${where} is in use by another program`, {
      cause: error,
      hint: 'choose another one with --port N; vgate never moves by itself, so that your configuration stays true',
    })
  }
  const text = error instanceof Error ? error.message : String(error)
  return new VgateError('VGATE_UNEXPECTED', `cannot listen on ${where}: ${text}`, { cause: error })
}
