"""``churnwatch init``: read the files of an unknown log, guess what its columns are, propose a domain folder with reasons."""

from churnwatch.begin.domain_files import Domain, config_text, file_texts
from churnwatch.begin.init_summary import summary_lines
from churnwatch.begin.proposal import propose_domain

__all__ = ["Domain", "config_text", "file_texts", "propose_domain", "summary_lines"]
