// Owns the tour's third part: what is dangerous waits for a second person, who sees it whole, and it runs once.

import { logIn, runCommand } from './tour-cli.js'
import { ALICE, BOB, type TourState } from './tour-state.js'
import { type Check, check, type Played, type Step } from './tour-step.js'
import { refused, shownOf } from './tour-steps-refusal.js'

const DELETE = "DELETE FROM labels WHERE source = 'model-1'"
const ALL = 20_000
const DELETED = 18_204
const PREVIEW = '18,204 of 20,000 rows of labels'

const labels = async (state: TourState): Promise<number> =>
  Number((await state.direct('SELECT count(*)::int AS n FROM labels'))[0]?.['n'])

/** Alice's delete, on its way; answers once it is held. */
async function hold(state: TourState): Promise<Readonly<Record<string, unknown>>> {
  const answer = state.alice.query(DELETE)
  answer.catch(() => undefined) // awaited by the step that follows
  const held = await state.alice.command.event('held')
  state.held = { request: String(held['request']), answer }
  return held
}

function waiting({ held }: TourState): NonNullable<TourState['held']> {
  if (held === undefined) throw new Error('nothing is held')
  return held
}

const exits = (ran: { exitCode: number; stdout: string; stderr: string }, code: number): Check =>
  check(`exit code ${code}`, ran.exitCode === code, `${ran.exitCode} ${ran.stderr} ${ran.stdout}`)

async function held(state: TourState): Promise<Played> {
  const event = await hold(state)
  const { request } = waiting(state)
  const [own] = await Promise.all([
    runCommand(state.world, ALICE, ['approve', request, '--yes']),
    logIn(state.world, 'bob'), // meanwhile: he is needed in the next step
  ])
  const left = await labels(state)
  const notice = state.alice.notices.at(-1) ?? ''
  return {
    shown: [
      `NOTICE: ${notice}`,
      `she tries it herself: ${own.stderr.split('\n').find((line) => line.startsWith('error'))}`,
      `labels in the database: ${left}`,
    ],
    checks: [
      check('what it would touch', event['preview'] === PREVIEW, event),
      check('the request named to her client', notice.includes(request), notice),
      check('her own approval refused', /own request/.test(own.stderr), own.stderr),
      exits(own, 5),
      check('nothing deleted', left === ALL, left),
    ],
  }
}

async function approved(state: TourState): Promise<Played> {
  const { request, answer } = waiting(state)
  const listed = await runCommand(state.world, BOB, ['requests'])
  const ran = await runCommand(state.world, BOB, ['approve', request, '--yes'])
  const { tag, error } = await answer
  const left = await labels(state)
  const seen = ran.stderr
  return {
    shown: [
      ...listed.stdout.split('\n'),
      ...seen.trimEnd().split('\n'),
      ran.stdout,
      `and alice’s client gets its answer: ${tag}; labels left: ${left}`,
    ],
    checks: [
      check('the request in bob’s list', listed.stdout.includes(request), listed),
      exits(ran, 0),
      check('who asks', seen.includes('alice@example.org'), seen),
      check('why she asks, and what held it', /reason +the tour/.test(seen), seen),
      check('the rule', seen.includes('destructive'), seen),
      check('the exact statement', seen.includes(DELETE), seen),
      check('what it touches', seen.includes(PREVIEW), seen),
      check(`DELETE ${DELETED}`, tag === `DELETE ${DELETED}`, error ?? tag),
      check('those rows gone, and no others', left === ALL - DELETED, left),
    ],
  }
}

async function once(state: TourState): Promise<Played> {
  const first = waiting(state).request
  await hold(state)
  const { request, answer } = waiting(state)
  const ran = await runCommand(state.world, BOB, ['deny', request, '--reason', 'done already'])
  const denied = await answer
  const used = await runCommand(state.world, BOB, ['requests', '--state', 'consumed', '--json'])
  const left = await labels(state)
  return {
    shown: [
      `the same statement again waits again: ${request}`,
      ...shownOf(denied),
      `labels left: ${left}`,
    ],
    checks: [
      check('another request', request !== first, request),
      exits(ran, 0),
      refused(denied),
      check(
        'bob’s reason told to her',
        denied.error?.message.includes('done already') === true,
        denied,
      ),
      check('the first approval used up', used.stdout.includes(first), used.stdout),
      check('nothing more deleted', left === ALL - DELETED, left),
    ],
  }
}

export const approvalSteps: readonly Step[] = [
  {
    name: 'held',
    caption:
      'She may write labels, but a delete by filter waits for somebody else. She cannot be that somebody.',
    typed: [DELETE, 'vgate approve REQUEST'],
    play: held,
  },
  {
    name: 'approved',
    caption:
      'Bob, who owns the data, sees who asks, why, the exact statement and what it would touch. He approves; it runs.',
    typed: ['vgate requests', 'vgate approve REQUEST'],
    play: approved,
  },
  {
    name: 'once',
    caption: 'An approval is good for one run. The same statement is held anew, and Bob says no.',
    typed: [DELETE, 'vgate deny REQUEST --reason "done already"'],
    play: once,
  },
]
