// Owns the rows of grants.

import type { Clock } from '../core/clock.js'
import { changedOne } from './rows.js'
import type { GrantRecord } from './schema.js'
import type { Run, Store, StoredGrant } from './store.js'

function fromRow(row: GrantRecord): StoredGrant {
  return {
    id: row.id,
    principal: row.principal,
    target: row.target,
    roles: JSON.parse(row.roles) as string[],
    ...(row.reason === null ? {} : { reason: row.reason }),
    ...(row.ticket === null ? {} : { ticket: row.ticket }),
    startsAt: row.starts_at,
    endsAt: row.ends_at,
    createdAt: row.created_at,
    policyHash: row.policy_hash,
    ...(row.collections === null ? {} : { collections: JSON.parse(row.collections) as string[] }),
    ...(row.request === null ? {} : { request: row.request }),
    ...(row.revoked_at === null
      ? {}
      : {
          revoked: {
            at: row.revoked_at,
            by: row.revoked_by ?? '',
            reason: row.revoke_reason ?? '',
          },
        }),
  }
}

/** The store's methods for grants. */
export function createGrants(
  run: Run,
  clock: Clock,
): Pick<Store, 'createGrant' | 'findGrant' | 'revokeGrant' | 'liveGrants'> {
  return {
    async createGrant(grant, policyHash) {
      await run((db) =>
        db
          .insertInto('grants')
          .values({
            id: grant.id,
            principal: grant.principal,
            target: grant.target,
            roles: JSON.stringify(grant.roles),
            reason: grant.reason ?? null,
            ticket: grant.ticket ?? null,
            starts_at: grant.startsAt,
            ends_at: grant.endsAt,
            created_at: clock.now(),
            policy_hash: policyHash,
            revoked_at: null,
            revoked_by: null,
            revoke_reason: null,
            collections: grant.collections === undefined ? null : JSON.stringify(grant.collections),
            request: grant.request ?? null,
          })
          .execute(),
      )
    },

    async findGrant(id) {
      const row = await run((db) =>
        db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row === undefined ? undefined : fromRow(row)
    },

    async revokeGrant(id, by, reason) {
      const now = clock.now()
      const result = await run((db) =>
        db
          .updateTable('grants')
          .set({ revoked_at: now, revoked_by: by, revoke_reason: reason })
          .where('id', '=', id)
          .where('revoked_at', 'is', null)
          .where('ends_at', '>', now)
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    async liveGrants(principal) {
      const rows = await run((db) =>
        db
          .selectFrom('grants')
          .selectAll()
          .where('principal', '=', principal)
          .where('revoked_at', 'is', null)
          .where('ends_at', '>', clock.now())
          .execute(),
      )
      return rows.map(fromRow)
    },
  }
}
