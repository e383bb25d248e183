"""Build features per user and day from daily activity, months, users and context series."""

from churnwatch.features.context import with_context
from churnwatch.features.users import per_user

__all__ = ["per_user", "with_context"]
