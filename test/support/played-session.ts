// Owns a recorded session with everything that a player shows, written by the real writer at chosen times.

import type { RecordBody } from '../../src/audit/records.js'
import { openRecording } from '../../src/audit/writer.js'
import { TEST_TIME, testClock, testPair } from './recording-files.js'

export const PLAYED_PAIR = testPair(7)
/** Everything that could act on a terminal. */
export const EVIL =
  '\u001b[2J\u001b]0;owned\u0007\u001b]52;c;ZXZpbA==\u001b\\\u009b31m\u202e\u2066\u200b\u007f\u0000\r\u001bc\u001b[?1049l'

const principal = { id: 'alice', name: 'Alice', provider: 'corp', kind: 'person' } as const
const grant = { id: 'gra_1', roles: ['reader'], startsAt: TEST_TIME, endsAt: TEST_TIME }
const connection = 'con_1'

/** A judged operation; a permit by default. */
export function judgedBody(op: number, text: string, more: Partial<RecordBody> = {}): RecordBody {
  const operations = [
    {
      name: 'search',
      access: 'read',
      collections: [
        { collection: 'docs', access: 'read', action: 'search', effect: { kind: 'all' } },
      ],
      risks: [],
    },
  ]
  return {
    type: 'operation.judged',
    connection,
    op,
    form: 'simple',
    text,
    operations,
    verdict: 'permit',
    rule: 'roles.reader.allow[0]',
    ...more,
  } as RecordBody
}

/** Steps of a session: how long after the one before, and what is recorded. */
export function playedSteps(): readonly (readonly [number, RecordBody])[] {
  const deny = {
    verdict: 'deny',
    rule: 'default deny',
    reason: 'salaries are not for you',
  } as const
  const hold = { verdict: 'hold', rule: 'roles.writer.hold[0]' } as const
  const request = 'req_1'
  return [
    [
      0,
      {
        type: 'session.opened',
        session: 'ses_played',
        principal,
        grant,
        target: 'prod-vectors',
        database: 'pgvector',
        policyHash: 'x',
        client: { version: '0', platform: 'linux', command: 'connect' },
      },
    ],
    [500, { type: 'connection.opened', connection }],
    [500, judgedBody(1, 'SELECT id, title, embedding FROM docs')],
    [
      20,
      {
        type: 'operation.delivered',
        connection,
        op: 1,
        index: 0,
        columns: ['id', 'title', 'embedding'],
        rows: [
          ['1', '日本語のタイトル', { vector: 1536 }],
          ['2', '[masked]', { vector: 1536 }],
        ],
        rowCount: 2,
        bytes: 70,
        masked: 1,
        tag: 'SELECT 2',
        done: true,
      } as unknown as RecordBody,
    ],
    [980, judgedBody(2, 'SELECT * FROM salaries', deny)],
    [1000, judgedBody(3, 'DELETE FROM docs WHERE old', hold)],
    [
      0,
      {
        type: 'hold.opened',
        connection,
        op: 3,
        request,
        rules: ['roles.writer.hold[0]'],
        approvers: ['Bob', 'Carol'],
        preview: '18,204 of 20,000 points in docs',
        expiresAt: TEST_TIME,
      },
    ],
    [
      151_000,
      { type: 'hold.answered', connection, op: 3, request, state: 'approved', by: ['Bob'] },
    ],
    [
      0,
      judgedBody(3, 'DELETE FROM docs WHERE old', { approval: { request, by: ['Bob'] } } as never),
    ],
    [1000, judgedBody(4, `SELECT '${EVIL}' FROM docs`)],
    [
      1000,
      {
        type: 'session.closed',
        reason: 'stopped',
        totals: { operations: 4, denied: 1, rows: 2, bytesOut: 70 },
      },
    ],
  ]
}

/** Writes a session; without `closed` its last step stays away. Answers the path of the recording. */
export async function writeSession(
  directory: string,
  steps = playedSteps(),
  id = 'ses_played',
): Promise<string> {
  const clock = testClock()
  const recording = openRecording({ directory, id, kind: 'session', key: PLAYED_PAIR, clock })
  for (const [ms, body] of steps.slice(0, -1)) {
    clock.move(ms)
    recording.append(body)
  }
  const [ms, last] = steps.at(-1) ?? []
  clock.move(ms ?? 0)
  if (last !== undefined) await recording.close(last)
  return recording.path
}
