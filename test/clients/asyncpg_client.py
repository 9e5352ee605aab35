# Owns what asyncpg does in applications: its own binary types, named statements, portals read in parts, COPY of
# records, pools that reset their connections.

import asyncio
import datetime
import os

import asyncpg
from transcript import failure, tell


async def told(what, awaitable):
    try:
        tell(what, await awaitable)
    except asyncpg.PostgresError as error:
        tell(what, failure(error))


async def values(conn):
    for sql, args in [
        ("SELECT $1::int4 + 1", [41]),
        ("SELECT $1::text || 'x'", ["ü"]),
        ("SELECT $1::timestamptz", [datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc)]),
        ("SELECT $1::int[]", [[1, None, 3]]),
        ("SELECT $1::jsonb -> 'k'", ['{"k": 5}']),
        ("SELECT $1::numeric / 3", [10]),
        ("SELECT ROW(1, 'a', NULL)", []),
        ("SELECT int4range(1, 5), '10.0.0.1'::inet, B'101'", []),
    ]:
        await told(sql, conn.fetchval(sql, *args))


async def main():
    conn = await asyncpg.connect(ssl=False)
    tell("version", list(conn.get_server_version())[:1])
    await values(conn)
    await conn.set_type_codec("vector", encoder=str, decoder=str, schema="public", format="text")
    rows = await conn.fetch("SELECT id, title, embedding FROM docs ORDER BY embedding <=> $1::vector, id LIMIT 3", "[0.1,0.2,0.3,0.4]")
    tell("nearest", [dict(r) for r in rows])

    prepared = await conn.prepare("SELECT title FROM docs WHERE id = $1")
    tell("parameters", [t.name for t in prepared.get_parameters()])
    tell("attributes", [[a.name, a.type.name] for a in prepared.get_attributes()])
    tell("prepared", [await prepared.fetchval(n) for n in range(1, 5)])

    await conn.executemany("INSERT INTO notes(id, body) VALUES ($1, $2)", [(n, f"a{n}") for n in range(500, 550)])
    async with conn.transaction():
        seen = []
        async for row in conn.cursor("SELECT id FROM notes WHERE id >= 500 ORDER BY id", prefetch=7):
            seen.append(row["id"])
        tell("cursor", seen)
        cursor = await conn.cursor("SELECT id FROM notes WHERE id >= 500 ORDER BY id")
        tell("part", [r["id"] for r in await cursor.fetch(3)])
        tell("skipped", await cursor.forward(10))
        tell("part", [r["id"] for r in await cursor.fetch(2)])
    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO notes(id, body) VALUES (600, 'x')")
            async with conn.transaction():
                await conn.execute("INSERT INTO notes(id, body) VALUES (600, 'twice')")
    except asyncpg.UniqueViolationError as error:
        tell("savepoint", failure(error))
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await told("read only", conn.execute("DELETE FROM notes"))

    tell("copied", await conn.copy_records_to_table("notes", records=[(n, f"c{n}") for n in range(700, 720)], columns=["id", "body"]))
    out = bytearray()

    async def keep(data):
        out.extend(data)

    tell("copied out", await conn.copy_from_query("SELECT id, body FROM notes WHERE id BETWEEN $1 AND $2 ORDER BY id", 700, 703, output=keep, format="csv"))
    tell("bytes", bytes(out))
    tell("status", await conn.execute("UPDATE notes SET body = 'z' WHERE id BETWEEN 700 AND 705"))
    await told("syntax", conn.fetch("SELECT FROM WHERE"))
    await told("missing", conn.fetch("SELECT * FROM nowhere"))
    await told("division", conn.fetchval("SELECT 1 / $1::int", 0))
    await told("script", conn.execute("INSERT INTO notes(id, body) VALUES (800, 's'); SELECT 1; DELETE FROM notes WHERE id = 800"))
    await conn.close()

    async with asyncpg.create_pool(ssl=False, min_size=1, max_size=3) as pool:
        async def one(n):
            async with pool.acquire() as held:
                return await held.fetchval("SELECT title FROM docs WHERE id = $1", n)
        tell("pool", await asyncio.gather(*(one(n % 5 + 1) for n in range(20))))


asyncio.run(main())
