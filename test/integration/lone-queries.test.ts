// A lone statement in a Query tells through the gateway what it tells without it, though a guard stands in front of it:
// from version 18 on PostgreSQL takes it for a part of a pipeline then, and something stands behind it that ends it.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import { errorFields, type RawPostgres, type Reply, rowValues } from '../support/raw-postgres.js'
import { leg, q, type SessionServer, startSessionServer } from '../support/session-server.js'
import type { Leg } from '../support/session-walk.js'

const SQL = `
  create table parts (
    id int primary key,
    note int references notes deferrable initially deferred
  );
  create function told() returns trigger language plpgsql as
    $$ begin raise notice 'row % at the end', new.id; return null; end $$;
  create constraint trigger told after insert on parts
    deferrable initially deferred for each row execute function told();
`
const shown = (replies: readonly Reply[]): unknown[] =>
  replies.map(({ type, body }) => {
    if (type === 'E' || type === 'N')
      return [type, ...['C', 'M', 'D', 'P', 'H'].map((field) => errorFields(body)[field])]
    if (type === 'D') return ['D', rowValues(body)]
    return type === 'T' ? type : [type, body.toString('latin1')]
  })

for (const kind of ['plain', '17', '18'] as const) {
  describe.runIf(hasPostgres(kind))(`a lone statement on the ${kind} server`, () => {
    let at: SessionServer
    let through: RawPostgres
    let direct: RawPostgres

    beforeAll(async () => {
      at = await startSessionServer(SQL, kind)
    })
    afterAll(() => at?.stop())
    beforeEach(async () => {
      direct = await at.direct()
      through = await at.through()
      return () => {
        direct.end()
        through.end()
      }
    })

    /** Twice each: a guard that is awaited stands before the first, one that is not before the second. */
    async function equal(sql: string, undo = ''): Promise<void> {
      const told: unknown[][] = []
      for (const raw of [direct, through]) {
        const seen: unknown[] = []
        for (const _ of [1, 2]) {
          seen.push(shown(await q(raw, sql)))
          if (undo !== '') seen.push(shown(await q(raw, undo)))
          seen.push(shown(await q(raw, 'select count(*) from parts')))
        }
        told.push(seen)
      }
      expect(told[1], sql).toEqual(told[0])
    }

    test.each([
      'select body from notes order by id',
      'select body from notes order by id; ',
      'select body from notes where id = 1 -- to the end of the line',
      '/* first */ select body from notes where id = 1 /* last */',
      'select 1 / 0 from notes',
      "select 'open",
      "update notes set body = 'changed' where id = 1",
      'lock table notes',
      'lock table notes in exclusive mode',
      'declare c cursor for select body from notes',
      'explain (costs off) select body from notes',
      'copy (select body from notes order by id) to stdout',
      'create table if not exists notes (id int)',
      'analyze notes',
      'vacuum notes',
      'fetch 1 from c',
      'savepoint x',
      'prepare once as select body from notes; deallocate once',
      'begin; select count(*) from notes; commit',
    ])('%s', async (sql) => {
      await equal(sql)
    })

    test('is committed before it is called complete, and its commit may fail', async () => {
      await equal('insert into parts values (1, 1)', 'delete from parts where id = 1')
      const deliveries = at.server.deliveries.length
      await equal('insert into parts values (2, 99)')
      const failed = at.server.deliveries.slice(deliveries).map(({ error }) => error?.sqlstate)
      expect(failed.filter((code) => code === '23503')).toHaveLength(2)
      await equal('insert into parts values (3, 1), (4, 99)')
    })

    test('leaves its cursor WITH HOLD', async () => {
      await equal(
        'declare c cursor with hold for select body from notes order by id',
        'fetch 2 from c',
      )
    })

    test('copies in', async () => {
      const copy = (rows: string): Leg => [
        { m: 'Q', sql: 'copy parts from stdin' },
        { m: 'd', data: rows },
        { m: 'c' },
      ]
      for (const rows of ['5\t1\n6\t2\n', '7\t99\n', 'no number\n']) {
        for (const _ of [1, 2]) {
          const told: unknown[] = []
          for (const raw of [direct, through]) {
            told.push(shown(await leg(raw, copy(rows))))
            told.push(shown(await q(raw, 'delete from parts')))
          }
          expect(told.slice(2), rows).toEqual(told.slice(0, 2))
        }
      }
    })

    test('takes no lock outside of a transaction in the extended protocol', async () => {
      const lock: Leg = [{ m: 'P', sql: 'lock table notes' }, { m: 'B' }, { m: 'E' }, { m: 'S' }]
      for (const _ of [1, 2])
        expect(shown(await leg(through, lock))).toEqual(shown(await leg(direct, lock)))
    })
  })
}
