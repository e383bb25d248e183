"""churnwatch: early warning of user churn on Spark and Delta, and proof of what retention work brings."""
