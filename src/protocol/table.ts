// Owns the types that a database's own file (databases/<name>.ts) fills in for its wire family. The only door
// between `databases` and `protocol`.

/** What makes a product out of plain PostgreSQL: the types, operators, functions and settings of its extension. */
export interface PostgresProduct {
  /** Types that hold embeddings, e.g. `vector`. */
  readonly vectorTypes: readonly string[]
  /** Types of pg_catalog that hold embeddings, with their OIDs. */
  readonly builtInVectorTypes: Readonly<Record<string, number>>
  /** Distance operators between two embeddings and their metric. */
  readonly distanceOperators: Readonly<Record<string, 'cosine' | 'l2' | 'l1' | 'inner' | 'other'>>
  /** Functions that compute the same. */
  readonly distanceFunctions: Readonly<Record<string, 'cosine' | 'l2' | 'l1' | 'inner' | 'other'>>
  /** Functions that make an embedding of an embedding, so that a distance to it is one to the column. */
  readonly embeddingFunctions: readonly string[]
  /** Extensions whose functions may be called. */
  readonly extensions: readonly string[]
  /** Settings beyond PostgreSQL's own allow-list (security.md rule 3): exact names, lower case. */
  readonly settings: readonly string[]
}
