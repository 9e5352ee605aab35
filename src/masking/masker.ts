// Owns applying the masks of one field to its values (the port in core/masker.ts). Types are preserved; what a mask
// cannot be fitted to becomes NULL. It must never return or report a raw value that a mask covers.

import type { FieldMask, FieldTransform, MaskWith } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import type { FieldMasker, MaskedText, MaskerFactory, ValueKind } from '../core/masker.js'
import { type Detection, detectorNamed, findAll } from './detectors.js'
import { rewriteJson } from './json-text.js'
import { strictest } from './strictness.js'
import { REDACTED, transformText } from './transform.js'

export interface MaskerOptions {
  /** Key of the `hash` transform: one for each target, so that hashes of two targets cannot be joined. */
  readonly hashKey: Buffer
}

/** The masks that begin at one place of a value: the whole of it, or what the detectors find. */
interface Place {
  /** Member names joined by dots; empty for the value itself. */
  readonly path: string
  readonly whole: MaskWith | undefined
  readonly detections: readonly Detection[]
}

const NULL: MaskedText = { value: null, masked: 1 }
const ALWAYS_NULL: FieldMasker = { alwaysNull: true, mask: () => NULL }
const UNMASKED: FieldMasker = { alwaysNull: false, mask: (value) => ({ value, masked: 0 }) }

/** A factory of maskers for one target. Throws a VgateError for a key under 16 bytes. */
export function createMasker(options: MaskerOptions): MaskerFactory {
  const hashKey = Buffer.from(options.hashKey)
  if (hashKey.length < 16) {
    throw new VgateError(
      'VGATE_CONFIG_INVALID',
      'the key of the hash mask is shorter than 16 bytes',
    )
  }
  return { forField: (masks, kind) => forField(masks, kind, hashKey) }
}

function forField(masks: readonly FieldMask[], kind: ValueKind, hashKey: Buffer): FieldMasker {
  const places = placesOf(masks)
  if (places === undefined) return ALWAYS_NULL
  const root = places.find((place) => place.path === '')
  if (masks.length === 0) return UNMASKED
  if (kind !== 'text' && kind !== 'json') return ALWAYS_NULL
  if (root?.whole === 'null') return ALWAYS_NULL
  const inside = places.length > 1 || root === undefined
  if (kind === 'json' || inside) {
    if (kind === 'text' && root?.whole !== undefined) return textMasker(root, hashKey)
    return { alwaysNull: false, mask: (value) => maskJson(value, places, hashKey) }
  }
  return textMasker(root, hashKey)
}

function textMasker(place: Place, hashKey: Buffer): FieldMasker {
  if (place.whole === 'redact')
    return { alwaysNull: false, constant: REDACTED, mask: () => ({ value: REDACTED, masked: 1 }) }
  return { alwaysNull: false, mask: (value) => maskText(value, place, hashKey) }
}

/** Masks grouped by place; undefined when one of them makes every value NULL. */
function placesOf(masks: readonly FieldMask[]): Place[] | undefined {
  const places = new Map<string, Place>()
  for (const mask of masks) {
    const path = (mask.path ?? []).join('.')
    for (const transform of mask.transforms) {
      if (transform.kind === 'vector') return undefined
      places.set(
        path,
        merged(places.get(path) ?? { path, whole: undefined, detections: [] }, transform),
      )
    }
    // A mask without a transform says nothing of what to do: fail closed.
    if (mask.transforms.length === 0) return undefined
  }
  return [...places.values()].map(hardened)
}

function merged(place: Place, transform: Exclude<FieldTransform, { kind: 'vector' }>): Place {
  if (transform.kind === 'value') {
    const whole =
      place.whole === undefined
        ? known(transform.with)
        : strictest(place.whole, known(transform.with))
    return { ...place, whole }
  }
  if (transform.kind !== 'detect') throw unknownTransform()
  const detections = transform.detectors.map((name) => ({
    detector: detectorNamed(name),
    with: known(transform.with),
  }))
  return { ...place, detections: [...place.detections, ...detections] }
}

/** The whole value hides more than findings in it; where they ask for a stricter form, the whole takes that form. */
function hardened(place: Place): Place {
  if (place.whole === undefined) return place
  const whole = place.detections.reduce((hardest, one) => strictest(hardest, one.with), place.whole)
  return { ...place, whole, detections: [] }
}

function known(how: MaskWith): MaskWith {
  if (['redact', 'partial', 'hash', 'null'].includes(how)) return how
  throw unknownTransform()
}

function unknownTransform(): VgateError {
  return new VgateError('VGATE_DENIED', 'a mask that this gateway does not know cannot be applied')
}

function maskText(text: string, place: Place, hashKey: Buffer): MaskedText {
  if (place.whole !== undefined)
    return { value: transformText(place.whole, text, hashKey), masked: 1 }
  const findings = findAll(place.detections, text)
  if (findings.length === 0) return { value: text, masked: 0 }
  const parts: string[] = []
  let at = 0
  for (const finding of findings) {
    const masked = transformText(finding.with, text.slice(finding.start, finding.end), hashKey)
    // `with: null` cannot leave a hole in a text: the value becomes NULL.
    if (masked === null) return { value: null, masked: findings.length }
    parts.push(text.slice(at, finding.start), masked)
    at = finding.end
  }
  parts.push(text.slice(at))
  return { value: parts.join(''), masked: findings.length }
}

/** Masks inside a JSON text. What is not JSON becomes NULL. */
function maskJson(text: string, places: readonly Place[], hashKey: Buffer): MaskedText {
  let masked = 0
  let nothing = false
  const wholeAt = (path: string): Place | undefined =>
    places.find((place) => place.whole !== undefined && place.path === path)
  const detectionsAt = (path: string): Detection[] =>
    places
      .filter(
        (place) => place.path === '' || path === place.path || path.startsWith(`${place.path}.`),
      )
      .flatMap((place) => place.detections)
  const find = (path: string, plain: string): MaskedText => {
    const found = maskText(
      plain,
      { path, whole: undefined, detections: detectionsAt(path) },
      hashKey,
    )
    masked += found.masked
    return found
  }
  const value = rewriteJson(text, {
    value(path, raw) {
      const whole = wholeAt(path)
      if (whole?.whole !== undefined) {
        masked += 1
        const replaced = replaceValue(whole.whole, raw, hashKey)
        if (replaced === null && path === '') nothing = true
        return JSON.stringify(replaced)
      }
      if (raw === undefined || !/^["\d-]/.test(raw)) return undefined
      const found = find(path, String(raw.startsWith('"') ? JSON.parse(raw) : raw))
      return found.masked === 0 ? undefined : JSON.stringify(found.value)
    },
    name(path, raw) {
      const found = find(path, String(JSON.parse(raw)))
      return found.masked === 0 ? undefined : JSON.stringify(found.value ?? '')
    },
  })
  return value === undefined || nothing
    ? { value: null, masked: Math.max(1, masked) }
    : { value, masked }
}

/** What takes a JSON value's place: partial and hash fit strings only. */
function replaceValue(how: MaskWith, raw: string | undefined, hashKey: Buffer): string | null {
  if (raw === 'null') return null
  if (how === 'redact') return transformText(how, '', hashKey)
  return raw?.startsWith('"') === true ? transformText(how, String(JSON.parse(raw)), hashKey) : null
}
