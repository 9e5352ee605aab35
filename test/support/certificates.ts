// Owns self-signed certificates for tests. Node cannot mint X.509, so the openssl command does.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A self-signed certificate for 127.0.0.1, localhost and more names that is its own CA. PEM text. */
export function selfSignedCertificate(
  names: readonly string[] = [],
  issuer = 'localhost',
): {
  readonly cert: string
  readonly key: string
} {
  const folder = mkdtempSync(join(tmpdir(), 'vgate-cert-'))
  const cert = join(folder, 'cert.pem')
  const key = join(folder, 'key.pem')
  try {
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
        ...['-keyout', key, '-out', cert, '-days', '30', '-subj', `/CN=${issuer}`],
        ...[
          '-addext',
          ['subjectAltName=DNS:localhost,IP:127.0.0.1', ...names.map((name) => `DNS:${name}`)].join(
            ',',
          ),
        ],
      ],
      { stdio: 'ignore' },
    )
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
