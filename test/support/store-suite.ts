// Owns what every kind of store must do: the same cases run on libsql and on PostgreSQL.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { SessionSummary } from '../../src/core/authority.js'
import type { Grant } from '../../src/core/grant.js'
import { type Principal, principalId } from '../../src/core/principal.js'
import { openStore } from '../../src/store/open.js'
import type { Store } from '../../src/store/store.js'

/** An empty store of its own whose clock stands at 1,000,000. */
export interface OpenedStore {
  readonly store: Store
  readonly clock: { at: number; now(): number }
  /** Closes it and opens the same again. */
  reopen(): Promise<Store>
}

export type FreshStore = () => OpenedStore | Promise<OpenedStore>

/** An empty embedded store. */
export function freshLibsql(): OpenedStore & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-store-'))
  const clock = { at: 1_000_000, now: () => clock.at }
  const store = openStore({ directory, clock })
  const reopen = async () => {
    await store.close()
    return openStore({ directory, clock })
  }
  return { directory, clock, store, reopen }
}

/** A person whose name follows from the subject. */
export function person(subject: string): Principal {
  const issuer = 'https://id.example.com'
  return {
    id: principalId(issuer, subject),
    kind: 'person',
    provider: 'corp',
    issuer,
    subject,
    name: `${subject}@example.com`,
    groups: ['corp:data'],
    claims: { acr: 'mfa' },
  }
}
export const ana = person('ana')
export const bob = person('bob')
export const client = { version: '1', platform: 'linux', command: 'connect' }

/** A grant of a principal that ends at 2,000,000. */
export function grantOf(principal: Principal, id: string, over: Partial<Grant> = {}): Grant {
  const base = { id, principal: principal.id, target: 'prod', roles: ['reader'] }
  return { ...base, startsAt: 1_000_000, endsAt: 2_000_000, ...over }
}

/** What a session's end says. */
export function summary(
  session: string,
  reason: SessionSummary['reason'] = 'stopped',
): SessionSummary {
  const recording = { records: 4, head: 'ab' }
  return { session, reason, operations: 3, denied: 1, rows: 20, bytesOut: 900, recording }
}

/** A fresh store with a grant of ana, and a way to open sessions under it. */
export async function withGrant(fresh: FreshStore, over: Partial<Grant> = {}) {
  const it = await fresh()
  await it.store.upsertPrincipal(ana)
  const grant = grantOf(ana, 'grt_1', over)
  await it.store.createGrant(grant, 'hash')
  const open = (id: string, maxOpen = 2, as = ana, use = grant) =>
    it.store.openSession({ id, grant: use, principal: as, database: 'pgvector', client, maxOpen })
  return { ...it, grant, open }
}

