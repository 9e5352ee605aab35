// Owns the tour's third part: the session is listed, replayed, and proved untouched; one changed byte is found.

import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DEMO_PEOPLE } from './identity-provider.js'
import { runCommand } from './tour-cli.js'
import { ALICE, type TourState } from './tour-state.js'
import { check, type Played, type Step } from './tour-step.js'

const SHOWN_LINES = 24
const SHOWN_WIDTH = 110

async function listed(state: TourState): Promise<Played> {
  await state.close()
  const ran = await runCommand(state.world, ALICE, ['sessions', 'list', '--json'])
  const sessions = Array.isArray(ran.json['sessions']) ? ran.json['sessions'] : []
  const own: unknown = sessions.find((one: unknown) =>
    JSON.stringify(one).includes(state.alice.ready.session),
  )
  const denied =
    own !== null && typeof own === 'object' && 'denied' in own ? Number(own.denied) : -1
  return {
    shown: [JSON.stringify(own ?? null)],
    checks: [
      check('exit code 0', ran.exitCode === 0, `${ran.exitCode} ${ran.stderr} ${ran.stdout}`),
      check(`session ${state.alice.ready.session} in the list`, own !== undefined, ran.stdout),
      check('three refusals or more counted', denied >= 3, own),
    ],
  }
}

async function replayed(state: TourState): Promise<Played> {
  // What is checked is the whole of the records; what people read is cut to their terminal.
  const replay = ['replay', state.alice.ready.session]
  const [ran, { stdout: records }] = await Promise.all([
    runCommand(state.world, ALICE, replay),
    runCommand(state.world, ALICE, [...replay, '--json']),
  ])
  const lines = ran.stdout.trimEnd().split('\n')
  const more = lines.length - SHOWN_LINES
  const people: readonly string[] = Object.values(DEMO_PEOPLE).map(({ email }) => email)
  const others = (records.match(/[\w.]+@example\.org/g) ?? []).filter(
    (one) => !people.includes(one),
  )
  return {
    shown: [
      ...lines.slice(0, SHOWN_LINES).map((line) => line.slice(0, SHOWN_WIDTH)),
      ...(more > 0 ? [`… ${more} more lines`] : []),
    ],
    checks: [
      check('exit code 0', ran.exitCode === 0, `${ran.exitCode} ${ran.stderr} ${ran.stdout}`),
      check('the refused query in the replay', ran.stdout.includes('salaries'), ran.stdout),
      check('the rule that refused it', records.includes('default deny'), records),
      check(
        'the hold, and that it was approved',
        records.includes('hold.opened') && /"state":"approved"/.test(records),
        records,
      ),
      check('results as they were given: masked', records.includes('[masked]'), records),
      check('no address of the documents in the recording', others.length === 0, others),
    ],
  }
}

async function verified(state: TourState): Promise<Played> {
  const file = state.recording()
  const ran = await runCommand(state.world, ALICE, ['verify', file, '--json'])
  return {
    shown: [`verdict ${String(ran.json['verdict'])}: ${String(ran.json['reason'])}`],
    checks: [
      check('exit code 0', ran.exitCode === 0, `${ran.exitCode} ${ran.stderr} ${ran.stdout}`),
      check('verdict closed', ran.json['verdict'] === 'closed', ran.json),
    ],
  }
}

async function tampered(state: TourState): Promise<Played> {
  const bytes = readFileSync(state.recording())
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  const copy = path.join(
    state.world.folder,
    path.basename(state.recording()).replace(/^ses_/, 'changed_'),
  )
  writeFileSync(copy, bytes, { mode: 0o600 })
  const ran = await runCommand(state.world, ALICE, ['verify', copy, '--json'])
  const place = ran.json['at']
  return {
    shown: [
      `byte ${at} of ${bytes.length} changed`,
      `verdict ${String(ran.json['verdict'])} at ${JSON.stringify(place)}: ${String(ran.json['reason'])}`,
    ],
    checks: [
      check('exit code 10', ran.exitCode === 10, `${ran.exitCode} ${ran.stderr} ${ran.stdout}`),
      check('verdict tampered', ran.json['verdict'] === 'tampered', ran.json),
      check('the first bad record named', place !== undefined && place !== null, ran.json),
    ],
  }
}

export const evidenceSteps: readonly Step[] = [
  {
    name: 'sessions',
    caption: 'She is done. The session is in the list, refusals counted.',
    typed: ['vgate sessions list --json'],
    play: listed,
  },
  {
    name: 'replay',
    caption:
      'It can be replayed: what was asked, what was decided, what she was given. Nothing is executed.',
    typed: ['vgate replay SESSION'],
    play: replayed,
  },
  {
    name: 'verify',
    caption: 'And proved untouched, offline, with the public key that was pinned at login.',
    typed: ['vgate verify data/recordings/SESSION.vgr'],
    play: verified,
  },
  {
    name: 'tamper',
    caption: 'One byte of a copy is changed: it is found, and the record is named.',
    typed: ['vgate verify changed_SESSION.vgr'],
    play: tampered,
  },
]
