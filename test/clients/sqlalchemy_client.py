# Owns what an application on SQLAlchemy does: tables made, reflected, mapped, written and read, in both drivers' ways.

import sqlalchemy as sa
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
from transcript import tell


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    mentor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("author.id"))
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"), index=True)
    title: Mapped[str]
    meta: Mapped[dict] = mapped_column(JSONB)
    embedding = mapped_column(Vector(4))
    author: Mapped[Author] = relationship(back_populates="books")


class Chapter(Base):
    __tablename__ = "chapter"
    book_id: Mapped[int] = mapped_column(sa.ForeignKey("book.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


engine = sa.create_engine("postgresql+psycopg://", pool_size=2)
# What a migration does: tables that refer to each other, rows and changes to them, in one transaction.
with engine.connect() as conn:
    Base.metadata.create_all(conn)
    author = conn.execute(insert(Author).values(name="first").returning(Author.id)).scalar()
    with conn.begin_nested() as savepoint:
        conn.exec_driver_sql("ALTER TABLE book ADD COLUMN pages int DEFAULT 100")
        conn.exec_driver_sql("CREATE VIEW thick AS SELECT title, pages FROM book WHERE pages > 10")
        conn.execute(insert(Book).values(author_id=author, title="one", meta={}))
        tell("thick", conn.exec_driver_sql("SELECT * FROM thick").all())
        savepoint.rollback()
    tell("books", conn.execute(sa.select(sa.func.count(Book.id))).scalar())
    tell("thick is gone", sa.inspect(conn).has_table("thick"))
    conn.rollback()
tell("undone", sa.inspect(engine).has_table("author"))
Base.metadata.create_all(engine)
Base.metadata.create_all(engine)  # is there already: looked up, not made
look = sa.inspect(engine)
tell("tables", sorted(look.get_table_names()))
for table in ("author", "book"):
    tell("columns", [[c["name"], str(c["type"]), c["nullable"]] for c in look.get_columns(table)])
    tell("keys", [look.get_pk_constraint(table), look.get_foreign_keys(table), look.get_unique_constraints(table)])
    tell("indexes", sorted(i["name"] for i in look.get_indexes(table)))

with Session(engine) as session:
    for a in range(3):
        session.add(Author(name=f"author {a}", books=[Book(title=f"book {a}.{b}", meta={"n": b}, embedding=[a, b, 0, 1]) for b in range(4)]))
    session.commit()
    nearest = sa.select(Book).order_by(Book.embedding.cosine_distance([1, 1, 0, 1]), Book.id).limit(3)
    tell("nearest", [b.title for b in session.scalars(nearest)])
    authors = session.scalars(sa.select(Author).options(selectinload(Author.books)).order_by(Author.id)).all()
    tell("authors", [[a.name, [b.title for b in a.books]] for a in authors])
    authors[0].books[0].title = "another"
    authors[1].books.pop()
    session.delete(authors[2])
    session.commit()
    tell("left", session.execute(sa.select(Author.name, sa.func.count(Book.id)).join(Book).group_by(Author.name).order_by(Author.name)).all())
    session.add(Author(name="author 0"))
    try:
        session.flush()
    except sa.exc.IntegrityError as error:
        tell("twice", [error.orig.sqlstate, error.orig.diag.constraint_name])
    session.rollback()

with engine.begin() as conn:
    upsert = insert(Author).values([{"name": "author 0"}, {"name": "author 9"}])
    tell("upsert", conn.execute(upsert.on_conflict_do_nothing(index_elements=["name"])).rowcount)
    tell("json", conn.execute(sa.select(Book.title).where(Book.meta["n"].as_integer() == 1).order_by(Book.title)).all())
with engine.connect().execution_options(stream_results=True, yield_per=5) as conn:
    tell("streamed", [len(part) for part in conn.execute(sa.select(sa.column("id")).select_from(sa.table("docs"))).partitions()])
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
    tell("auto", conn.exec_driver_sql("SELECT count(*) FROM book").scalar())

staging = sa.Table("staging", sa.MetaData(), sa.Column("name", sa.String, primary_key=True), prefixes=["TEMPORARY"], postgresql_on_commit="DROP")
with engine.begin() as conn:
    staging.create(conn)
    tell("has", sa.inspect(conn).has_table("staging"))
    conn.execute(sa.insert(staging), [{"name": f"author {n}"} for n in range(7, 12)])
    moved = insert(Author).from_select(["name"], sa.select(staging.c.name)).on_conflict_do_nothing(index_elements=["name"])
    tell("moved", conn.execute(moved.returning(Author.name)).all())
with engine.begin() as conn:
    tell("has none", sa.inspect(conn).has_table("staging"))
    tell("temporary", sa.inspect(conn).get_temp_table_names())

reflected = sa.MetaData()
reflected.reflect(engine, only=["docs", "notes"])
tell("reflected", {t.name: [str(c.type) for c in t.columns] for t in reflected.sorted_tables})
Base.metadata.drop_all(engine)
tell("gone", sa.inspect(engine).has_table("book"))
