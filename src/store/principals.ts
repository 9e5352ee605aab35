// Owns the rows of principals and of their logins.

import type { Clock } from '../core/clock.js'
import type { JsonValue } from '../core/json.js'
import type { Principal } from '../core/principal.js'
import { changedOne } from './rows.js'
import type { PrincipalRecord } from './schema.js'
import type { Run, Store } from './store.js'

function fromRow(row: PrincipalRecord): Principal {
  return {
    id: row.id,
    kind: row.kind === 'workload' ? 'workload' : 'person',
    provider: row.provider,
    issuer: row.issuer,
    subject: row.subject,
    name: row.name,
    groups: JSON.parse(row.groups) as string[],
    claims: JSON.parse(row.claims) as Record<string, JsonValue>,
  }
}

type Part = Pick<
  Store,
  | 'upsertPrincipal'
  | 'findPrincipal'
  | 'isPrincipalActive'
  | 'recordLogin'
  | 'revokeLogin'
  | 'isLoginActive'
  | 'revokeLogins'
  | 'principalsNamed'
>

/** The store's methods for principals and logins. */
export function createPrincipals(run: Run, clock: Clock): Part {
  return {
    async upsertPrincipal(principal) {
      const now = clock.now()
      const learnt = {
        name: principal.name,
        provider: principal.provider,
        groups: JSON.stringify(principal.groups),
        claims: JSON.stringify(principal.claims),
        last_seen: now,
      }
      const { id, kind, issuer, subject } = principal
      const result = await run((db) =>
        db
          .insertInto('principals')
          .values({ id, kind, issuer, subject, ...learnt, first_seen: now, disabled_at: null })
          .onConflict((it) =>
            it.column('id').doUpdateSet(learnt).where('principals.disabled_at', 'is', null),
          )
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    async findPrincipal(id) {
      const row = await run((db) =>
        db.selectFrom('principals').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row === undefined ? undefined : fromRow(row)
    },

    async isPrincipalActive(id) {
      const row = await run((db) =>
        db
          .selectFrom('principals')
          .select('id')
          .where('id', '=', id)
          .where('disabled_at', 'is', null)
          .executeTakeFirst(),
      )
      return row !== undefined
    },

    async recordLogin({ jti, principal, provider, expiresAt }) {
      const at = clock.now()
      // A login that is over says nothing any more: its token is refused by its own end.
      await run((db) =>
        db
          .deleteFrom('logins')
          .where('expires_at', '<', at - 86_400_000)
          .execute(),
      )
      await run((db) =>
        db
          .insertInto('logins')
          .values({ jti, principal, provider, at, expires_at: expiresAt, revoked_at: null })
          .execute(),
      )
    },

    async revokeLogin(jti) {
      const now = clock.now()
      const result = await run((db) =>
        db
          .updateTable('logins')
          .set({ revoked_at: now })
          .where('jti', '=', jti)
          .where('revoked_at', 'is', null)
          .where('expires_at', '>', now)
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    async revokeLogins(principal) {
      const now = clock.now()
      const result = await run((db) =>
        db
          .updateTable('logins')
          .set({ revoked_at: now })
          .where('principal', '=', principal)
          .where('revoked_at', 'is', null)
          .where('expires_at', '>', now)
          .executeTakeFirst(),
      )
      return Number(result.numUpdatedRows)
    },

    async principalsNamed(name) {
      const rows = await run((db) =>
        db.selectFrom('principals').selectAll().where('name', '=', name).limit(10).execute(),
      )
      return rows.map(fromRow)
    },

    async isLoginActive(jti) {
      const row = await run((db) =>
        db
          .selectFrom('logins')
          .select('jti')
          .where('jti', '=', jti)
          .where('revoked_at', 'is', null)
          .where('expires_at', '>', clock.now())
          .executeTakeFirst(),
      )
      return row !== undefined
    },
  }
}
