"""Search for the best candidates by inner product: one protocol, several engines.

    numpy_scan     exact, needs nothing else
    faiss_scan     exact, from vectors at half the size
    graph          approximate, for millions; its neighbours found by `faiss_graph`, or in a
                   database by `pgvector` or `milvus`

`filters` and `where` say what may be listed, `spread` how often one value may, `recall` what an
approximate engine misses, `folder` opens what the index stage wrote.
"""

from antiphon.indexes.filters import Filter
from antiphon.indexes.folder import open_index
from antiphon.indexes.lists import merge_top_k
from antiphon.indexes.numpy_scan import NumpyScan
from antiphon.indexes.protocol import Index
from antiphon.indexes.spread import Limit, spread, top_k_spread
from antiphon.indexes.where import Picked, Where
from antiphon.scan import TopK

__all__ = [
    "Filter",
    "Index",
    "Limit",
    "NumpyScan",
    "Picked",
    "TopK",
    "Where",
    "merge_top_k",
    "open_index",
    "spread",
    "top_k_spread",
]
