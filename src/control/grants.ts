// Owns giving access: which roles, from when, to what absolute end. Policy says what may be had; this writes down
// what was. Nothing is given that is not in the audit log first.

import type { GrantRequest } from '../core/api.js'
import type { ApprovalStanding } from '../core/approval.js'
import { VgateError } from '../core/errors.js'
import type { Grant } from '../core/grant.js'
import { newId } from '../core/ids.js'
import type { Principal } from '../core/principal.js'
import type { VerifiedToken } from '../identity/tokens.js'
import { type RoleOffer, rolesFor } from '../policy/access.js'
import type { CompiledPolicy } from '../policy/compile.js'
import { type ControlDeps, isoTime, recordedPrincipal } from './deps.js'
import { accessDigest, type Narrowed, narrowedOf } from './request-rules.js'
import type { Requests } from './requests.js'
import type { TargetSettings } from './settings.js'
import { proofOf, workloadEnd } from './workload-grants.js'

export interface IssuedGrant {
  readonly grant: Grant
  readonly target: TargetSettings
  /** For people. */
  readonly notes: string[]
  /** Of a workload: without a renewal its sessions end here. Milliseconds since the epoch. */
  readonly proofUntil?: number
}

/** A second person has to say yes first. */
export interface PendingGrant {
  readonly pending: ApprovalStanding
}

type Deps = Pick<ControlDeps, 'config' | 'policy' | 'store' | 'audit' | 'clock'> & {
  readonly requests: Requests
}

/** One answer for what does not exist and for what is not yours, so that names cannot be guessed. */
function unknownTarget(name: string): VgateError {
  const shown = /^[\w.-]{1,64}$/.test(name) ? ` "${name}"` : ' of that name'
  return new VgateError('VGATE_TARGET_UNKNOWN', `there is no target${shown} that you may use`, {
    hint: 'see `vgate targets`',
  })
}

function chooseOffers(offers: readonly RoleOffer[], role: string | undefined, target: string) {
  if (role === undefined) return chooseFree(offers, target)
  const chosen = offers.filter((offer) => offer.role === role)
  if (chosen.length > 0) return chosen
  const names = offers.map((offer) => offer.role).join(', ')
  throw new VgateError('VGATE_DENIED', `no access rule gives you that role on ${target}`, {
    hint: `your roles there: ${names}`,
  })
}

/** Without a name: the roles that need no approval, or the only one there is. */
function chooseFree(offers: readonly RoleOffer[], target: string): readonly RoleOffer[] {
  const free = offers.filter((offer) => offer.approval === undefined)
  if (free.length > 0) return free
  if (offers.length === 1) return offers
  const names = offers.map((offer) => offer.role).join(', ')
  throw new VgateError('VGATE_USAGE', `every role of yours on ${target} needs an approval`, {
    hint: `choose one with --role: ${names}`,
  })
}

function noteApprovals(
  offered: readonly RoleOffer[],
  offers: readonly RoleOffer[],
  notes: string[],
): void {
  const others = offered.filter((offer) => !offers.includes(offer) && offer.approval !== undefined)
  if (others.length === 0) return
  const names = others.map((offer) => offer.role).join(', ')
  notes.push(`roles that need an approval were left out: ${names}; ask with --role`)
}

/** Blank counts as absent; control characters would speak to terminals and logs. */
function statement(
  text: string | undefined,
  what: 'reason' | 'ticket',
  offers: readonly RoleOffer[],
): string | undefined {
  const clean = text?.trim()
  if (clean !== undefined && /\p{Cc}/u.test(clean)) {
    throw new VgateError('VGATE_USAGE', `the ${what} holds control characters`)
  }
  if (clean !== undefined && clean !== '') return clean
  const asking = offers.find((offer) => offer[what] === 'required')
  if (asking === undefined) return undefined
  throw new VgateError('VGATE_USAGE', `role ${asking.role} needs a ${what} (${asking.rule})`, {
    hint: `add --${what} "…"`,
  })
}