/** Registers the cases. */
export function storeBehaviour(fresh: FreshStore): void {
  describe('principals and logins', () => {
    it('keeps what the last login said', async () => {
      const { store, clock } = await fresh()
      expect(await store.upsertPrincipal(ana)).toBe(true)
      clock.at += 5
      const changed = { ...ana, name: 'Ana', groups: ['corp:ops'] }
      expect(await store.upsertPrincipal(changed)).toBe(true)
      expect(await store.findPrincipal(ana.id)).toEqual(changed)
      expect(await store.isPrincipalActive(ana.id)).toBe(true)
      expect(await store.isPrincipalActive(bob.id)).toBe(false)
      expect(await store.findPrincipal(bob.id)).toBeUndefined()
    })

    it('ends a login once, and by its own end', async () => {
      const { store, clock } = await fresh()
      await store.upsertPrincipal(ana)
      for (const jti of ['a', 'b']) {
        await store.recordLogin({ jti, principal: ana.id, provider: 'corp', expiresAt: 1_900_000 })
      }
      expect(await store.isLoginActive('a')).toBe(true)
      expect([await store.revokeLogin('a'), await store.revokeLogin('a')]).toEqual([true, false])
      expect(await store.isLoginActive('a')).toBe(false)
      expect(await store.isLoginActive('b')).toBe(true)
      clock.at = 1_900_000
      expect(await store.isLoginActive('b')).toBe(false)
      expect(await store.isLoginActive("' OR 1=1 --")).toBe(false)
    })
  })

  describe('short-lived database users', () => {
    it('are known from before they are made until they are gone', async () => {
      const { store, clock } = await withGrant(fresh)
      const user = (name: string) => ({ name, grant: 'grt_1', target: 'prod', heir: 'reader' })
      await store.recordUser(user('vg_b'))
      clock.at += 5
      await store.recordUser(user('vg_a'))
      await expect(store.recordUser(user('vg_a'))).rejects.toThrow()
      expect(await store.listUsers()).toEqual([user('vg_b'), user('vg_a')])
      expect([await store.forgetUser('vg_b'), await store.forgetUser('vg_b')]).toEqual([
        true,
        false,
      ])
      expect(await store.listUsers()).toEqual([user('vg_a')])
    })
  })

  describe('grants', () => {
    it('are found as they were made', async () => {
      const { store, grant } = await withGrant(fresh, { reason: 'why', ticket: 'T-1' })
      const found = await store.findGrant('grt_1')
      expect(found).toEqual({ ...grant, createdAt: 1_000_000, policyHash: 'hash' })
      expect(await store.findGrant('grt_2')).toBeUndefined()
    })

    it('are revoked once, and not after their end', async () => {
      const { store, clock } = await withGrant(fresh)
      const both = await Promise.all([
        store.revokeGrant('grt_1', bob.id, 'left'),
        store.revokeGrant('grt_1', ana.id, 'other'),
      ])
      expect(both).toEqual([true, false])
      expect((await store.findGrant('grt_1'))?.revoked).toEqual({
        at: 1_000_000,
        by: bob.id,
        reason: 'left',
      })
      await store.createGrant(grantOf(ana, 'grt_2'), 'hash')
      clock.at = 2_000_000
      expect(await store.revokeGrant('grt_2', bob.id, 'late')).toBe(false)
    })

    it('need a known principal, a new id and an end after the start', async () => {
      const { store } = await withGrant(fresh)
      for (const grant of [
        grantOf(bob, 'grt_9'),
        grantOf(ana, 'grt_1'),
        grantOf(ana, 'grt_8', { endsAt: 1_000_000 }),
      ]) {
        await expect(store.createGrant(grant, 'hash')).rejects.toMatchObject({
          code: 'VGATE_STORE_UNAVAILABLE',
        })
      }
    })
  })

  describe('sessions', () => {
    it('open under a live grant of the principal, up to the limit, however many ask at once', async () => {
      const { open } = await withGrant(fresh)
      const results = await Promise.all(['ses_1', 'ses_2', 'ses_3', 'ses_4'].map((id) => open(id)))
      expect(results.filter((it) => it === 'opened')).toHaveLength(2)
      expect(results.filter((it) => it === 'too_many')).toHaveLength(2)
    })

    it("do not open under another's, an unknown, an ended or a revoked grant", async () => {
      const { store, open, clock, grant } = await withGrant(fresh)
      await store.upsertPrincipal(bob)
      expect(await open('ses_1', 2, bob)).toBe('unknown')
      expect(await open('ses_1', 2, ana, { ...grant, id: 'grt_x' })).toBe('unknown')
      clock.at = 2_000_000
      expect(await open('ses_1')).toBe('ended')
      clock.at = 1_500_000
      await store.revokeGrant('grt_1', bob.id, 'left')
      expect(await open('ses_1')).toBe('revoked')
      expect(await store.listSessions({ limit: 10 })).toEqual([])
    })

    it('close once; the first reason stays', async () => {
      const { store, open, clock } = await withGrant(fresh)
      await open('ses_1', 1)
      expect(await open('ses_2', 1)).toBe('too_many')
      clock.at += 10
      expect(await store.closeSession(summary('ses_1', 'expired'))).toBe(true)
      expect(await store.closeSession(summary('ses_1', 'error'))).toBe(false)
      expect(await store.findSession('ses_1')).toMatchObject({
        state: 'expired',
        ended_at: 1_000_010,
        operations: 3,
        denied: 1,
        rows: 20,
        head: 'ab',
      })
      expect(await open('ses_2', 1)).toBe('opened')
    })

    it('are listed newest first, by principal, target and start', async () => {
      const { store, open, clock } = await withGrant(fresh)
      await store.upsertPrincipal(bob)
      const other = grantOf(bob, 'grt_2', { target: 'other' })
      await store.createGrant(other, 'hash')
      await open('ses_1')
      clock.at += 1
      await open('ses_2', 9, bob, other)
      clock.at += 1
      await open('ses_3')
      const ids = async (filter: object) =>
        (await store.listSessions({ limit: 10, ...filter })).map((it) => it.id)
      expect(await ids({})).toEqual(['ses_3', 'ses_2', 'ses_1'])
      expect(await ids({ limit: 1 })).toEqual(['ses_3'])
      expect(await ids({ principal: ana.id })).toEqual(['ses_3', 'ses_1'])
      expect(await ids({ target: 'other' })).toEqual(['ses_2'])
      expect(await ids({ since: 1_000_001 })).toEqual(['ses_3', 'ses_2'])
    })

    it('tell their standing, and those left open are marked once at the next start', async () => {
      const { store, open, reopen } = await withGrant(fresh)
      await open('ses_1')
      await open('ses_2')
      await store.closeSession(summary('ses_2'))
      await store.revokeGrant('grt_1', bob.id, 'left')
      expect(await store.sessionStanding('ses_1')).toEqual({
        state: 'open',
        grantEndsAt: 2_000_000,
        grantRevoked: true,
      })
      expect(await store.sessionStanding('ses_9')).toBeUndefined()
      const again = await reopen()
      expect(await again.markCrashed()).toEqual(['ses_1'])
      expect(await again.markCrashed()).toEqual([])
      expect(await again.findSession('ses_1')).toMatchObject({ state: 'crashed' })
      expect(await again.findSession('ses_2')).toMatchObject({ state: 'stopped' })
    })
  })
}
