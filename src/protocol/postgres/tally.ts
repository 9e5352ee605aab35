// Owns how much a portal has given, over every run of it: a cursor that is read in pieces is one read.

/** What one portal has given. */
export class Tally {
  /** Given to the client. */
  given = 0
  /** Of the rows that were given, as they were given. */
  bytes = 0
  /** May still come from what has been sent. */
  promised = 0

  get rows(): number {
    return this.given + this.promised
  }
}
