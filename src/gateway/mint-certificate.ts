// Owns minting a private authority and the gateway's certificate from it (X.509, RFC 5280). The only door to
// node-forge; keys come from Node's own crypto. It must never write a file, nor make an authority without bounds.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import forge from 'node-forge'

/** For the ten years of an authority, and the one of a server. */
const AUTHORITY_BITS = 3072
const SERVER_BITS = 2048
const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 3650
/** The longest that browsers and operating systems accept of a server's certificate. */
export const CERTIFICATE_DAYS = 397
/** Clocks of clients may be behind. */
const BACKDATE_MS = 3_600_000
const NAME_CONSTRAINTS = '2.5.29.30'
/** Tags of a GeneralName (RFC 5280 §4.2.1.6). */
const DNS_NAME = 2
const IP_ADDRESS = 7

/** PEM texts. */
export interface Minted {
  readonly cert: string
  readonly key: string
}

/**
 * A new authority that may sign for these names (DNS names and IP addresses) and no others, and make no authority below
 * itself: whoever trusts it for a gateway does not trust it for the rest of the world. `now` in milliseconds.
 */
export function mintAuthority(names: readonly string[], now: number): Minted {
  const { publicKey, privateKey, pem } = newKey(AUTHORITY_BITS)
  const cert = blank(publicKey, now, AUTHORITY_DAYS)
  const subject = [
    { name: 'organizationName', value: 'vgate' },
    { name: 'commonName', value: `vgate authority ${randomBytes(4).toString('hex')}` },
  ]
  cert.setSubject(subject)
  cert.setIssuer(subject)
  cert.setExtensions([
    { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    { name: 'subjectKeyIdentifier' },
    { id: NAME_CONSTRAINTS, critical: true, value: nameConstraints(names) },
  ])
  return signed(cert, privateKey, pem)
}

/** A server's certificate for these names, signed by an authority that may sign for them. `now` in milliseconds. */
export function mintCertificate(authority: Minted, names: readonly string[], now: number): Minted {
  const issuer = forge.pki.certificateFromPem(authority.cert)
  const { publicKey, pem } = newKey(SERVER_BITS)
  const cert = blank(publicKey, now, CERTIFICATE_DAYS)
  cert.setSubject([{ name: 'commonName', value: (names[0] ?? 'vgate').slice(0, 64) }])
  cert.setIssuer(issuer.subject.attributes)
  cert.setExtensions([
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes(),
    },
    {
      name: 'subjectAltName',
      altNames: names.map((name) =>
        isIP(name) === 0 ? { type: DNS_NAME, value: name } : { type: IP_ADDRESS, ip: name },
      ),
    },
  ])
  return signed(cert, forge.pki.privateKeyFromPem(authority.key), pem)
}

function newKey(bits: number): {
  readonly publicKey: forge.pki.PublicKey
  readonly privateKey: forge.pki.rsa.PrivateKey
  readonly pem: string
} {
  const pair = generateKeyPairSync('rsa', { modulusLength: bits })
  const pem = String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const spki = String(pair.publicKey.export({ type: 'spki', format: 'pem' }))
  return {
    publicKey: forge.pki.publicKeyFromPem(spki),
    privateKey: forge.pki.privateKeyFromPem(pem),
    pem,
  }
}

function blank(publicKey: forge.pki.PublicKey, now: number, days: number): forge.pki.Certificate {
  const cert = forge.pki.createCertificate()
  cert.publicKey = publicKey
  // Positive, and never with a leading zero byte (RFC 5280 §4.1.2.2).
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  cert.serialNumber = serial.toString('hex')
  cert.validity.notBefore = new Date(now - BACKDATE_MS)
  // So that the whole is never longer than `days`.
  cert.validity.notAfter = new Date(now - BACKDATE_MS + days * DAY_MS)
  return cert
}

function signed(cert: forge.pki.Certificate, key: forge.pki.rsa.PrivateKey, pem: string): Minted {
  cert.sign(key, forge.md.sha256.create())
  return { cert: forge.pki.certificateToPem(cert).replaceAll('\r\n', '\n'), key: pem }
}

/**
 * NameConstraints (RFC 5280 §4.2.1.10) as DER: these names only. A kind of name that is not permitted at all is excluded
 * as a whole, for an extension that does not speak of a kind leaves it free.
 */
function nameConstraints(names: readonly string[]): string {
  const hosts = names.filter((name) => isIP(name) === 0)
  const addresses = names.filter((name) => isIP(name) !== 0)
  const permitted = [
    ...hosts.map((name) => subtree(DNS_NAME, name)),
    ...addresses.map((name) => subtree(IP_ADDRESS, oneAddress(name))),
  ]
  const everyAddress = ['\0'.repeat(8), '\0'.repeat(32)].map((all) => subtree(IP_ADDRESS, all))
  const excluded = [
    ...(hosts.length === 0 ? [subtree(DNS_NAME, '')] : []),
    ...(addresses.length === 0 ? everyAddress : []),
  ]
  const { asn1 } = forge
  const part = (tag: number, trees: forge.asn1.Asn1[]): forge.asn1.Asn1[] =>
    trees.length === 0
      ? []
      : [asn1.create(asn1.Class.CONTEXT_SPECIFIC, tag as forge.asn1.Type, true, trees)]
  const body = [...part(0, permitted), ...part(1, excluded)]
  return asn1.toDer(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, body)).getBytes()
}

function subtree(tag: number, value: string): forge.asn1.Asn1 {
  const { asn1 } = forge
  const base = asn1.create(asn1.Class.CONTEXT_SPECIFIC, tag as forge.asn1.Type, false, value)
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, [base])
}

/** An address and a mask that leaves this one alone. */
function oneAddress(ip: string): string {
  const bytes = isIP(ip) === 4 ? ip.split('.').map(Number) : bytesOfIpv6(ip)
  return String.fromCharCode(...bytes, ...bytes.map(() => 255))
}

/** The URL parser writes an address in one form (RFC 5952), hexadecimal alone. */
function bytesOfIpv6(ip: string): number[] {
  const [head = '', tail] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [left, right] = [groups(head), groups(tail ?? '')]
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right].flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 255]
  })
}
