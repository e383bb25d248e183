"""A beginning for a stranger's log: looks at its files, guesses what is what, proposes a domain folder with reasons."""

from churnwatch.begin.starting import begun
from churnwatch.begin.telling import summary
from churnwatch.begin.writing import Domain, files, where

__all__ = ["Domain", "begun", "files", "summary", "where"]
