"""Everything that touches the world: the Spark session, Delta, MLflow, raw sources, senders, pages."""
