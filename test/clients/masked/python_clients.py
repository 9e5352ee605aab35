# Owns reading what a role sees masked with psycopg (text and binary), asyncpg (binary) and SQLAlchemy: their own types.

import asyncio
import os
import re
import sys
from pathlib import Path

import asyncpg
import psycopg
import sqlalchemy as sa
from pgvector.psycopg import register_vector

sys.path.insert(0, str(Path(__file__).parent.parent))
from transcript import tell  # noqa: E402

source = (Path(__file__).parent / "queries.mjs").read_text()
QUERIES = [first or second for first, second in re.findall(r"^  (?:'(.*)'|\"(.*)\"),$", source, re.M)]

conn = psycopg.connect(autocommit=True)
register_vector(conn)
for binary in (False, True):
    for text in QUERIES:
        tell(f"psycopg binary={binary} {text}", conn.execute(text, binary=binary).fetchall())
with conn.transaction(), conn.cursor(name="c", binary=True) as cursor:
    cursor.execute(QUERIES[0])
    tell("psycopg, cursor", [cursor.fetchmany(2), cursor.fetchall()])
conn.close()


async def with_asyncpg():
    conn = await asyncpg.connect(ssl=False)
    await conn.set_type_codec("vector", encoder=str, decoder=str, schema="public", format="text")
    for text in QUERIES:
        tell(f"asyncpg {text}", [tuple(row) for row in await conn.fetch(text)])
    async with conn.transaction():
        tell("asyncpg, cursor", [tuple(row) async for row in conn.cursor(QUERIES[0], prefetch=2)])
    await conn.close()


asyncio.run(with_asyncpg())
url = sa.URL.create(
    "postgresql+psycopg",
    os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGHOST"], int(os.environ["PGPORT"]), os.environ["PGDATABASE"],
)
engine = sa.create_engine(url)
people = sa.Table("people", sa.MetaData(), autoload_with=engine)
with engine.connect() as connection:
    tell("sqlalchemy", [tuple(row) for row in connection.execute(sa.select(people).order_by(people.c.id))])
