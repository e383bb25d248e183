"""The HTML page: what was gathered from the tables, in sections of blocks, in words; ``rendering`` puts them together."""
