# Owns what psycopg 3 does in applications: parameters both ways, prepared statements, batches, pipelines, COPY,
# cursors of the server, transactions, errors, notices.

import datetime
import decimal
import uuid

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Jsonb
from transcript import attempt, failure, tell

conn = psycopg.connect(autocommit=True)
notices = []
conn.add_notice_handler(lambda diag: notices.append([diag.severity, diag.sqlstate, diag.message_primary]))
tell("server", [conn.info.server_version, conn.info.encoding, conn.info.parameter_status("DateStyle")])
tell("status", str(conn.info.transaction_status))

# Values, bound and literal, text and binary.
VALUES = [
    42, 2**40, 2**70, 1.5, decimal.Decimal("3.14"), True, None, "O'Reilly \\ ü", b"\x00\xff",
    datetime.date(2026, 3, 1), datetime.datetime(2026, 3, 1, 12, 0, 0, 5), datetime.timedelta(days=1, seconds=2),
    uuid.UUID(int=7), [1, 2, 3], ["a", None, 'b"c'], Jsonb({"k": [1, {"x": None}]}),
]
for binary in (False, True):
    with conn.cursor(binary=binary) as cur:
        for value in VALUES:
            attempt(f"value {value!r} binary={binary}", lambda: cur.execute("SELECT %s", [value]).fetchone()[0], psycopg.Error)
        cur.execute("SELECT id, title, embedding FROM docs WHERE id = %s", [1])
        tell("columns", [(c.name, c.internal_size) for c in cur.description])
        tell("row", cur.fetchone())
        tell("message", cur.statusmessage)

# Statements that are prepared at once, at the fifth time, never.
for threshold in (0, 5, None):
    conn.prepare_threshold = threshold
    tell(f"prepared {threshold}", [conn.execute("SELECT title FROM docs WHERE id = %s", [n]).fetchone() for n in range(1, 8)])
conn.prepare_threshold = 5

register_vector(conn)
with conn.cursor(row_factory=dict_row) as cur:
    cur.execute("SELECT id, embedding <=> %s::vector AS d FROM docs ORDER BY d, id LIMIT 3", ["[0.1,0.2,0.3,0.4]"])
    tell("nearest", cur.fetchall())
with conn.cursor(row_factory=namedtuple_row) as cur:
    tell("named", [r.title for r in cur.execute("SELECT id, title FROM docs ORDER BY id LIMIT 3")])

# Batches, which psycopg sends as a pipeline.
with conn.cursor() as cur:
    cur.executemany("INSERT INTO notes(id, body) VALUES (%s, %s)", [(n, f"n{n}") for n in range(100, 130)])
    tell("many", cur.rowcount)
    cur.executemany("UPDATE notes SET body = %s WHERE id = %s RETURNING id, body", [(f"m{n}", n) for n in range(100, 104)], returning=True)
    tell("returned", [s.fetchall() for s in cur.results()])

# A pipeline with an error in the middle.
try:
    with conn.pipeline() as pipe:
        one = conn.execute("SELECT 1")
        conn.execute("INSERT INTO notes(id, body) VALUES (200, 'in a pipeline')")
        pipe.sync()
        conn.execute("INSERT INTO notes(id, body) VALUES (201, 'lost')")
        conn.execute("SELECT nothing FROM nowhere")
        conn.execute("INSERT INTO notes(id, body) VALUES (202, 'never')")
except psycopg.Error as error:
    tell("pipeline", failure(error))
tell("one", one.fetchone())
tell("behind", conn.execute("SELECT id, body FROM notes WHERE id >= 200 ORDER BY id").fetchall())

# Transactions and savepoints.
try:
    with conn.transaction():
        conn.execute("INSERT INTO notes(id, body) VALUES (300, 'kept')")
        try:
            with conn.transaction():
                conn.execute("INSERT INTO notes(id, body) VALUES (301, 'gone')")
                conn.execute("INSERT INTO notes(id, body) VALUES (300, 'twice')")
        except psycopg.errors.UniqueViolation as error:
            tell("inside", failure(error))
        tell("status", str(conn.info.transaction_status))
        with conn.transaction(force_rollback=True):
            conn.execute("DELETE FROM notes WHERE id = 300")
        conn.execute("INSERT INTO notes(id, body) VALUES (302, 'kept too')")
finally:
    tell("kept", conn.execute("SELECT id FROM notes WHERE id >= 300 ORDER BY id").fetchall())
conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
with conn.transaction():
    tell("isolation", conn.execute("SHOW transaction_isolation").fetchone())
conn.isolation_level = None
conn.read_only = True
with conn.transaction():
    attempt("read only", lambda: conn.execute("DELETE FROM notes").rowcount, psycopg.Error)
conn.read_only = None

