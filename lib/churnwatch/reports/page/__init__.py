"""The HTML page of a day: ``facts`` collects its numbers, each section is built from them, ``rendering`` puts them together."""
