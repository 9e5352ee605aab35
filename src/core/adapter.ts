// Owns the first seam: a protocol family as a sans-I/O state machine. It takes bytes and answers and calls
// its host; it opens no socket and knows no clock. `proxy` is the only host in the product; tests are others.

import type { Obligations, RecordLevel } from './decision.js'
import type { VgateError } from './errors.js'
import type { JsonValue } from './json.js'
import type { MaskerFactory } from './masker.js'
import type { Operation, ServerError, Unclassified } from './operation.js'

/** SCRAM-SHA-256 verifier of the local port's secret (RFC 5802 §3); the secret itself stays with the client. Values are base64. */
export interface ScramVerifier {
  readonly iterations: number
  readonly salt: string
  readonly storedKey: string
  readonly serverKey: string
}

/** What one client connection is given when its adapter is made. */
export interface AdapterContext {
  /** The database's own name for the database, as the target's address gives it. */
  readonly databaseName: string
  readonly secret: ScramVerifier
  readonly masker: MaskerFactory
  readonly limits: AdapterLimits
  /** Cryptographic randomness (salts, nonces, cancel keys). */
  readonly randomBytes: (size: number) => Buffer
}

/** Every buffer has a named limit (security.md rule 11). Bytes. */
export interface AdapterLimits {
  /** All that may come before authentication is done. */
  readonly handshakeBytes: number
  /** One message of the client. */
  readonly messageBytes: number
  /** One message of the database. */
  readonly upstreamMessageBytes: number
  /** Messages of the client that wait behind a ruling. */
  readonly queuedBytes: number
}

export const DEFAULT_LIMITS: AdapterLimits = {
  handshakeBytes: 64 * 1024,
  messageBytes: 16 * 1024 * 1024,
  upstreamMessageBytes: 64 * 1024 * 1024,
  queuedBytes: 32 * 1024 * 1024,
}

/** A request to judge: everything that one message of the client would run. */
export interface JudgeRequest {
  /**
   * `prepare`: nothing runs yet (Parse): a hold does not stop it and no intent is recorded, a denial does and is.
   * `execute`: it runs if it is permitted.
   */
  readonly phase: 'prepare' | 'execute'
  readonly operations: readonly (Operation | Unclassified)[]
  /** The request's own text, for the record; literal vectors already reduced. */
  readonly text: string
  /** Parameters as recorded: text, NULL, or a description such as `vector(1536)`. */
  readonly parameters?: readonly (string | null)[]
  /** The same without anything left out, for `record: full`. */
  readonly whole?: () => {
    readonly text: string
    readonly parameters?: readonly RecordedValue[]
  }
  /** How it came: `simple`, `extended`, `copy`, `functioncall`, an HTTP route … */
  readonly form: string
  /** Keys written or deleted as far as the request names them: collection → keys. */
  readonly keys?: Readonly<Record<string, readonly string[]>>
  /** The field whose values they are, where it is one for all of a collection: the same key is the same row. */
  readonly keyedBy?: Readonly<Record<string, string>>
  /**
   * SHA-256 in hex over the exact text, the parameters (types, formats, bytes) and the search path: what tells this
   * request from any other. A request without it cannot be approved.
   */
  readonly exact?: () => string
  /** A transaction is open, and others may wait for it. */
  readonly inTransaction?: boolean
  /** What would count how much it touches; asked only when it is held. */
  readonly preview?: () => readonly PreviewQuery[]
  /** How many rows each collection has, by estimate: a map of numbers, and `made of others` for a view. */
  readonly sizes?: Extract<Question, { kind: 'load' }>
  /** Whether it still means what was judged, as the database is now; asked only after a wait for a person. */
  readonly unchanged?: () => Promise<boolean>
}

/** Counts what a statement would touch, in a read-only transaction of the gateway's own. */
export type PreviewQuery =
  | {
      readonly collection: string
      /** Counts the rows it would touch, and all that there are. */
      readonly count: string
      readonly total: string
      readonly parameters: readonly (string | null)[]
      /** Schemas, in order. */
      readonly searchPath: readonly string[]
    }
  | { readonly collection: string; readonly unknown: string }

/** How a refusal looks to the caller. The message already names the rule and whom to ask. */
export interface Refusal {
  readonly sqlstate: string
  readonly http: number
  readonly grpc: number
  readonly rule: string
  readonly message: string
  readonly hint: string
  /** What the database itself would have answered: shown in place of the message. */
  readonly serverError?: ServerError
}

