"""Embeddings kept in Milvus, where ClickHouse holds the vector's id alone. Optional: `chctl[milvus]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chctl.settings import Settings

if TYPE_CHECKING:
    from feeders.analysis.pipeline import Vectors


class MilvusVectors:
    """A collection of Milvus or of Milvus Lite (a file). A text's hash is its id: a repetition replaces itself."""

    def __init__(self, uri: str, dimensions: int, *, collection: str = "social_embeddings", token: str = "") -> None:
        from pymilvus import MilvusClient  # an optional extra, and slow to load

        self._client = MilvusClient(uri, token=token)
        self._collection = collection
        if not self._client.has_collection(collection):
            self._client.create_collection(
                collection, dimension=dimensions, id_type="string", max_length=16, metric_type="COSINE"
            )

    def put(self, vectors: Mapping[int, list[float]]) -> dict[int, str]:
        """Store vectors by text hash; the id of each: 16 hex digits."""
        ids = {key: f"{key:016x}" for key in vectors}
        self._client.upsert(self._collection, [{"id": ids[k], "vector": v} for k, v in vectors.items()])
        return ids

    def nearest(self, vector: list[float], limit: int = 10) -> list[tuple[str, float]]:
        """(id, cosine similarity) of the nearest texts, nearest first."""
        (hits,) = self._client.search(self._collection, [vector], limit=limit)
        return [(hit["id"], hit["distance"]) for hit in hits]

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def open_milvus(s: Settings) -> Vectors | None:
    """The vector store that the settings name; None keeps vectors in ClickHouse."""
    if not s.milvus_uri:
        return None
    try:
        return MilvusVectors(s.milvus_uri, s.social_embedding_dimensions, token=s.milvus_token.get_secret_value())
    except ImportError:
        raise RuntimeError("CHCTL_MILVUS_URI is set, but pymilvus is missing: pip install 'chctl[milvus]'") from None
