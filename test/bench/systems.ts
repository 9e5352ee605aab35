// Owns what is compared: each system is an address to load and the processes whose CPU and memory count. Everything is
// started here, on loopback, in temporary folders, and stopped here.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, connect as dial } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { selfSignedCertificate } from '../support/certificates.js'
import type { TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'

export interface Address {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface System {
  readonly name: string
  readonly at: Address
  /** Processes of both ends, now. */
  pids(): number[]
  stop(): Promise<void>
}

/** Limits far away, one column masked, everything recorded as by default. */
const POLICY = `
roles:
  masked:
    allow: [{ access: read, collections: [items, vecs] }]
    mask: [{ collections: [items, vecs], fields: [email], with: redact }]
    limits: { rows: 1000000 }
  dropped:
    allow: [{ access: read, collections: [items, vecs] }]
    mask: [{ collections: [vecs], vectors: drop }]
    limits: { rows: 1000000 }
  plain:
    allow: [{ access: read, collections: [items, vecs] }, { access: write, collections: [vecs] }]
    limits: { rows: 1000000 }
access:
  - { who: { group: data-science }, role: masked, targets: ["*"], grant: { default: 8h, max: 8h } }
  - { who: { group: contractors }, role: dropped, targets: ["*"], grant: { default: 8h, max: 8h } }
  - { who: { group: data-owners }, role: plain, targets: ["*"], grant: { default: 8h, max: 8h } }
`

export function direct(postgres: TestPostgres, database: string): System {
  const { host, port, superuser: user, password } = postgres
  return {
    name: 'direct',
    at: { host, port, user, password, database },
    pids: () => [],
    stop: async () => undefined,
  }
}

/** Systems of one gateway, with TLS, policy and recording: one column masked, passed through, without embeddings. */
export async function vgate(
  postgres: TestPostgres,
  database: string,
): Promise<{ systems: System[]; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'vgate-bench-'))
  const { cert, key } = selfSignedCertificate()
  writeFileSync(join(folder, 'tls.crt'), cert)
  writeFileSync(join(folder, 'tls.key'), key, { mode: 0o600 })
  const product = await startProduct({
    postgres,
    database,
    policy: POLICY,
    gateway: `  tls: { cert: "file:${folder}/tls.crt", key: "file:${folder}/tls.key" }\n`,
    more: 'limits: { connectionsPerSession: 600 }\n',
    env: { VGATE_CA_FILE: join(folder, 'tls.crt') },
  })
  const open = async (name: string, person: string): Promise<System> => {
    await product.login(person)
    const running = product.start(person, ['connect', 'prod-vectors', '--json'])
    const ready = await running.event('ready')
    const env = ready['env'] as Record<string, string>
    return {
      name,
      at: {
        host: String(ready['host']),
        port: Number(ready['port']),
        user: env['PGUSER'] ?? '',
        password: env['PGPASSWORD'] ?? '',
        database: env['PGDATABASE'] ?? '',
      },
      pids: () => [product.gatewayPid(), running.pid ?? 0],
      stop: async () => void (await running.stop()),
    }
  }
  const systems = [
    await open('vgate, one column masked', 'alice'),
    await open('vgate, no mask', 'bob'),
    await open('vgate, embeddings dropped', 'carol'),
  ]
  return { systems, stop: () => stopAll(systems, product, folder) }
}

async function stopAll(
  systems: readonly System[],
  product: Product,
  folder: string,
): Promise<void> {
  for (const system of systems) await system.stop()
  await product.stop()
  rmSync(folder, { recursive: true, force: true })
}

/** haproxy as a TCP proxy, or why not. */
export async function haproxy(beyond: Address): Promise<System | string> {
  const binary = findBinary('haproxy')
  if (binary === undefined) return 'haproxy: not installed (apt-get install haproxy)'
  const folder = mkdtempSync(join(tmpdir(), 'vgate-haproxy-'))
  const port = await freePort()
  const config = join(folder, 'haproxy.cfg')
  writeFileSync(
    config,
    `global\n  maxconn 2000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\nlisten db\n  bind 127.0.0.1:${port}\n  server one ${beyond.host}:${beyond.port}\n`,
  )
  const child = spawn(binary, ['-f', config, '-db'], { stdio: 'ignore' })
  await listening(port)
  return proxied('haproxy, one hop', { ...beyond, host: '127.0.0.1', port }, [child], folder)
}

