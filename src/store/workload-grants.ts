// Owns what a workload's grant rests on: who the workload was when it was given, and until when its platform's token
// proves it. Jobs with one subject may differ in their other claims, so this belongs to the grant, not the principal.

import { z } from 'zod'
import type { Principal } from '../core/principal.js'
import { changedOne } from './rows.js'
import type { Run, Store } from './store.js'

const proofBody = z.object({
  name: z.string(),
  provider: z.string(),
  groups: z.array(z.string()),
  claims: z.record(z.string(), z.json()),
})

function textOf({ name, provider, groups, claims }: Principal): string {
  return JSON.stringify({ name, provider, groups, claims })
}

/** The store's methods for the proofs of workloads' grants. */
export function createWorkloadGrants(
  run: Run,
): Pick<Store, 'recordProof' | 'renewProof' | 'findProof'> {
  return {
    async recordProof(grant, principal, until) {
      await run((db) =>
        db
          .insertInto('workload_grants')
          .values({ grant_id: grant, proof: textOf(principal), proof_until: until })
          .execute(),
      )
    },

    async renewProof(grant, principal, until) {
      // Never earlier: a token that was renewed and the one before it may arrive in any order.
      const result = await run((db) =>
        db
          .updateTable('workload_grants')
          .set({ proof: textOf(principal), proof_until: until })
          .where('grant_id', '=', grant)
          .where('proof_until', '<', until)
          .executeTakeFirst(),
      )
      return changedOne(result)
    },

    async findProof(grant) {
      const row = await run((db) =>
        db
          .selectFrom('workload_grants')
          .selectAll()
          .where('grant_id', '=', grant)
          .executeTakeFirst(),
      )
      if (row === undefined) return undefined
      return { ...proofBody.parse(JSON.parse(row.proof)), until: row.proof_until }
    },
  }
}
