"""confluent-kafka, librdkafka's Python, from PyPI, against a server; ottla_tests::foreign says what the commands are."""

import sys
import threading

from confluent_kafka import (
    Consumer, ConsumerGroupTopicPartitions, ConsumerGroupState, IsolationLevel, KafkaError, KafkaException, Producer, TopicCollection,
    TopicPartition
)
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType
)

from common import PARTITIONS, PATIENCE, RECORDS, held, same, shared, until, value

BOOTSTRAP = sys.argv[2]


def config(**settings):
    # What is said of connections that are lost is no news where brokers are killed.
    return {"bootstrap.servers": BOOTSTRAP, "log_level": 2} | {name.replace("_", "."): value for name, value in settings.items()}


def refused(code, do):
    try:
        do()
    except KafkaException as why:
        same(code, why.args[0].code())
    else:
        raise AssertionError(f"not refused with {code}")


def one(futures):
    """The result of what was asked of one thing."""
    (future,) = futures.values()
    return future.result(PATIENCE)


def session():
    admin = AdminClient(config())
    cluster(admin)
    topics(admin)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        written(admin, codec)
    offsets(admin)
    acks(admin)
    transactions(admin)
    one(admin.delete_topics(["cpy"]))
    refused(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: one(admin.delete_topics(["no-such-topic"])))
    held("a topic is deleted, one that is not there is refused")
    quick = {"heartbeat_interval_ms": 300}
    group(admin, "range", partition_assignment_strategy="range", **quick)
    group(admin, "cooperative", partition_assignment_strategy="cooperative-sticky", **quick)
    group(admin, "consumer", group_protocol="consumer")


def cluster(admin):
    described = admin.describe_cluster().result(PATIENCE)
    same([1, 2, 3], sorted(node.id for node in described.nodes))
    assert described.controller.id in (1, 2, 3) and described.cluster_id
    same("1", one(admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")]))["broker.id"].value)
    held("the cluster is described")


def topics(admin):
    topic = NewTopic("cpy", 3, 3, config={"retention.ms": "3600000", "min.insync.replicas": "2"})
    one(admin.create_topics([topic]))
    refused(KafkaError.TOPIC_ALREADY_EXISTS, lambda: one(admin.create_topics([topic])))
    refused(KafkaError.INVALID_REPLICATION_FACTOR, lambda: one(admin.create_topics([NewTopic("four", 1, 4)])))
    refused(KafkaError.TOPIC_EXCEPTION, lambda: one(admin.create_topics([NewTopic("no/name", 1, 1)])))
    refused(KafkaError.INVALID_CONFIG, lambda: one(admin.create_topics([NewTopic("odd", 1, 1, config={"no.such": "x"})])))
    one(admin.create_topics([NewTopic("only-tried", 1, 1)], validate_only=True))
    listed = admin.list_topics(timeout=PATIENCE).topics
    assert "cpy" in listed and "only-tried" not in listed
    described = one(admin.describe_topics(TopicCollection(["cpy"])))
    same(3, len(described.partitions))
    for partition in described.partitions:
        same((3, 3, partition.replicas[0].id), (len(partition.replicas), len(partition.isr), partition.leader.id))
    refused(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: one(admin.describe_topics(TopicCollection(["no-such-topic"]))))
    held("a topic is created once and described")

    def alter(*entries):
        entries = [ConfigEntry(name, value, incremental_operation=kind) for kind, name, value in entries]
        one(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "cpy", incremental_configs=entries)]))

    def setting(name):
        return one(admin.describe_configs([ConfigResource(ResourceType.TOPIC, "cpy")]))[name].value

    kind = AlterConfigOpType
    alter((kind.SET, "max.message.bytes", "200000"), (kind.APPEND, "cleanup.policy", "compact"), (kind.DELETE, "retention.ms", None))
    until(lambda: "every broker has heard of the change", lambda: setting("max.message.bytes") == "200000")
    same(("delete,compact", "604800000"), (setting("cleanup.policy"), setting("retention.ms")))
    alter((kind.SUBTRACT, "cleanup.policy", "compact"))
    refused(KafkaError.INVALID_CONFIG, lambda: alter((kind.SET, "retention.ms", "soon")))
    held("its settings are altered and described")

    one(admin.create_partitions([NewPartitions("cpy", 5)]))
    refused(KafkaError.INVALID_PARTITIONS, lambda: one(admin.create_partitions([NewPartitions("cpy", 4)])))
    held("the topic grows")