function roughly(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return `${Math.floor(ms / 1000)} s`
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`
}

/** With several roles at once the shortest of what they allow counts. */
function lifeOf(
  offers: readonly RoleOffer[],
  ttlSeconds: number | undefined,
  now: number,
  notes: string[],
): number {
  const max = Math.min(
    ...offers.map(({ maxMs, until }) => Math.min(maxMs, (until ?? Number.POSITIVE_INFINITY) - now)),
  )
  const asked = ttlSeconds === undefined ? undefined : ttlSeconds * 1000
  const wanted = asked ?? Math.min(...offers.map((offer) => offer.defaultMs))
  if (asked !== undefined && asked > max)
    notes.push(`the time was cut to ${roughly(max)}, the most that policy gives`)
  return Math.min(wanted, max)
}

function noteMasks(policy: CompiledPolicy, offers: readonly RoleOffer[], notes: string[]): void {
  const masked = offers.filter(({ role }) => (policy.roles.get(role)?.masks.length ?? 0) > 0)
  if (offers.length < 2 || masked.length === 0) return
  const names = offers.map((offer) => offer.role).join(', ')
  notes.push(`several roles at once (${names}): the strictest mask applies; --role asks for one`)
}

interface Decided extends IssuedGrant {
  readonly offers: readonly RoleOffer[]
  /** Milliseconds that it lasts. */
  readonly lifeMs: number
}

function decideGrant(deps: Deps, caller: VerifiedToken, request: GrantRequest): Decided {
  const { principal } = caller
  const startsAt = deps.clock.now()
  const target = deps.config.targets.get(request.target)
  const policy = deps.policy().compiled
  const offered = target === undefined ? [] : rolesFor(policy, principal, request.target, startsAt)
  if (target === undefined || offered.length === 0) throw unknownTarget(request.target)
  const offers = chooseOffers(offered, request.role, request.target)
  const reason = statement(request.reason, 'reason', offers)
  const ticket = statement(request.ticket, 'ticket', offers)
  const notes: string[] = []
  const lifeMs = lifeOf(offers, request.ttl_seconds, startsAt, notes)
  const wanted = startsAt + lifeMs
  const endsAt = workloadEnd(caller, wanted, request.fresh_tokens === true, startsAt)
  if (endsAt < wanted) notes.push('the time was cut to the end of the identity token')
  noteMasks(policy, offers, notes)
  noteApprovals(offered, offers, notes)
  const grant: Grant = {
    id: newId('grt'),
    principal: principal.id,
    target: request.target,
    roles: offers.map((offer) => offer.role),
    ...(reason === undefined ? {} : { reason }),
    ...(ticket === undefined ? {} : { ticket }),
    startsAt,
    endsAt,
  }
  return { grant, target, notes, offers, lifeMs }
}

/** With an approval that was given it is used up here, once; else a request is opened, or found. */
async function approvedGrant(
  deps: Deps,
  principal: Principal,
  decided: Decided,
): Promise<IssuedGrant | PendingGrant> {
  const { offers, lifeMs, grant, target, notes } = decided
  const terms = offers.flatMap(({ approval }) => (approval === undefined ? [] : [approval]))
  if (terms.length === 0) return { grant, target, notes }
  const { target: name, roles, reason, ticket } = grant
  const bound = {
    principal: principal.id,
    target: name,
    roles,
    reason,
    ticket,
    ttlMs: lifeMs,
    terms,
  }
  const digest = accessDigest(bound)
  const asked = {
    body: { kind: 'access', ttlMs: lifeMs } as const,
    principal,
    target: name,
    roles,
    ...(reason === undefined ? {} : { reason }),
    ...(ticket === undefined ? {} : { ticket }),
    digest,
    terms,
  }
  const standing = await deps.requests.open(asked)
  if (standing.state !== 'approved') return { pending: standing }
  const { request: id } = standing
  const answers = await deps.requests.answers(id)
  const narrowed = narrowest(
    answers.filter((one) => one.verdict === 'approve').map((one) => narrowedOf(one)),
  )
  // Another `connect` of the same person may have been faster: then it is asked for anew.
  if (!(await deps.requests.consume({ id, principal: principal.id, target: name, digest })))
    return { pending: await deps.requests.open(asked) }
  return { grant: narrowedGrant(decided, narrowed, id), target, notes }
}

/** The grant as its approvers left it. */
function narrowedGrant(decided: Decided, narrowed: Narrowed, request: string): Grant {
  const { grant, lifeMs, notes } = decided
  const { collections } = narrowed
  const life = Math.min(lifeMs, narrowed.ttlMs ?? lifeMs)
  if (life < lifeMs) notes.push(`whoever approved it cut the time to ${roughly(life)}`)
  if (collections !== undefined)
    notes.push(`whoever approved it narrowed it to ${collections.join(', ') || 'nothing'}`)
  return {
    ...grant,
    endsAt: Math.min(grant.endsAt, grant.startsAt + life),
    ...(collections === undefined ? {} : { collections }),
    request,
  }
}

/** What every approver left of it. */
function narrowest(all: readonly Narrowed[]): Narrowed {
  const ttls = all.flatMap(({ ttlMs }) => (ttlMs === undefined ? [] : [ttlMs]))
  const lists = all.flatMap(({ collections }) => (collections === undefined ? [] : [collections]))
  const [first, ...rest] = lists
  return {
    ...(ttls.length === 0 ? {} : { ttlMs: Math.min(...ttls) }),
    ...(first === undefined
      ? {}
      : { collections: first.filter((name) => rest.every((list) => list.includes(name))) }),
  }
}

/**
 * Gives a grant, asks for an approval, or refuses. Each is in the audit log, durably, before this answers. Throws
 * VGATE_TARGET_UNKNOWN, VGATE_DENIED, VGATE_USAGE, or that log or store are not available.
 */
export async function issueGrant(
  deps: Deps,
  caller: VerifiedToken,
  request: GrantRequest,
): Promise<IssuedGrant | PendingGrant> {
  const { principal } = caller
  const who = recordedPrincipal(principal)
  let issued: IssuedGrant | PendingGrant
  try {
    issued = await approvedGrant(deps, principal, decideGrant(deps, caller, request))
  } catch (error) {
    if (error instanceof VgateError) {
      const { code, message } = error
      const role = request.role === undefined ? {} : { role: request.role }
      await deps.audit.append(
        { type: 'grant.refused', principal: who, target: request.target, ...role, code, message },
        { sync: true },
      )
    }
    throw error
  }
  if ('pending' in issued) return issued
  const { id, roles, target, reason, ticket, startsAt, endsAt } = issued.grant
  const recorded = {
    id,
    roles,
    ...(reason === undefined ? {} : { reason }),
    ...(ticket === undefined ? {} : { ticket }),
    startsAt: isoTime(startsAt),
    endsAt: isoTime(endsAt),
    ...(issued.grant.collections === undefined ? {} : { collections: issued.grant.collections }),
    ...(issued.grant.request === undefined ? {} : { request: issued.grant.request }),
  }
  await deps.audit.append(
    { type: 'grant.issued', principal: who, target, grant: recorded },
    { sync: true },
  )
  await deps.store.createGrant(issued.grant, deps.policy().hash)
  const proofUntil = proofOf(caller)
  if (proofUntil === undefined) return issued
  await deps.store.recordProof(id, principal, proofUntil)
  return { ...issued, proofUntil }
}
