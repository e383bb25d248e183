"""Reads the figures of the data sets' READMEs."""

from datetime import date


def numbers(text):
    """'YYYY-MM: n n n' lines as a triangle."""
    lines = (line.split(":") for line in text.strip().splitlines())
    return {cohort.strip(): [int(n) for n in found.split()] for cohort, found in lines}


def days(*texts):
    """ISO dates."""
    return [date.fromisoformat(text) for text in texts]
