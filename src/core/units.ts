// Owns durations, sizes, rates and parts as configuration writes them: a whole number and a unit, never a bare number.

import { z } from 'zod'

const DURATIONS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

const SIZES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

/** `30m` → milliseconds. Units: ms, s, m, h, d. Undefined for anything else, zero and more than 100 years included. */
export function parseDuration(text: string): number | undefined {
  const value = scaled(/^([1-9][0-9]{0,8})(ms|s|m|h|d)$/.exec(text), DURATIONS)
  return value !== undefined && value <= 36_525 * 86_400_000 ? value : undefined
}

/** `64MiB`, `50MB` → bytes. Undefined for anything else, zero and unsafe integers included. */
export function parseSize(text: string): number | undefined {
  const value = scaled(/^([1-9][0-9]{0,8})([kKMGT]?i?B)$/.exec(text), SIZES)
  return value !== undefined && Number.isSafeInteger(value) ? value : undefined
}

function scaled(
  match: RegExpExecArray | null,
  units: Readonly<Record<string, number>>,
): number | undefined {
  const unit = match?.[2]
  if (unit === undefined || !Object.hasOwn(units, unit)) return undefined
  const scale = units[unit]
  return scale === undefined ? undefined : Number(match?.[1]) * scale
}

/** So many in any span of this length. */
export interface Rate {
  readonly count: number
  readonly perMs: number
}

/** The longest span and the highest number that a rate may have: it is kept in memory, one moment for each. */
const RATE_UNITS = ['s', 'm']
const RATE_MAX = 100_000

/** `50/s`, `600/m`. Undefined for anything else, zero and more than 100,000 included. */
export function parseRate(text: string): Rate | undefined {
  const match = /^([1-9][0-9]{0,5})\/([a-z])$/.exec(text)
  const unit = match?.[2]
  if (unit === undefined || !RATE_UNITS.includes(unit)) return undefined
  const count = Number(match?.[1])
  return count <= RATE_MAX ? { count, perMs: DURATIONS[unit] ?? 0 } : undefined
}

/** `10%`, `0.5%` → 0.1, 0.005. Undefined for anything else, zero and more than 100% included. */
export function parsePercent(text: string): number | undefined {
  const match = /^([0-9]{1,3}(?:\.[0-9]{1,3})?)%$/.exec(text)
  const value = match === null ? 0 : Number(match[1]) / 100
  return value > 0 && value <= 1 ? value : undefined
}

/** A part of something. */
export function percent(): z.ZodType<number> {
  return unit(parsePercent, 'expected a percentage such as 10% or 0.5%')
}

/** A rate with its unit. */
export function rate(): z.ZodType<Rate> {
  return unit(parseRate, 'expected a rate such as 50/s or 600/m, at most 100000')
}

/** A duration with its unit; the value is milliseconds. */
export function duration(): z.ZodType<number> {
  return unit(parseDuration, 'expected a duration with its unit, such as 60s, 30m, 24h or 365d')
}

/** A size with its unit; the value is bytes. */
export function size(): z.ZodType<number> {
  return unit(parseSize, 'expected a size with its unit, such as 50MB or 64MiB')
}

function unit<T>(parse: (text: string) => T | undefined, message: string): z.ZodType<T> {
  return z.unknown().transform((input, context) => {
    const value = typeof input === 'string' ? parse(input) : undefined
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}
