// Owns the text of a new gateway's two files: complete, commented, and good for `gateway check` as they are. It must
// never write a secret into them.

import type { InitAnswers } from './init.js'

/** A word of YAML: plain where nothing can be taken for anything else, else in double quotes (JSON is YAML). */
function word(text: string): string {
  const plain =
    /^[A-Za-z][\w.-]*(?:[:/][\w.-]+)*$/.test(text) && !/^(?:true|false|null)$/i.test(text)
  return plain ? text : JSON.stringify(text)
}

function tlsLines(answers: InitAnswers): string {
  if (answers.tls === 'off') return '  # Plain http: for this machine alone.\n'
  const { cert, key } = answers.tls === 'mint' ? { cert: 'tls.crt', key: 'tls.key' } : answers.tls
  return `  tls: { cert: ${word(`file:${cert}`)}, key: ${word(`file:${key}`)} }\n`
}

function databaseTls({ databaseTls: tls }: InitAnswers): string {
  if (tls === 'off')
    return 'off                      # accepted for a literal loopback address only'
  if (tls === 'system') return 'verify-full              # or { verify: full, ca: file:db-ca.pem }'
  return `{ verify: full, ca: ${word(`file:${tls.ca}`)} }`
}

/** Source of vgate.yaml. */
export function configText(answers: InitAnswers): string {
  const { listen, publicUrl, provider, issuer, clientId, groupsClaim, target, admins } = answers
  return `# The gateway's configuration, written by \`vgate gateway init\`. Paths are relative to this file.
# Every key is in docs/configuration.md. After a change: \`vgate gateway check\`, then restart the gateway.
gateway:
  listen: ${JSON.stringify(listen)}
  # The URL by which people reach it. It issues the access tokens: a change logs everybody out.
  publicUrl: ${JSON.stringify(publicUrl)}
${tlsLines(answers)}  # Store, recordings, audit log and sealed keys. Back it up; see docs/operations.md.
  data: ./data
  # The key that seals the others. Without this line it is a file beside the data directory, with a warning.
  # keys: env:VGATE_MASTER_KEY          # openssl rand -base64 32
  # Administrators run the gateway, auditors list and replay everybody's sessions. Neither reads data by that.
  administrators: [{ group: ${word(`${provider}:${admins}`)} }]
  auditors: [{ group: ${word(`${provider}:${admins}`)} }]

recordings:
  durability: standard                  # strict: reads too are on the disk before they run

identity:
  providers:
    ${word(provider)}:
      type: oidc
      # Exactly the text that the provider gives as its issuer.
      issuer: ${JSON.stringify(issuer)}
      # A public client with the device flow (RFC 8628); there is no secret.
      clientId: ${JSON.stringify(clientId)}
      scopes: [${answers.scopes.map(word).join(', ')}]
      # Claim of the ID token that lists a person's groups.
      groupsClaim: ${JSON.stringify(groupsClaim)}
      nameClaim: email

targets:
  ${word(target)}:
    database: pgvector
    address: ${JSON.stringify(answers.address)}
    tls: ${databaseTls(answers)}
    # What the gateway logs in with. Nobody else needs to know it: change it once vgate is in place.
    credential: { username: ${JSON.stringify(answers.databaseUser)}, password: ${JSON.stringify(answers.password)} }
    # Whom a refusal names.
    # contact: "#vector-help"

policy: file:policy.yaml

# limits: { connectionsPerSession: 100, sessionsPerPrincipal: 20, handshake: 10s, messageBytes: 64MiB }
`
}

/** Source of policy.yaml. */
export function policyText(answers: InitAnswers): string {
  const { provider, group, target, collections } = answers
  const first = word(collections[0] ?? 'docs')
  return `# Who may do what, written by \`vgate gateway init\`. What no role allows is refused.
# Every key is in docs/policy.md. A running gateway takes a change up by itself, as a whole or not at all.

# Where bulk begins: more keys or rows than this, at once or within \`per\`.
thresholds: { ids: 100, rows: 1000, per: 60s }

roles:
  reader:
    allow:
      - { access: read, collections: [${collections.map(word).join(', ')}] }
    # A read that would give more rows fails, and says so.
    limits: { rows: 1000 }
    # What readers see masked. Take out the # and name your own fields.
    # mask:
    #   - { collections: [${first}], fields: [email], with: redact }
    #   - { collections: [${first}], fields: [body], detect: [email, phone], with: redact }
    #   - { collections: [${first}], vectors: drop }

  # For the people who own the data.
  # owner:
  #   allow: [{ access: admin, collections: ["*"] }]

access:
  - { who: { group: ${word(`${provider}:${group}`)} }, role: reader, targets: [${word(target)}], grant: { default: 1h, max: 8h } }
  # - { who: { group: ${word(`${provider}:${answers.admins}`)} }, role: owner, targets: [${word(target)}], grant: { max: 1h, reason: required } }

# What nobody may do, whatever their role.
deny:
  - { match: { operations: [truncate] } }
`
}
