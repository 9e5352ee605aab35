// Owns the words in which data plane and control plane speak of budgets. Both sides say how things are, never how they
// changed, so that a message that is lost or comes twice does no harm.

/** One data plane's part of what one person may take on one target. */
export interface BudgetLease {
  /** What is counted. The same name is the same count, whatever limit and time a policy puts on it. */
  readonly counter: string
  /** Whose part: a random name of the data plane. */
  readonly holder: string
  /** Ascends with each message of the holder for the counter: one that comes late changes nothing. */
  readonly seq: number
  /** Taken by this holder altogether. */
  readonly taken: number
  /** Of what it holds already, what it cannot give back. */
  readonly keep: number
  /** What it wants to hold for what is to come; it is given as much as is left. */
  readonly hold: number
  readonly limit: number
  readonly perMs: number
}

/** How a count stands after a lease. */
export interface BudgetStanding {
  /** What the holder may take from now on without asking. */
  readonly hold: number
  /** Taken by anybody within the time. */
  readonly taken: number
  /** Held by other holders. */
  readonly others: number
  /** When the oldest that was taken stops counting. Milliseconds since the epoch. */
  readonly freesAt?: number
}
