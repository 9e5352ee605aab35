# Owns the quick start of LangChain's PGVector, as a writer, and as a reader of what is there. Its first start makes
# its tables in one transaction.

import sys
import warnings

warnings.simplefilter("ignore")  # about later versions of LangChain

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_postgres import PGVector
from transcript import tell

store = PGVector(
    embeddings=DeterministicFakeEmbedding(size=8),
    collection_name="pets",
    connection="postgresql+psycopg://",
    use_jsonb=True,
)
if "writer" in sys.argv:
    docs = [
        Document(page_content=f"there are {what} in the pond", metadata={"id": n, "topic": "animals" if n % 2 else "food"})
        for n, what in enumerate(["cats", "ducks", "apples", "frogs", "bread"])
    ]
    tell("added", store.add_documents(docs, ids=[f"pet-{n}" for n in range(len(docs))]))
    tell("replaced", store.add_documents([Document(page_content="there are swans", metadata={"id": 1, "topic": "animals"})], ids=["pet-1"]))
tell("similar", [d.page_content for d in store.similarity_search("there are ducks in the pond", k=3)])
tell("filtered", [d.page_content for d in store.similarity_search("ducks", k=3, filter={"topic": {"$eq": "food"}})])
tell("scored", [[d.page_content, round(score, 4)] for d, score in store.similarity_search_with_score("cats", k=2)])
tell("by id", [d.page_content for d in store.get_by_ids(["pet-0", "pet-4"])])
tell("varied", len(store.max_marginal_relevance_search("bread", k=2)))
retriever = store.as_retriever(search_kwargs={"k": 1})
tell("retrieved", [d.page_content for d in retriever.invoke("there are frogs in the pond")])
if "writer" in sys.argv:
    store.delete(ids=["pet-2"])
    tell("left", [d.page_content for d in store.get_by_ids(["pet-2", "pet-3"])])
