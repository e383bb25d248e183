"""Spark settings of the tests, each with its reason."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# processes that live for a minute: compiling well costs more than it brings; a whole run of the tests lives for long
SHORT_LIVED = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
TEST_SPARK = {
    "spark.master": "local[2]",
    "spark.driver.memory": "3g",
    # a collector without threads of its own beside the work, and room for all that is compiled: a fifth of the CPU
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:ReservedCodeCacheSize=512m",
    "spark.jars": ",".join(str(jar) for jar in sorted((ROOT / ".jars").glob("*.jar"))),
    "spark.ui.enabled": "false",  # a port a session, and seconds at start
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "1",  # a task costs more than the rows of a test
    "spark.default.parallelism": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.properties.defaults.checkpointInterval": "50",  # a checkpoint is a Spark job
    "spark.buffer.pageSize": "1m",  # else every sort and sum of a few rows clears a page of 32 MB
    "spark.sql.adaptive.enabled": "false",  # plans of one partition have nothing to adapt
    "spark.sql.codegen.wholeStage": "false",  # compiling costs more than the rows of a test
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",  # in projections too: 15 % of the CPU
    # a commit of Delta is one rename; with checksum files two, and for each a process that looks for links, there and back
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
}
