"""What happens after training: plays and items that a service is told of, kept durably.

protocol    what a store does
sqlite      in a file, for one machine
postgres    in PostgreSQL, shared by many services
opening     the store of a path or URL
"""

from antiphon.live.opening import open_live
from antiphon.live.protocol import AddedItem, LiveEvent, LiveEvents, LiveStore, Shelved

__all__ = ["AddedItem", "LiveEvent", "LiveEvents", "LiveStore", "Shelved", "open_live"]
