"""People's rights: explain what is stored about a user and why, and erase it."""

from churnwatch.rights.erasure import Erasure, Found, read_requests, verify
from churnwatch.rights.explanation import About, explain, to_json, to_lines

__all__ = ["About", "Erasure", "Found", "explain", "read_requests", "to_json", "to_lines", "verify"]