/** OpenSSH's own server with its own keys, and both ways to forward a port; or why not. */
export async function ssh(beyond: Address): Promise<System[] | string> {
  const [sshd, client, keygen] = ['sshd', 'ssh', 'ssh-keygen'].map(findBinary)
  if (sshd === undefined || client === undefined || keygen === undefined)
    return 'ssh: not installed (apt-get install openssh-server openssh-client)'
  const folder = mkdtempSync(join(tmpdir(), 'vgate-ssh-'))
  for (const name of ['host', 'user'])
    execFileSync(keygen, ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)])
  const port = await freePort()
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(join(folder, 'user.pub')))
  writeFileSync(
    join(folder, 'sshd_config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${folder}/host`,
      `AuthorizedKeysFile ${folder}/authorized_keys`,
      'PasswordAuthentication no',
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin prohibit-password',
      `PidFile ${folder}/pid`,
    ].join('\n'),
  )
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true })
  const server = spawn(sshd, ['-D', '-e', '-f', join(folder, 'sshd_config')], { stdio: 'ignore' })
  await listening(port)
  const forward = async (
    name: string,
    more: readonly string[],
    command: readonly string[],
  ): Promise<System> => {
    const local = await freePort()
    const child = spawn(
      client,
      [
        ...['-F', 'none', '-i', join(folder, 'user'), '-p', String(port)],
        ...['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${folder}/known`],
        ...['-o', 'IdentitiesOnly=yes', '-o', 'ExitOnForwardFailure=yes', ...more],
        ...['-L', `127.0.0.1:${local}:${beyond.host}:${beyond.port}`],
        ...[`${userInfo().username}@127.0.0.1`, ...command],
      ],
      { stdio: 'ignore' },
    )
    await listening(local)
    // The server's side of this one: what the client's connection made of the listener.
    const sides = new Set(descendants(server.pid ?? 0).filter((pid) => !taken.has(pid)))
    for (const pid of sides) taken.add(pid)
    const system = proxied(name, { ...beyond, host: '127.0.0.1', port: local }, [child])
    return { ...system, pids: () => [child.pid ?? 0, ...sides].filter(isAlive) }
  }
  const taken = new Set<number>()
  const tuned = await forward('ssh -L tuned', [], ['sleep', '3600'])
  const typed = await forward('ssh -N -L, as typed', ['-N'], [])
  return [
    tuned,
    {
      ...typed,
      stop: async () => {
        await typed.stop()
        server.kill()
        rmSync(folder, { recursive: true, force: true })
      },
    },
  ]
}

function proxied(
  name: string,
  at: Address,
  children: readonly ChildProcess[],
  folder?: string,
): System {
  return {
    name,
    at,
    pids: () => children.map((child) => child.pid ?? 0),
    stop: async () => {
      for (const child of children) child.kill()
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** CPU of these processes so far, in seconds: utime and stime of /proc/PID/stat (proc(5)), 100 ticks a second. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = stat(pid)
    return sum + (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
  }, 0)
}

/** Resident memory of these processes now (`VmRSS`) or at most (`VmHWM`), in KiB. */
export function memoryKib(pids: readonly number[], field: 'VmRSS' | 'VmHWM'): number {
  return pids.reduce((sum, pid) => {
    const text = existsSync(`/proc/${pid}/status`)
      ? readFileSync(`/proc/${pid}/status`, 'utf8')
      : ''
    return sum + Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  }, 0)
}

/** What follows the name in /proc/PID/stat; the name may hold anything. */
function stat(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return []
  }
}

function descendants(parent: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => Number(stat(pid)[1]) === parent)
  return children.flatMap((pid) => [pid, ...descendants(pid)])
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)

function findBinary(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Resolves when something accepts there; rejects after 20 s. */
async function listening(port: number): Promise<void> {
  for (const until = Date.now() + 20_000; Date.now() < until; ) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = dial(port, '127.0.0.1', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nothing listens on port ${port}`)
}
