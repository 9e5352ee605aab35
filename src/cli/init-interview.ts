// Owns the questions of `vgate gateway init`: each is a flag too, asked only on a terminal, and checked at once. It must
// never ask where nobody can answer, nor show a password.

import { resolve } from 'node:path'
import { VgateError } from '../core/errors.js'
import type { InitAnswers } from '../gateway/init.js'
import { exitCodeOfSignal } from './signals.js'

/** Values by the name of their flag. */
export type Given = Readonly<Record<string, string | undefined>>

export interface Question {
  readonly flag: string
  readonly message: string
  readonly initial?: string
  readonly hidden?: boolean
  /** Why an answer is not one, or undefined. */
  readonly problem: (text: string) => string | undefined
}

/** Asks a person. */
export type Ask = (question: Question) => Promise<string>

/** Where the interview keeps a password that it was told. Also in gateway/init.ts, which writes it. */
const PASSWORD_REFERENCE = 'file:db-password'
const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|\[::1\])$/

const matches =
  (form: RegExp, expected: string) =>
  (text: string): string | undefined =>
    form.test(text) ? undefined : `expected ${expected}`
const name = matches(/^[a-z0-9][\w.-]{0,62}$/i, 'a name of letters, digits, ., - and _')
const group = matches(/^[^\s"'{}[\],#]{1,200}$/, 'the name of a group')
const words = matches(/^[^\s"{}[\]]+$/, 'names with commas between them')
const web = (text: string): string | undefined => {
  if (!URL.canParse(text)) return 'expected a URL such as https://vgate.example.com'
  const { protocol, hostname } = new URL(text)
  if (protocol === 'https:') return undefined
  if (protocol === 'http:' && (LOOPBACK.test(hostname) || hostname === 'localhost'))
    return undefined
  return 'expected https; http is for this machine only'
}
const address = (text: string): string | undefined =>
  /^postgres(?:ql)?:\/\/[^@/?#]+\/[^/?#]+$/.test(text) && URL.canParse(text)
    ? undefined
    : 'expected postgres://HOST:PORT/DATABASE, without user and password'

/** The URL by which a gateway that listens there is reached from the same network, if that can be known. */
function publicUrlOf(listen: string, tls: boolean): string | undefined {
  const wildcard = /^(?:0\.0\.0\.0|\[::\]):/.test(listen)
  return wildcard ? undefined : `${tls ? 'https' : 'http'}://${listen}`
}

const initial = (value: string | undefined): { initial?: string } =>
  value === undefined ? {} : { initial: value }

interface Tls {
  readonly tls: boolean
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/**
 * The answers, from flags, else from a person, else by default. Throws VGATE_USAGE (exit 2) naming the flag whose value
 * is wrong, or is missing and nobody can be asked.
 */
export async function interview(
  given: Given,
  choices: Tls & { readonly names: readonly string[]; readonly passwordStdin?: string },
  ask: Ask | undefined,
): Promise<InitAnswers> {
  const answer = (question: Question): Promise<string> => answerTo(question, given, ask)
  const text = (flag: string, message: string, problem: Question['problem'], value?: string) =>
    answer({ flag, message, problem, ...initial(value) })

  const hostPort = matches(/^(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+):\d{1,5}$/i, 'HOST:PORT')
  const listen = await text(
    'listen',
    'Where should the gateway listen?',
    hostPort,
    '127.0.0.1:8443',
  )
  const tls = tlsOf(choices)
  const publicUrl = await text(
    'public-url',
    'By which URL do people reach it?',
    web,
    publicUrlOf(listen, tls !== 'off'),
  )
  const issuer = await text('issuer', 'Issuer of your identity provider (URL)?', web)
  const clientId = await text('client-id', 'Client id that is registered there for vgate?', (it) =>
    it === '' ? 'expected the id of a client' : undefined,
  )
  const provider = await text('provider', 'A short name for the provider?', name, 'corp')
  const scopes = 'openid,profile,email,groups,offline_access'
  const asked = await text('scopes', 'Scopes to ask it for?', words, scopes)
  const groupsClaim = await text('groups-claim', 'Claim with the groups?', words, 'groups')
  const target = await text('target', 'A name for your first database?', name, 'prod-vectors')
  const at = await text('address', 'Its address (postgres://HOST:PORT/DATABASE)?', address)
  const databaseUser = await text('db-user', 'Database user of the gateway?', words, 'vgate')
  const secret = await passwordOf(given, choices.passwordStdin, ask)
  const databaseTls = await databaseTlsOf(at, given, ask)
  const collections = await text('collections', 'Tables that readers may read?', words, 'docs')
  return {
    ...{ listen, publicUrl, names: choices.names, tls, provider, issuer, clientId, groupsClaim },
    scopes: asked.split(','),
    group: await text('group', 'Group of the people who may read?', group, 'data-science'),
    admins: await text('admins', 'Group that runs and audits the gateway?', group, 'platform'),
    ...{ target, address: at, databaseTls, databaseUser, ...secret },
    collections: collections.split(','),
  }
}

async function answerTo(question: Question, given: Given, ask: Ask | undefined): Promise<string> {
  const value = given[question.flag] ?? (await ask?.(question)) ?? question.initial
  if (value === undefined) {
    throw new VgateError('VGATE_USAGE', `--${question.flag} is missing`, {
      hint: `${question.message} Give the flag, or run it in a terminal to be asked`,
    })
  }
  const problem = question.problem(value)
  if (problem === undefined) return value
  // A password has no form that could be wrong; every other value may be shown.
  throw new VgateError('VGATE_USAGE', `--${question.flag} ${JSON.stringify(value)}: ${problem}`)
}

function tlsOf({ tls, cert, key }: Tls): InitAnswers['tls'] {
  if (!tls) return 'off'
  if (cert === undefined || key === undefined) return 'mint'
  return { cert: resolve(cert), key: resolve(key) }
}

async function passwordOf(
  given: Given,
  fromStdin: string | undefined,
  ask: Ask | undefined,
): Promise<Pick<InitAnswers, 'password' | 'passwordValue'>> {
  if (fromStdin !== undefined) return { password: PASSWORD_REFERENCE, passwordValue: fromStdin }
  const reference = given['credential']
  if (reference !== undefined) {
    const form = /^(?:env:[A-Za-z_]\w*|file:.+)$/
    if (!form.test(reference)) {
      throw new VgateError('VGATE_USAGE', '--credential takes env:NAME or file:PATH', {
        hint: 'never the password itself: others see the arguments of a command',
      })
    }
    const path = reference.startsWith('file:') ? reference.slice('file:'.length) : undefined
    return { password: path === undefined ? reference : `file:${resolve(path)}` }
  }
  if (ask === undefined) {
    throw new VgateError('VGATE_USAGE', '--credential is missing', {
      hint: 'for instance --credential env:VGATE_DB_PASSWORD, or --password-stdin',
    })
  }
  const told = await ask({
    flag: 'credential',
    message: 'Its password? (kept in a file of its own; leave it empty to use VGATE_DB_PASSWORD)',
    hidden: true,
    problem: () => undefined,
  })
  if (told === '') return { password: 'env:VGATE_DB_PASSWORD' }
  return { password: PASSWORD_REFERENCE, passwordValue: told }
}

async function databaseTlsOf(
  at: string,
  given: Given,
  ask: Ask | undefined,
): Promise<InitAnswers['databaseTls']> {
  if (given['db-ca'] !== undefined) return { ca: resolve(given['db-ca']) }
  if (LOOPBACK.test(new URL(at).hostname)) return 'off'
  const message = 'PEM file of the authority of its certificate? (empty: the usual ones)'
  const file = await ask?.({ flag: 'db-ca', message, initial: '', problem: () => undefined })
  return file === undefined || file === '' ? 'system' : { ca: resolve(file) }
}

/** Asks on the terminal, on stderr: stdout is data. Ctrl-C ends the process as a signal does. */
export async function terminalAsk(): Promise<Ask> {
  const { default: inquirer } = await import('inquirer')
  const prompt = inquirer.createPromptModule({ output: process.stderr })
  return async ({ message, initial: value, hidden, problem }) => {
    const shared = { name: 'answer', message } as const
    const validate = (text: string): string | true => problem(text) ?? true
    const more = value === undefined ? {} : { default: value }
    const asked =
      hidden === true
        ? prompt<{ answer: string }>([{ ...shared, type: 'password', mask: true }])
        : prompt<{ answer: string }>([{ ...shared, ...more, type: 'input', validate }])
    return await asked.then(
      ({ answer }) => answer,
      (error: unknown) => {
        if (error instanceof Error && error.name === 'ExitPromptError')
          process.exit(exitCodeOfSignal('SIGINT'))
        throw error
      },
    )
  }
}
