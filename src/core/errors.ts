// Owns the error table: one row a code, with the five faces that a refusal can have. Nothing else
// in the house chooses an exit code, an HTTP status, a gRPC status, an SQLSTATE or a close code.

export interface ErrorFaces {
  /** Exit code of the command line (product.md, "Exit codes"). */
  readonly exit: number
  readonly http: number
  /** gRPC status number. */
  readonly grpc: number
  /** PostgreSQL SQLSTATE. */
  readonly sqlstate: string
  /** WebSocket close code. */
  readonly close: number
}

const row = (
  exit: number,
  http: number,
  grpc: number,
  sqlstate: string,
  close: number,
): ErrorFaces => ({
  exit,
  http,
  grpc,
  sqlstate,
  close,
})

export const ERRORS = {
  VGATE_UNEXPECTED: row(1, 500, 13, 'XX000', 1011),
  VGATE_PORT_IN_USE: row(1, 409, 6, '55006', 4009),
  VGATE_ALREADY_CONNECTED: row(1, 409, 6, '55006', 4009),
  VGATE_NOT_CONNECTED: row(1, 404, 5, '08003', 4004),
  VGATE_DISK_FULL: row(1, 507, 8, '53100', 1011),
  VGATE_USAGE: row(2, 400, 3, '22023', 4000),
  VGATE_METHOD_UNKNOWN: row(2, 405, 12, '0A000', 4000),
  VGATE_TARGET_UNKNOWN: row(2, 404, 5, '3D000', 4004),
  VGATE_NOT_FOUND: row(2, 404, 5, '02000', 4004),
  VGATE_ANSWERED_NO: row(3, 400, 1, '57014', 4000),
  VGATE_LOGIN_REQUIRED: row(4, 401, 16, '28000', 4001),
  VGATE_TOKEN_EXPIRED: row(4, 401, 16, '28000', 4001),
  VGATE_TOKEN_INVALID: row(4, 401, 16, '28000', 4001),
  VGATE_PASSWORD_WRONG: row(4, 401, 16, '28P01', 4001),
  VGATE_DENIED: row(5, 403, 7, '42501', 4003),
  VGATE_OPERATION_UNKNOWN: row(5, 403, 7, '42501', 4003),
  VGATE_REVOKED: row(5, 403, 7, '57P01', 4003),
  VGATE_GRANT_ENDED: row(0, 403, 7, '57P01', 4003),
  VGATE_DATABASE_FOREIGN: row(5, 403, 7, '3D000', 4003),
  VGATE_CANCELLED: row(1, 409, 1, '57014', 4000),
  VGATE_APPROVAL_PENDING: row(6, 202, 9, '42501', 4002),
  VGATE_APPROVAL_DENIED: row(7, 403, 7, '42501', 4003),
  VGATE_APPROVAL_EXPIRED: row(7, 403, 7, '42501', 4003),
  VGATE_GATEWAY_UNREACHABLE: row(8, 502, 14, '08006', 1013),
  VGATE_VERSION_UNSUPPORTED: row(8, 426, 12, '0A000', 1002),
  VGATE_UPSTREAM_FAILED: row(9, 502, 14, '08001', 1013),
  VGATE_RECORDING_UNAVAILABLE: row(9, 503, 14, '58030', 1013),
  VGATE_STORE_UNAVAILABLE: row(9, 503, 14, '58030', 1013),
  VGATE_RECORDING_BROKEN: row(10, 409, 15, 'XX001', 1011),
  VGATE_CONFIG_INVALID: row(11, 400, 9, 'F0000', 1011),
  VGATE_LIMIT_EXCEEDED: row(12, 429, 8, '53400', 4029),
  VGATE_PROTOCOL_VIOLATION: row(1, 400, 3, '08P01', 1002),
} as const satisfies Record<string, ErrorFaces>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  readonly hint?: string
  readonly cause?: unknown
  readonly details?: Readonly<Record<string, string | number | boolean>>
}

/** An expected failure with a stable code. The message is lower case, names what was refused and why, and holds no secret. */
export class VgateError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly details: Readonly<Record<string, string | number | boolean>>

  constructor(code: ErrorCode, message: string, options: ErrorDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'VgateError'
    this.code = code
    this.hint = options.hint
    this.details = options.details ?? {}
  }

  get faces(): ErrorFaces {
    return ERRORS[this.code]
  }
}

/** True for a code of the table, for instance one that came over the wire. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

/** Anything thrown as an expected failure: itself where it is one, else `code` with `message`, and the thrown thing as its cause. */
export function asVgateError(
  error: unknown,
  message: string,
  code: ErrorCode = 'VGATE_UNEXPECTED',
): VgateError {
  return error instanceof VgateError ? error : new VgateError(code, message, { cause: error })
}
