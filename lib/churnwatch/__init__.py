"""churnwatch: early warning of user churn on Spark and Delta, and proof of what retention work brings.

>>> import churnwatch
>>> warehouse = churnwatch.open("conf/local.yaml")  # reads and checks the configuration; Spark starts with the first frame
>>> warehouse.plan("2025-10-01").job[0]
'ingest_events'
"""

from churnwatch.warehouse import Warehouse, open

__all__ = ["Warehouse", "open"]