export type Ruling =
  | {
      readonly verdict: 'permit' /** One for each operation of the request, in order. */
      readonly obligations: readonly Obligations[]
    }
  | { readonly verdict: 'deny'; readonly refusal: Refusal }

/** A side query runs on a connection of the gateway's own. Rows are text columns or NULL. */
export type SideQuery = (statement: string) => Promise<(string | null)[][]>

export type Question =
  /** Something about the database, cached per target under `key` for at most `maxAgeMs` (0: always fresh). */
  | {
      readonly kind: 'load'
      readonly key: string
      readonly maxAgeMs: number
      /** `previous` is what it answered last for this key, if anything: it may answer that again where it is still true. */
      readonly load: (query: SideQuery, previous: unknown) => Promise<unknown>
    }
  /** Work too long for the event loop: runs `entry` (a worker module that answers one message with one) with `input`. */
  | { readonly kind: 'offload'; readonly entry: URL; readonly input: string }
  /** An unbounded read reached a limit that a second person may lift: opens a request. Answers what to tell the caller. */
  | { readonly kind: 'limit'; readonly request: number; readonly index: number }

export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: VgateError }

/** All of a value, which `record: full` keeps: SHA-256 in hex and base64 of the bytes as they are on the wire. */
export interface WholeValue {
  readonly sha256: string
  readonly data: string
}

/** One value as it is recorded, after masking. */
export type RecordedValue =
  | string
  | null
  /** Its dimension; under `record: full` also its Euclidean norm, where it could be read. */
  | ({ readonly vector: number; readonly norm?: number } & Partial<WholeValue>)
  /** Longer than 8 KiB, or not text. */
  | { readonly bytes: number; readonly sha256: string; readonly head: string }
  /** Not text, under `record: full`. */
  | ({ readonly bytes: number; readonly head: string } & WholeValue)

/** What the client is about to be given for one operation of one request. Recorded before it is given. */
export interface Delivery {
  /** Id of the judged request, and index of the operation in it. */
  readonly request: number
  readonly index: number
  readonly columns?: readonly string[]
  /** Absent under `record: metadata`. */
  readonly rows?: readonly (readonly RecordedValue[])[]
  readonly rowCount: number
  readonly bytes: number
  /** How many values or findings were masked. */
  readonly masked: number
  /** The database's own completion, e.g. `SELECT 5`. */
  readonly tag?: string
  readonly error?: { readonly sqlstate: string; readonly message: string }
  /** Keys that the answer names as written or deleted. */
  readonly keys?: Readonly<Record<string, readonly string[]>>
  /** The operation is over. */
  readonly done: boolean
  /** It ended with its connection, before the database had answered. */
  readonly abandoned?: true
}

export interface AdapterHost {
  /** Bytes to the client, in order. */
  toClient(bytes: Buffer): void
  /** Bytes to the database, in order; only after `upstreamReady`. */
  toUpstream(bytes: Buffer): void
  /** The client has authenticated: dial and log in upstream with these start-up parameters (already on the allow-list). */
  openUpstream(parameters: Readonly<Record<string, string>>): void
  /** Judge this; the answer comes as `ruled(id, …)`, possibly before this call returns. Ids ascend. */
  judge(id: number, request: JudgeRequest): void
  /** Find this out; the answer comes as `answered(id, …)`, possibly before this call returns. */
  ask(id: number, question: Question): void
  /** Record this before what follows is given to the client. Throws when it cannot be recorded: the adapter lets it pass up. */
  delivered(delivery: Delivery): void
  /** Cancel what the upstream connection of this adapter runs. */
  cancelUpstream(): void
  /** A CancelRequest came for a connection of this session, named by the key the adapter of that connection gave out. */
  cancelOther(key: Buffer): void
  /** The connection is over. With an error where it is one (for the record and the log). */
  close(error?: VgateError): void
}

/** What the database said when the upstream connection was authenticated. */
export interface UpstreamGreeting {
  readonly parameters: Readonly<Record<string, string>>
  /** The schemas in which it looks names up, where that was asked. */
  readonly searchPath?: readonly string[]
}

