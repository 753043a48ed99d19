"""A session of kafka-python, pure Python from PyPI, against the bootstrap address given: what its users do first.

Prints one line for each step that held, and fails with a traceback at the first that did not.
"""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError


def step(what):
    print("held:", what, flush=True)


def main(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap, client_id="python-admin")
    admin.create_topics([NewTopic("py", num_partitions=3, replication_factor=1, topic_configs={"retention.ms": "3600000"})])
    step("a topic is created")
    try:
        admin.create_topics([NewTopic("py", num_partitions=3, replication_factor=1)])
        raise AssertionError("created twice")
    except TopicAlreadyExistsError:
        step("the same topic again is refused")

    # The broker that is asked may hear of the topic a little later than the one that was told to make it.
    def described():
        try:
            return str(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "py")]))
        except UnknownTopicOrPartitionError as error:
            return str(error)

    end = time.monotonic() + 60
    while "3600000" not in described():
        assert time.monotonic() < end, described()
    step("its settings are described")

    headers = [("a", b"1"), ("a", b"2")]
    for codec in (None, "gzip"):
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, client_id="python-producer", acks=1, compression_type=codec, enable_idempotence=False
        )
        sent = [
            producer.send("py", key=b"k%d" % n, value=b"v%d" % n, headers=headers, partition=n % 3, timestamp_ms=1_700_000_000_000 + n)
            for n in range(300)
        ]
        offsets = [future.get(timeout=30).offset for future in sent]
        assert len(set(zip((n % 3 for n in range(300)), offsets))) == 300
        producer.close()
        step(f"300 records are acknowledged, codec {codec}")

    partitions = [TopicPartition("py", p) for p in range(3)]
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, client_id="python-consumer", group_id=None, auto_offset_reset="earliest", consumer_timeout_ms=20_000,
        max_partition_fetch_bytes=4096
    )
    consumer.assign(partitions)
    assert consumer.beginning_offsets(partitions) == {p: 0 for p in partitions}
    assert consumer.end_offsets(partitions) == {p: 200 for p in partitions}
    found = consumer.offsets_for_times({p: 1_700_000_000_150 for p in partitions})
    assert [found[p].offset for p in partitions] == [50, 50, 50], found
    step("offsets are found at the beginning, at the end and by time")

    got = {p: [] for p in range(3)}
    for record in consumer:
        got[record.partition].append(record)
        if sum(map(len, got.values())) == 600:
            break
    for p, records in got.items():
        assert [record.offset for record in records] == list(range(200)), p
        assert [record.value for record in records] == 2 * [b"v%d" % n for n in range(p, 300, 3)], p
        assert all(list(record.headers) == headers for record in records), records[0].headers
    step("600 records come back in order, headers and all")

    consumer.seek(partitions[1], 150)
    record = next(record for record in consumer if record.partition == 1)
    assert record.offset == 150, record
    consumer.close()
    step("a consumer seeks")

    admin.create_partitions({"py": NewPartitions(total_count=5)})
    step("the topic grows")
    admin.delete_topics(["py"])
    try:
        admin.delete_topics(["no-such-topic"])
        raise AssertionError("deleted what was not there")
    except UnknownTopicOrPartitionError:
        step("a topic is deleted, one that is not there is refused")
    admin.close()


if __name__ == "__main__":
    main(sys.argv[1])