def delivered(error, _message):
    if error is not None:
        raise KafkaException(error)


def written(admin, codec):
    topic = f"cpy-{codec}"
    one(admin.create_topics([NewTopic(topic, 3, 3)]))
    headers = [("a", b"1"), ("a", b"2"), ("null", None)]
    producer = Producer(config(compression_type=codec, enable_idempotence=True))
    for n in range(RECORDS):
        producer.produce(
            topic, value(n), b"k%d" % n, n % 3, on_delivery=delivered, timestamp=1_700_000_000_000 + n, headers=headers
        )
    same(0, producer.flush(PATIENCE))

    consumer = Consumer(config(group_id="none", enable_auto_commit=False, max_partition_fetch_bytes=4096))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    following = [0, 1, 2]
    for message in messages(consumer, RECORDS):
        n = following[message.partition()]
        following[message.partition()] += 3
        same((b"k%d" % n, value(n), headers), (message.key(), message.value(), message.headers()))
        same(1_700_000_000_000 + n, message.timestamp()[1])
    consumer.close()
    held(f"{RECORDS} records come back in order, headers and all, codec {codec}")


def messages(consumer, count):
    """The next ones, that many."""
    for _ in range(count):
        message = consumer.poll(PATIENCE)
        assert message is not None, "no record in time"
        assert message.error() is None, message.error()
        yield message


def offsets(admin):
    first = TopicPartition("cpy-none", 0)
    specs = {0: OffsetSpec.earliest(), 100: OffsetSpec.latest(), 50: OffsetSpec.for_timestamp(1_700_000_000_150), 99: OffsetSpec.max_timestamp()}
    for expected, spec in specs.items():
        same(expected, one(admin.list_offsets({first: spec})).offset)
    consumer = Consumer(config(group_id="none", enable_auto_commit=False))
    same((0, 100), consumer.get_watermark_offsets(first, timeout=PATIENCE))
    consumer.assign([TopicPartition("cpy-none", 0, 77)])
    same(77, next(messages(consumer, 1)).offset())
    consumer.seek(TopicPartition("cpy-none", 0, 33))
    same(33, next(messages(consumer, 1)).offset())
    consumer.close()
    held("offsets are found at the beginning, at the end and by time; a consumer seeks")
    same(10, one(admin.delete_records([TopicPartition("cpy-none", 0, 10)])).low_watermark)
    same(10, one(admin.list_offsets({first: OffsetSpec.earliest()})).offset)
    refused(KafkaError.OFFSET_OUT_OF_RANGE, lambda: one(admin.delete_records([TopicPartition("cpy-none", 0, 1_000)])))
    held("the first records are deleted, more than there are is refused")


def acks(admin):
    for acks in (0, 1):
        producer = Producer(config(acks=acks))
        for _ in range(50):
            producer.produce("cpy", b"v", partition=0, on_delivery=delivered)
        same(0, producer.flush(PATIENCE))
    errors = []
    producer.produce("cpy", b"x" * 250_000, partition=0, on_delivery=lambda error, _: errors.append(error.code()))
    producer.flush(PATIENCE)
    same([KafkaError.MSG_SIZE_TOO_LARGE], errors)
    first = TopicPartition("cpy", 0)
    until(lambda: "both are there", lambda: one(admin.list_offsets({first: OffsetSpec.latest()})).offset == 100)
    held("acks 0 and 1 are served, a record too large is refused")


def transactional(id):
    producer = Producer(config(transactional_id=id))
    producer.init_transactions(PATIENCE)
    return producer


