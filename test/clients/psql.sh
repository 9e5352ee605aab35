# Owns what people type into psql: its descriptions of everything, variables, copies, scripts, errors, results in parts.
set -u
p() { psql -X --no-align --tuples-only "$@" 2>&1 || echo "ended with $?"; }

for what in d d+ 'd docs' 'd+ notes' 'd counted' 'd docs_embedding' di dt+ dv ds dn du dx dT dy dd 'df cosine_distance' 'do <=>' dp dC dL dO; do
  echo "== \\$what"
  p -c "\\$what"
done
echo '== list' && p -c '\l' | cut -d'|' -f2-3 | sort -u
echo '== function' && p -c '\sf vector_dims' -c '\sv pg_catalog.pg_views' -c '\ef' </dev/null | head -3
echo '== a table, and a wide one'
psql -X -c 'SELECT id, title, embedding FROM docs ORDER BY id LIMIT 3' -c '\x on' -c 'TABLE docs LIMIT 1'
echo '== a script'
p -v ON_ERROR_STOP=0 <<'SQL'
\set n 3
SELECT :n + 1, :'n';
SELECT title AS "here" FROM docs WHERE id = 2 \gset
\echo got :here
SELECT id, title FROM docs WHERE id < 4 ORDER BY id \g (format=csv)
SELECT $1::int + $2::int \bind 4 5 \g
SELECT id, id % 2 AS odd, id % 3 AS part FROM docs WHERE id < 6 ORDER BY id \crosstabview id odd part
SELECT format('SELECT %s', n) FROM generate_series(1, 3) n \gexec
SELECT 1 AS one, 'x' AS two \gdesc
\if :{?n}
BEGIN;
INSERT INTO notes VALUES (1, 'one');
SAVEPOINT s;
INSERT INTO notes VALUES (1, 'twice');
ROLLBACK TO s;
SELECT nothing FROM notes;
SELECT 1;
ROLLBACK;
\endif
SELEC 1;
SELECT * FROM docs WHERE nope = 1;
INSERT INTO notes SELECT n, 'n' || n FROM generate_series(1, 50) n;
\set FETCH_COUNT 7
SELECT id FROM notes ORDER BY id LIMIT 20;
\unset FETCH_COUNT
\copy notes (id, body) FROM STDIN WITH (FORMAT csv)
100,"a, b"
101,c
\.
\copy (SELECT * FROM notes WHERE id >= 100 ORDER BY id) TO STDOUT
COPY notes FROM STDIN;
102	tab\tbed
\.
SELECT count(*), sum(id) FROM notes;
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1 / 0;
SELECT 'still here';
COMMIT;
EXPLAIN (COSTS OFF) SELECT * FROM notes WHERE id = 5;
DROP TABLE IF EXISTS nothing_here;
CREATE TEMP TABLE own AS SELECT id, body FROM notes WHERE id < 4;
INSERT INTO own VALUES (7, 'mine') RETURNING *;
\copy own TO STDOUT
CREATE INDEX ON own (id);
SELECT count(*) FROM own JOIN notes USING (id);
DROP TABLE own;
\encoding
\timing
SQL
echo '== one transaction' && p --single-transaction -c 'DELETE FROM notes WHERE id = 1' -c 'SELECT count(*) FROM notes'