/** One per client connection. Any throw out of a method ends that connection alone. */
export interface Adapter {
  fromClient(bytes: Buffer): void
  fromUpstream(bytes: Buffer): void
  /** The client half-closed or vanished. */
  clientEnded(): void
  upstreamReady(greeting: UpstreamGreeting): void
  /** Could not dial or log in, or the connection was lost: the client gets the protocol's own fatal error. */
  upstreamFailed(error: VgateError): void
  ruled(id: number, ruling: Ruling): void
  /** A request waits for a second person: tells the client, in order, in the protocol's own way. */
  notify(text: string): void
  answered(id: number, answer: Answer): void
  /** Grant over, revoked, gateway stopping: finish the message under way, the protocol's fatal error, `host.close`. */
  terminate(error: VgateError): void
  /** The cancel key given to the client; undefined before. */
  readonly cancelKey: Buffer | undefined
  /** True while it takes no more of the client's bytes (a ruling is awaited and the queue is long): the host stops reading. */
  readonly congested: boolean
}

/** Logs in to the database on a fresh socket. Sans-I/O, one per upstream connection. */
export interface UpstreamLogin {
  start(): void
  fromUpstream(bytes: Buffer): void
  /** The socket has been upgraded to TLS after `startTls`. `channelBinding` is the server certificate's digest for tls-server-end-point, if known. */
  secured(): void
}

export interface UpstreamLoginHost {
  toUpstream(bytes: Buffer): void
  /** The database agreed to TLS: upgrade the socket, then call `secured()`. Bytes after the agreement are a violation. */
  startTls(): void
  /** Logged in. `cancel` is what to send on a new connection to cancel what runs on this one; `rest` are bytes already read past the login. */
  ready(greeting: UpstreamGreeting, cancel: Buffer, rest: Buffer): void
  failed(error: VgateError): void
}

export interface UpstreamCancelHost {
  toUpstream(bytes: Buffer): void
  startTls(): void
  /** Everything has been said: the socket is closed when it is written. */
  done(): void
}

export interface UpstreamCredential {
  readonly username: string
  readonly password: string
}

/** What the house knows of a wire family. */
export interface ProtocolFamily {
  createAdapter(context: AdapterContext, host: AdapterHost): Adapter
  createLogin(
    options: {
      readonly credential: UpstreamCredential
      readonly databaseName: string
      readonly parameters: Readonly<Record<string, string>>
      readonly tls: boolean
      readonly randomBytes: (size: number) => Buffer
      /** A password may be sent in clear or as MD5 without TLS: for a literal loopback address only. Default: no. */
      readonly allowPlaintextPassword?: boolean
      /** Ask where it looks names up: it may be elsewhere than on the connections of side queries. */
      readonly askPath?: boolean
    },
    host: UpstreamLoginHost,
  ): UpstreamLogin
  /** Cancels what runs on another upstream connection; `packet` is what `ready` gave for it. */
  createCancel(
    options: { readonly packet: Buffer; readonly tls: boolean },
    host: UpstreamCancelHost,
  ): UpstreamLogin
  /** Warm-up of parsers; called once before the first connection. */
  prepare(): Promise<void>
  readonly users: UserMaker
}

/** What a short-lived database user is to be. */
export interface NewUser {
  readonly memberOf: readonly string[]
  /** Marks it in the database, so that none is dropped that is somebody else's. */
  readonly grant: string
  /** How long it may log in. Milliseconds. */
  readonly lifeMs: number
  /** Connections that it may have at once. */
  readonly connections: number
}

/** Makes and drops database users on a connection of the gateway's own. */
export interface UserMaker {
  /** A name that nobody has, and a password, which no statement holds. */
  invent(prefix: string, randomBytes: (size: number) => Buffer): UpstreamCredential
  /** Rejects with VGATE_UPSTREAM_FAILED, naming the privilege that lacks. */
  create(
    query: SideQuery,
    credential: UpstreamCredential,
    user: NewUser,
    randomBytes: (size: number) => Buffer,
  ): Promise<void>
  /**
   * Ends its connections, gives what it owns to `heir`, and drops it. Does nothing where there is none of this name and
   * mark. Rejects with VGATE_UPSTREAM_FAILED; then it cannot log in any more, where that could be done.
   */
  drop(
    query: SideQuery,
    user: { readonly name: string; readonly grant: string; readonly heir: string },
  ): Promise<void>
}

export type { JsonValue, RecordLevel }