def transactions(admin):
    one(admin.create_topics([NewTopic("cpy-tx", 1, 3)]))
    old = transactional("cpy-id")
    for what in ("committed", "aborted", "open"):
        old.begin_transaction()
        old.produce("cpy-tx", what)
        old.flush(PATIENCE)
        if what == "committed":
            old.commit_transaction(PATIENCE)
        elif what == "aborted":
            old.abort_transaction(PATIENCE)
    same([b"committed"], values(admin, "read_committed"))
    same([b"committed", b"aborted", b"open"], values(admin, "read_uncommitted"))
    young = transactional("cpy-id")
    young.begin_transaction()
    young.produce("cpy-tx", "of the second")
    refused(KafkaError._FENCED, lambda: old.commit_transaction(PATIENCE))
    young.commit_transaction(PATIENCE)
    same([b"committed", b"of the second"], values(admin, "read_committed"))
    held("transactions commit, abort, and fence")


def values(admin, isolation):
    """From the beginning to the end that a consumer of that isolation sees."""
    level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
    first = TopicPartition("cpy-tx", 0)
    end = one(admin.list_offsets({first: OffsetSpec.latest()}, isolation_level=level)).offset
    consumer = Consumer(config(group_id="none", isolation_level=isolation, enable_auto_commit=False))
    consumer.assign([TopicPartition("cpy-tx", 0, 0)])
    values = []
    while consumer.position([first])[0].offset < end:
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            values.append(message.value())
    consumer.close()
    return values


class Member(threading.Thread):
    """Reads as a member until it is told to leave; commits what it has read before it gives a partition up."""

    def __init__(self, settings, topic, read):
        super().__init__()
        self.consumer = Consumer(settings)
        self.read, self.share, self.leaves, self.failure = read, frozenset(), False, None
        self.consumer.subscribe([topic], on_revoke=lambda consumer, _: self.commit())
        self.start()

    def commit(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as why:
            if why.args[0].code() != KafkaError._NO_OFFSET:
                raise

    def run(self):
        try:
            while not self.leaves:
                message = self.consumer.poll(0.05)
                if message is not None:
                    assert message.error() is None, message.error()
                    self.read.append(int(message.value()))
                else:
                    self.share = frozenset(one.partition for one in self.consumer.assignment())
            self.commit()
            self.consumer.close()
        except Exception as why:
            self.failure = why

    def leave(self):
        self.leaves = True
        self.join()
        assert self.failure is None, self.failure


def write(topic, written, count):
    producer = Producer(config())
    for n in range(written, written + count):
        producer.produce(topic, str(n), partition=n % PARTITIONS, on_delivery=delivered)
    same(0, producer.flush(PATIENCE))
    return written + count


def group(admin, name, **settings):
    topic = f"cpy-group-{name}"
    one(admin.create_topics([NewTopic(topic, PARTITIONS, 3)]))
    settings = config(group_id=name, auto_offset_reset="earliest", enable_auto_commit=False, **settings)
    read, members, written = [], [], 0

    def wait(what, is_so):
        def checked():
            for member in members:
                assert member.failure is None, member.failure
            return is_so()
        until(lambda: f"{what}; {[set(member.share) for member in members]}, {len(read)} read", checked)

    for size in (1, 2, 3, 2):
        if size > len(members):
            members.append(Member(settings, topic, read))
        else:
            members.pop(0).leave()
        # Some are written while the group is at it.
        written = write(topic, written, 120)
        wait("all have the same share", lambda: shared([member.share for member in members]))
        written = write(topic, written, 120)
        wait("all is read", lambda: len(read) >= written)
    described = one(admin.describe_consumer_groups([name]))
    same((ConsumerGroupState.STABLE, 2), (described.state, len(described.members)))
    refused(KafkaError.NON_EMPTY_GROUP, lambda: one(admin.delete_consumer_groups([name])))
    for member in members:
        member.leave()
    same(list(range(written)), sorted(read))
    held(f"group {name}: each of {written} records is read once by 1, 2, 3, 2 members")

    written = write(topic, written, 60)
    members = [Member(settings, topic, read)]
    wait("the next one goes on", lambda: len(read) >= written)
    members.pop().leave()
    same(list(range(written)), sorted(read))
    held(f"group {name}: who comes later goes on at the commit")

    assert name in [one.group_id for one in admin.list_consumer_groups().result(PATIENCE).valid]
    same(written, total(admin, name))
    first = TopicPartition(topic, 0, 7)
    one(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(name, [first])]))
    asked = ConsumerGroupTopicPartitions(name, [TopicPartition(topic, 0)])
    same(7, one(admin.list_consumer_group_offsets([asked])).topic_partitions[0].offset)
    one(admin.delete_consumer_groups([name]))
    refused(KafkaError.GROUP_ID_NOT_FOUND, lambda: one(admin.delete_consumer_groups([name])))
    held(f"group {name}: its offsets are listed and altered, and the group is deleted")


