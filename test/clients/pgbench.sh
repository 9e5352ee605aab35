# Owns what pgbench does: its tables, its three ways to send queries, its scripts, by one seed each.
set -eu
pgbench --quiet --initialize --scale=1 2>/dev/null
for mode in simple extended prepared; do
  pgbench --no-vacuum --client=1 --transactions=40 --random-seed=7 --protocol=$mode 2>&1 | grep processed
  pgbench --no-vacuum --client=1 --transactions=40 --random-seed=8 --protocol=$mode --builtin=simple-update 2>&1 | grep processed
  pgbench --no-vacuum --client=3 --transactions=30 --random-seed=9 --protocol=$mode --select-only 2>&1 | grep processed
done
pgbench --no-vacuum --client=1 --transactions=30 --random-seed=7 --protocol=prepared --file=/dev/stdin 2>&1 <<'SQL' | grep processed
\set a random(1, 1000)
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :a;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :a;
SELECT abalance FROM pgbench_accounts WHERE aid = :a;
\endpipeline
SQL
psql -X --no-align --tuples-only \
  -c 'SELECT count(*), sum(abalance), sum(aid::bigint * abalance) FROM pgbench_accounts' \
  -c 'SELECT count(*), sum(delta) FROM pgbench_history' -c 'SELECT * FROM pgbench_branches' -c 'SELECT sum(tbalance) FROM pgbench_tellers'
