"""Random numbers as hashes: equal for the same key and salt on every run, cluster and language."""

from pyspark.sql import Column
from pyspark.sql import functions as F

DIGITS = 13  # hexadecimal digits of the MD5: 52 bits, all of a double's


def share_of(key: Column, salt: str) -> Column:
    """A number in [0, 1), uniform over keys: the first 52 bits of md5(salt + ':' + key)."""
    digest = F.md5(F.concat(F.lit(f"{salt}:"), key.cast("string")))
    return F.conv(F.substring(digest, 1, DIGITS), 16, 10).cast("double") / F.lit(float(16**DIGITS))