def total(admin, name):
    """The group's offsets, added up."""
    listed = one(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]))
    return sum(one.offset for one in listed.topic_partitions)


def fill(source, target, partitions, count):
    partitions = int(partitions)
    admin = AdminClient(config())
    for future in admin.create_topics([NewTopic(topic, partitions, 3, config={"min.insync.replicas": "2"}) for topic in (source, target)]).values():
        future.result(PATIENCE)
    producer = Producer(config(enable_idempotence=True))
    for n in range(int(count)):
        producer.produce(source, str(n), partition=n % partitions, on_delivery=delivered)
    same(0, producer.flush(PATIENCE))


def transform(source, target, id):
    producer = transactional(id)
    consumer = Consumer(config(
        group_id="chain", isolation_level="read_committed", auto_offset_reset="earliest", enable_auto_commit=False, session_timeout_ms=6000
    ))
    consumer.subscribe([source])
    while True:
        batch = [message for message in consumer.consume(10, 0.5) if message.error() is None]
        if not batch:
            continue
        first, after = {}, {}
        for message in batch:
            first.setdefault(message.partition(), message.offset())
            after[message.partition()] = message.offset() + 1
        producer.begin_transaction()
        try:
            for message in batch:
                producer.produce(target, message.value(), message.key(), message.partition())
            after = [TopicPartition(source, partition, offset) for partition, offset in after.items()]
            insistently(lambda: producer.send_offsets_to_transaction(after, consumer.consumer_group_metadata(), PATIENCE))
            print("open", flush=True)
            if sys.stdin.readline() == "commit\n":
                insistently(lambda: producer.commit_transaction(PATIENCE))
                continue
        except KafkaException as why:
            print(why, flush=True)
            if not why.args[0].txn_requires_abort():
                raise
        insistently(lambda: producer.abort_transaction(PATIENCE))
        mine = {one.partition for one in consumer.assignment()}
        for partition, offset in first.items():
            if partition in mine:
                consumer.seek(TopicPartition(source, partition, offset))


def insistently(do):
    """What may be tried again is."""
    while True:
        try:
            return do()
        except KafkaException as why:
            if not why.args[0].retriable():
                raise
            print(why, flush=True)


def read(topic):
    admin = AdminClient(config())
    partitions = [TopicPartition(topic, partition) for partition in admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions]
    level = IsolationLevel.READ_COMMITTED
    ends = admin.list_offsets({partition: OffsetSpec.latest() for partition in partitions}, isolation_level=level)
    left = {partition.partition: future.result(PATIENCE).offset for partition, future in ends.items()}
    consumer = Consumer(config(group_id="none", isolation_level="read_committed", enable_auto_commit=False))
    consumer.assign([TopicPartition(topic, partition.partition, 0) for partition in partitions])
    while True:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            print(message.value().decode(), flush=True)
        elif left:
            for position in consumer.position(partitions):
                if position.offset >= left.get(position.partition, 0) or left.get(position.partition) == 0:
                    left.pop(position.partition, None)
            if not left:
                print("end", flush=True)


def committed(group, _topic):
    print(total(AdminClient(config()), group))


if __name__ == "__main__":
    {"session": session, "fill": fill, "transform": transform, "read": read, "committed": committed}[sys.argv[1]](*sys.argv[3:])
