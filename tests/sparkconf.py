"""Spark settings of the tests, each with its reason."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# compiling well costs more than it brings: of 195 CPU seconds of flow/test_runner.py 148 are left without the second compiler
LITTLE_COMPILED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SHORT_LIVED = {"spark.driver.extraJavaOptions": LITTLE_COMPILED}  # processes that live for a minute
# settings that a test which reads plans takes back (fixture ``spark_defaults``)
SPARING = {
    # texts of plans, which nobody reads: built for each query, and long
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.debug.maxToStringFields": "1",
    "spark.sql.maxPlanStringLength": "200",
    # searches through plans that save reading, where a test's tables have one file
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    # Delta's checks of its own commits
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
    "spark.databricks.delta.commitValidation.enabled": "false",
}
TEST_SPARK = SPARING | {
    "spark.master": "local[1]",  # a run of the tests has a session a core
    "spark.driver.memory": "1500m",
    # a collector without threads of its own beside the work, and room for all that is compiled: a fifth of the CPU
    "spark.driver.extraJavaOptions": f"{LITTLE_COMPILED} -XX:ReservedCodeCacheSize=512m",
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
