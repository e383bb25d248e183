"""Sources -> canonical events: mapping, cleaning, rejects, de-duplication; users, consents and context as changes."""

from churnwatch.events.gates import gate
from churnwatch.events.ingest import classified, published, replaced

__all__ = ["classified", "gate", "published", "replaced"]