# A connection that is in a failed transaction says so, and is usable after rollback.
conn.autocommit = False
attempt("syntax", lambda: conn.execute("SELEC 1"), psycopg.Error)
attempt("failed", lambda: conn.execute("SELECT 1"), psycopg.Error)
conn.rollback()
tell("after", conn.execute("SELECT 1").fetchone())
conn.rollback()
conn.autocommit = True

# COPY, text and binary, both ways, and one that is given up.
with conn.cursor() as cur:
    with cur.copy("COPY notes (id, body) FROM STDIN") as copy:
        for n in range(400, 450):
            copy.write_row((n, f"tab\t{n}\nline \\N"))
    tell("copied", cur.rowcount)
    with cur.copy("COPY notes (id, body) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "text"])
        for n in range(450, 460):
            copy.write_row((n, None if n == 455 else f"b{n}"))
    tell("copied binary", cur.rowcount)
    try:
        with cur.copy("COPY notes (id, body) FROM STDIN (FORMAT csv)") as copy:
            copy.write("470,x\n")
            raise RuntimeError("given up")
    except RuntimeError as error:
        tell("given up", str(error))
    for how in ("text", "csv", "binary"):
        with cur.copy(f"COPY (SELECT id, body FROM notes WHERE id BETWEEN 448 AND 456 ORDER BY id) TO STDOUT (FORMAT {how})") as copy:
            tell(f"out {how}", [bytes(part) for part in copy])
    attempt("bad copy", lambda: cur.copy("COPY notes (id, nothing) FROM STDIN").__enter__(), psycopg.Error)

# Cursors of the server: forward, scrolled, with hold.
with conn.transaction():
    with conn.cursor("forward") as cur:
        cur.itersize = 7
        cur.execute("SELECT id FROM notes WHERE id BETWEEN %s AND %s ORDER BY id", [100, 120])
        tell("iterated", [r[0] for r in cur])
    with conn.cursor("scrolled", scrollable=True) as cur:
        cur.execute("SELECT id FROM notes WHERE id BETWEEN 100 AND 129 ORDER BY id")
        tell("first", cur.fetchmany(3))
        cur.scroll(5)
        tell("then", cur.fetchone())
        cur.scroll(0, mode="absolute")
        tell("again", cur.fetchmany(2))
        tell("rest", len(cur.fetchall()))
with conn.cursor("held", withhold=True) as cur:
    cur.execute("SELECT id FROM notes WHERE id BETWEEN 100 AND 129 ORDER BY id")
    tell("held", cur.fetchmany(4))
    conn.execute("UPDATE notes SET body = 'after' WHERE id = 100")
    tell("held on", [r[0] for r in cur])

# Rows as they come, several statements at once, notices, cancel of what is not there.
tell("stream", [r for r in conn.cursor().stream("SELECT generate_series(1, 5)")])
with conn.cursor() as cur:
    cur.execute("SELECT 1; SELECT 2, 'b'; UPDATE notes SET body = 'x' WHERE id = 100")
    tell("several", [[s.statusmessage, s.rowcount] for s in cur.results()])
conn.execute("DROP TABLE IF EXISTS nothing_here")
tell("notices", notices)
tell("empty", conn.execute("").statusmessage)
with psycopg.ClientCursor(conn) as cur:
    tell("client side", cur.execute("SELECT id, title FROM docs WHERE title = %s OR id = %s ORDER BY id", ["O'Reilly", 2]).fetchall())

# Rows in bulk by way of a temporary table, in one transaction and again.
for count in (3, 2):
    with conn.transaction(), conn.cursor() as cur:
        cur.execute("CREATE TEMP TABLE incoming (LIKE notes INCLUDING DEFAULTS) ON COMMIT DROP")
        with cur.copy("COPY incoming (id, body) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(count):
                copy.write_row((100 + n, f"upserted {count}"))
        cur.executemany("INSERT INTO incoming VALUES (%s, %s)", [(n, "also") for n in range(900, 900 + count)])
        cur.execute("INSERT INTO notes SELECT * FROM incoming ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING id")
        tell("upserted", sorted(r[0] for r in cur.fetchall()))
attempt("gone", lambda: conn.execute("SELECT * FROM incoming"), psycopg.Error)
with conn.pipeline():
    conn.execute("CREATE TEMP TABLE kept AS SELECT id, body FROM notes WHERE id >= 900")
    kept = conn.execute("SELECT count(*), max(body) FROM kept WHERE id < %s", [902])
    conn.execute("TRUNCATE kept")
tell("kept", [kept.fetchone(), conn.execute("SELECT count(*) FROM pg_temp.kept").fetchone()])
conn.close()

with psycopg.connect() as again:
    with again.cursor() as cur:
        tell("two-phase off", str(again.info.transaction_status))
        tell("count", cur.execute("SELECT count(*), min(id), max(id) FROM notes").fetchone())
