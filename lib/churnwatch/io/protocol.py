"""The protocol of a warehouse: what writers of it must agree on, as a number that ``job_runs`` carries as a table property.

Raise PROTOCOL when an older version of this package would harm what this one writes, or this one what an older one writes.
1: no property; runs renew their rows in job_runs. 2: runs have leases with heartbeats; the status ``aborted``.
"""

from collections.abc import Mapping

from churnwatch.core import ConfigError

PROTOCOL = 2
PROPERTY = "churnwatch.protocol"


def stored_protocol(properties: Mapping[str, str]) -> int:
    """The protocol of a warehouse, from the properties of job_runs."""
    return int(properties.get(PROPERTY, "1"))


def check_protocol(properties: Mapping[str, str]) -> None:
    """Raise ConfigError when the warehouse has another protocol than this version writes."""
    stored = stored_protocol(properties)
    if stored > PROTOCOL:
        raise ConfigError(
            f"the warehouse has protocol {stored}, this version of churnwatch writes protocol {PROTOCOL}, nothing was written\n"
            "Hint: install the version that migrated the warehouse, or roll back with that version: churnwatch migrate --undo"
        )
    if stored < PROTOCOL:
        raise ConfigError(
            f"the warehouse has protocol {stored}, this version of churnwatch writes protocol {PROTOCOL}, nothing was written\n"
            "Hint: end the runs of the older version, then: churnwatch migrate"
        )
