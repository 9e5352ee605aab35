// Owns what clients ask of the table of people: columns as they stand, and what is made of them.

/** Each column keeps its mask. */
export const PARTS = [
  'SELECT * FROM people ORDER BY id',
  'SELECT p.email AS a, salary, (SELECT name FROM people q WHERE q.id = p.id) FROM people p ORDER BY id',
  "SELECT id, meta->>'phone' AS phone, meta->>'city' AS city, meta FROM people ORDER BY id",
]
/** Made of masked text alone: the same as of `[masked]`, but for NULL, which is hidden. */
export const WHOLES = [
  "SELECT id, lower(email) AS l, COALESCE(email, '[masked]') AS c FROM people WHERE id < 5 ORDER BY id",
  'SELECT id, CASE WHEN id > 1 THEN email ELSE email END AS e FROM people WHERE id < 5 ORDER BY id',
]
