// Owns how an approval request looks to the person who has to answer it: everything that the answer is bound to, with
// control and bidirectional characters made visible.

import type { RequestRow } from '../core/api-requests.js'
import { type PreviewCount, previewText } from '../core/approval.js'
import { type Output, visible } from './output.js'
import { indent, whenText } from './people.js'

/** The whole request. */
export function requestLines(output: Output, request: RequestRow, now: number): string[] {
  const { operation } = request
  const rows: [string, string][] = [
    ['request', `${request.id}, ${request.state}, until ${whenText(request.expires_at, now)}`],
    ['who', `${request.requester.name} (${request.requester.provider}, ${request.requester.id})`],
    ['target', request.target],
    ['roles', request.roles.join(', ')],
    ['reason', request.reason ?? ''],
    ['ticket', request.ticket ?? ''],
    ['session', request.session ?? ''],
    [
      'asks for',
      operation === undefined ? `access for ${minutes(request.ttl_seconds ?? 0)}` : operation.name,
    ],
    ['collections', operation === undefined ? '' : collectionsText(request)],
    ['risks', operation?.risks.join(', ') ?? ''],
    ['held by', request.terms.map(termText).join('; ')],
    ['why', operation?.reason ?? ''],
    ['touches', operation === undefined ? '' : preview(request)],
    ['answers', request.answers.map((one) => `${one.name}: ${one.verdict}`).join(', ')],
    ['outcome', request.outcome ?? ''],
  ]
  const lines = rows
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name.padEnd(12)}${visible(value)}`)
  if (operation === undefined) return lines
  lines.push('', output.colour.bold('exact text'), indent(visible(operation.text)))
  if (operation.parameters !== undefined && operation.parameters.length > 0) {
    const shown = operation.parameters.map((value, at) => `$${at + 1} = ${value ?? 'NULL'}`)
    lines.push(output.colour.bold('parameters'), ...shown.map((line) => indent(visible(line))))
  }
  return lines
}

/** What would be touched: `18,204 of 20,000 rows of docs`. */
function preview(request: RequestRow): string {
  return previewText((request.operation?.preview ?? []) as readonly PreviewCount[])
}

/** The collection that must be typed before all of it may be touched; undefined where a yes is enough. */
export function mustBeTyped(request: RequestRow): string | undefined {
  return request.operation?.collections.find((use) => use.effect.kind === 'all')?.collection
}

/** The question, with what it would touch in it. */
export function approveQuestion(request: RequestRow): string {
  const { operation } = request
  const who = visible(request.requester.name)
  return operation === undefined
    ? `give ${who} ${request.roles.map(visible).join(', ')} on ${visible(request.target)}?`
    : `let ${who} run it? it touches ${visible(preview(request))}`
}

function collectionsText(request: RequestRow): string {
  const uses = request.operation?.collections ?? []
  return uses
    .map((use) => `${use.collection}: ${use.action} (${effectText(use.effect)})`)
    .join('; ')
}

function effectText(effect: { readonly [key: string]: unknown; readonly kind: string }): string {
  const count = effect['count']
  if (effect.kind === 'ids') return `${count} named keys`
  if (effect.kind === 'rows') return `${count} rows`
  if (effect.kind === 'unknown') return `unknown: ${effect['reason']}`
  return (
    { none: 'reads', filter: 'whatever the filter matches', all: 'everything' }[effect.kind] ??
    effect.kind
  )
}

function termText(term: RequestRow['terms'][number]): string {
  return `${term.rule}: ${term.count} of ${term.by.join(' or ')}`
}

function minutes(seconds: number): string {
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`
}

/** The request in a few words, for a list. */
export function whatOf(request: RequestRow): string {
  const { operation } = request
  if (operation === undefined) return `access as ${request.roles.join(', ')}`
  return `${operation.name}: ${preview(request)}`
}
