// Owns the whole product for end-to-end tests: a real identity provider, the real binary as gateway and as client, a
// temporary home for each person. Nothing in it reaches into the product's code.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { approveDevice } from '../../src/demo/approve-device.js'
import { startIdentityProvider } from '../../src/demo/identity-provider.js'
import { atTerminal } from './at-terminal.js'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
export const STEP_MS = 60_000

export interface Result {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A running command whose NDJSON events can be awaited. */
export interface Running {
  readonly pid: number | undefined
  /** Resolves when the command has ended. */
  readonly ended: Promise<Result>
  readonly seen: Record<string, unknown>[]
  /** The next event of this name, also one that has come already. Rejects when the command ends first. */
  event(name: string): Promise<Record<string, unknown>>
  stop(signal?: NodeJS.Signals): Promise<Result>
}

export interface Product {
  readonly directory: string
  readonly url: string
  readonly issuer: string
  readonly configFile: string
  /** Runs a command as this person and waits for its end. */
  run(
    person: string,
    args: readonly string[],
    options?: { env?: Record<string, string>; input?: string },
  ): Promise<Result>
  /** Runs a command at a terminal; types each answer when its question has come. */
  runAtTerminal(
    person: string,
    args: readonly string[],
    answers: readonly (readonly [question: string, answer: string])[],
  ): Promise<{ readonly exitCode: number; readonly shown: string }>
  /** Starts a command that runs on. */
  start(
    person: string,
    args: readonly string[],
    options?: { env?: Record<string, string> },
  ): Running
  login(person: string): Promise<void>
  /** Stops what `start` began and a failed test left running, so that the next test does not fail for it. */
  stopLeft(): Promise<void>
  /** Process id of the gateway that runs. */
  gatewayPid(): number
  /** A person's folder for the command line's state. */
  stateOf(person: string): string
  stopGateway(signal?: NodeJS.Signals): Promise<Result>
  startGateway(): Promise<void>
  stop(): Promise<void>
}

export interface ProductOptions {
  readonly postgres: {
    readonly host: string
    readonly port: number
    readonly superuser: string
    readonly password: string
  }
  readonly database: string
  /** Source of policy.yaml. */
  readonly policy: string
  /** A line with one more identity provider. */
  readonly providers?: string
  /** YAML lines to put at the top level of vgate.yaml. */
  readonly more?: string
  /** YAML lines to put below `gateway` in vgate.yaml, indented by two. */
  readonly gateway?: string
  /** The name in its public URL; by default it is reached as it listens. */
  readonly name?: string
  readonly target?: string
  /** A line for the target's TLS; `tls: off` by default. */
  readonly tls?: string
  /** YAML lines to put below the target, indented by four. */
  readonly targetMore?: string
  readonly env?: Record<string, string>
  /** The gateway's data directory; one in the product's own by default. */
  readonly data?: string
}

/** Starts provider and gateway on free ports. */
export async function startProduct(options: ProductOptions): Promise<Product> {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-e2e-'))
  const provider = await startIdentityProvider()
  const configFile = join(directory, 'vgate.yaml')
  // A fixed port: a gateway that is started again must be the one that people are logged in to.
  writeFileSync(configFile, configOf(options, provider.issuer, await freePort()))
  writeFileSync(join(directory, 'policy.yaml'), options.policy)
  const environment = (person: string): Record<string, string> => ({
    PATH: process.env['PATH'] ?? '',
    HOME: join(directory, 'homes', person),
    VGATE_CONFIG_DIR: join(directory, 'homes', person, 'vgate'),
    VGATE_TOKEN_STORE: 'file',
    NO_COLOR: '1',
    VGATE_TEST_DB_PASSWORD: options.postgres.password,
    ...options.env,
  })
  let gateway: Running | undefined
  let url = ''
  const environmentOf = (person: string): Record<string, string> => ({
    ...environment(person),
    ...(url === '' ? {} : { VGATE_GATEWAY: url }),
  })
  const left = new Set<Running>()
  const start: Product['start'] = (person, args, more) => {
    const begun = running(args, { ...environmentOf(person), ...more?.env })
    left.add(begun)
    void begun.ended.then(() => left.delete(begun))
    return begun
  }
  const product: Product = {
    directory,
    get url() {
      return url
    },
    issuer: provider.issuer,
    configFile,
    start,
    run: async (person, args, more) => {
      const result = await execa(process.execPath, [BIN, ...args], {
        env: { ...environmentOf(person), ...more?.env },
        extendEnv: false,
        reject: false,
        timeout: STEP_MS,
        ...(more?.input === undefined ? { stdin: 'ignore' as const } : { input: more.input }),
      })
      return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr }
    },
    runAtTerminal: (person, args, answers) =>
      atTerminal([process.execPath, BIN, ...args], environmentOf(person), answers),
    login: async (person) => {
      const login = start(person, ['login', '--json', '--no-browser'])
      const code = await login.event('device_code')
      await approveDevice(String(code['verification_uri_complete']), person)
      await login.event('logged_in')
      await login.ended
    },
    stopLeft: async () => {
      await Promise.all([...left].map((one) => one.stop()))
    },
    startGateway: async () => {
      gateway = running(
        ['gateway', 'start', '--config', configFile, '--json'],
        environment('gateway'),
      )
      const listening = new URL(String((await gateway.event('listening'))['url']))
      if (options.name !== undefined) listening.hostname = options.name
      url = listening.origin
    },
    gatewayPid: () => {
      if (gateway?.pid === undefined) throw new Error('no gateway runs')
      return gateway.pid
    },
    stateOf: (person) => join(directory, 'homes', person, 'vgate'),
    stopGateway: async (signal) => {
      if (gateway === undefined) throw new Error('no gateway runs')
      return await gateway.stop(signal)
    },
    stop: async () => {
      await product.stopLeft()
      await gateway?.stop()
      await provider.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
  await product.startGateway()
  return product
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function configOf(options: ProductOptions, issuer: string, listen: number): string {
  const { host, port, superuser } = options.postgres
  return `gateway:
  listen: 127.0.0.1:${listen}
  data: ${options.data ?? './data'}
  auditors: [{ group: data-owners }]
${options.name === undefined ? '' : `  publicUrl: https://${options.name}:${listen}\n`}${options.gateway ?? ''}identity:
  providers:
    corp: { type: oidc, issuer: "${issuer}", clientId: vgate, scopes: [openid, groups, email, offline_access] }
    ${options.providers ?? ''}
targets:
  ${options.target ?? 'prod-vectors'}:
    database: pgvector
    address: postgres://${host}:${port}/${options.database}
    ${options.tls ?? 'tls: off'}
    credential: { username: ${superuser}, password: env:VGATE_TEST_DB_PASSWORD }
    contact: "#vector-help"
${options.targetMore ?? ''}policy: file:policy.yaml
${options.more ?? ''}`
}

function running(args: readonly string[], env: Record<string, string>): Running {
  const child = execa(process.execPath, [BIN, ...args], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
  })
  const seen: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  let rest = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    const lines = (rest + bytes.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines)
      if (line.startsWith('{')) seen.push(JSON.parse(line) as Record<string, unknown>)
    for (const wake of waiting) wake()
  })
  let over: string | undefined
  const ended = child.then((result): Result => {
    over = `exit ${result.exitCode}: ${result.stdout}\n${result.stderr}`
    for (const wake of waiting) wake()
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr }
  })
  let taken = 0
  return {
    pid: child.pid,
    ended,
    seen,
    event: (name) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const index = seen.findIndex((event, at) => at >= taken && event['event'] === name)
          const found = seen[index]
          if (found === undefined && over === undefined) return
          waiting.delete(look)
          if (found === undefined) reject(new Error(`no event ${name}: ${args.join(' ')}: ${over}`))
          else {
            taken = index + 1
            resolve(found)
          }
        }
        waiting.add(look)
        look()
      }),
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      return await ended
    },
  }
}
