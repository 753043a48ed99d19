"""aiokafka, from PyPI, against a server; ottla_tests::foreign says what the commands are."""

import asyncio
import logging
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import InvalidPartitionsError, KafkaError, MessageSizeTooLargeError, ProducerFenced, for_code

from common import PARTITIONS, PATIENCE, RECORDS, held, same, shared, value

BOOTSTRAP = sys.argv[2]


def producer(**settings):
    return AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)


def consumer(*topics, **settings):
    return AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", enable_auto_commit=False, **settings)


def told(answers):
    """The names of the errors of an answer of topics or settings."""
    return [for_code(one[1] if isinstance(one[0], str) else one[0]).__name__ for one in answers]


async def refused(why, doing):
    try:
        await doing
    except why:
        return
    raise AssertionError(f"not refused with {why.__name__}")


async def until(what, is_so):
    for _ in range(PATIENCE * 200):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"not in time: {what()}")


async def session():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await cluster(admin)
    await topics(admin)
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        await written(admin, codec)
    await offsets()
    await acks()
    await transactions(admin)
    same(["NoError"], told((await admin.delete_topics(["aio"])).topic_error_codes))
    same(["UnknownTopicOrPartitionError"], told((await admin.delete_topics(["no-such-topic"])).topic_error_codes))
    held("a topic is deleted, one that is not there is refused")
    for name, assignor in (("range", RangePartitionAssignor), ("robin", RoundRobinPartitionAssignor), ("sticky", StickyPartitionAssignor)):
        await group(admin, name, assignor)
    await admin.close()


async def cluster(admin):
    described = await admin.describe_cluster()
    same([1, 2, 3], sorted(broker["node_id"] for broker in described["brokers"]))
    assert described["controller_id"] in (1, 2, 3) and described["cluster_id"]
    held("the cluster is described")


async def topics(admin):
    async def create(name, partitions, replicas, **settings):
        return told((await admin.create_topics([NewTopic(name, partitions, replicas, topic_configs=settings)])).topic_errors)

    same(["NoError"], await create("aio", 3, 3, **{"retention.ms": "3600000"}))
    same(["TopicAlreadyExistsError"], await create("aio", 3, 3))
    same(["InvalidReplicationFactorError"], await create("four", 1, 4))
    same(["InvalidTopicError"], await create("no/name", 1, 1))
    same(["InvalidConfigurationError"], await create("odd", 1, 1, **{"no.such": "x"}))
    assert "aio" in await admin.list_topics()
    (described,) = await admin.describe_topics(["aio"])
    same(3, len(described["partitions"]))
    for partition in described["partitions"]:
        same((3, 3, partition["replicas"][0]), (len(partition["replicas"]), len(partition["isr"]), partition["leader"]))
    held("a topic is created once and described")

    async def alter(**settings):
        resource = ConfigResource(ConfigResourceType.TOPIC, "aio", configs=settings)
        (answer,) = await admin.alter_configs([resource])
        return told(answer.resources)

    async def setting(name):
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "aio")])
        return next(entry[1] for entry in answer.resources[0][4] if entry[0] == name)

    same(["NoError"], await alter(**{"max.message.bytes": "200000"}))
    # Each time another broker may be asked, which will have heard of the change. What is altered as a whole has its other
    # settings from the broker again.
    for name, wanted in ("max.message.bytes", "200000"), ("retention.ms", "604800000"):
        for _ in range(PATIENCE * 100):
            found = await setting(name)
            if found == wanted:
                break
        same(wanted, found)
    same(["InvalidConfigurationError"], await alter(**{"retention.ms": "soon"}))
    held("its settings are altered and described")

    same(["NoError"], told((await admin.create_partitions({"aio": NewPartitions(5)})).topic_errors))
    await refused(InvalidPartitionsError, admin.create_partitions({"aio": NewPartitions(4)}))
    held("the topic grows")


async def written(admin, codec):
    topic = f"aio-{codec}"
    await admin.create_topics([NewTopic(topic, 3, 3)])
    headers = [("a", b"1"), ("a", b"2"), ("null", None)]
    async with producer(compression_type=codec, enable_idempotence=True, linger_ms=5) as writer:
        sent = [
            await writer.send(topic, value(n), b"k%d" % n, n % 3, timestamp_ms=1_700_000_000_000 + n, headers=headers)
            for n in range(RECORDS)
        ]
        same([n // 3 for n in range(RECORDS)], [one.offset for one in await asyncio.gather(*sent)])
    async with consumer(max_partition_fetch_bytes=4096) as reader:
        reader.assign([TopicPartition(topic, partition) for partition in range(3)])
        await reader.seek_to_beginning()
        following = [0, 1, 2]
        for _ in range(RECORDS):
            record = await asyncio.wait_for(reader.getone(), PATIENCE)
            n = following[record.partition]
            following[record.partition] += 3
            same((b"k%d" % n, value(n), tuple(headers)), (record.key, record.value, tuple(record.headers)))
            same(1_700_000_000_000 + n, record.timestamp)
    held(f"{RECORDS} records come back in order, headers and all, codec {codec}")


async def offsets():
    first = TopicPartition("aio-None", 0)
    async with consumer() as reader:
        reader.assign([first])
        same({first: 0}, await reader.beginning_offsets([first]))
        same({first: 100}, await reader.end_offsets([first]))
        same(50, (await reader.offsets_for_times({first: 1_700_000_000_150}))[first].offset)
        reader.seek(first, 77)
        same(77, (await asyncio.wait_for(reader.getone(), PATIENCE)).offset)
    held("offsets are found at the beginning, at the end and by time; a consumer seeks")


async def acks():
    for acks in (0, 1):
        async with producer(acks=acks) as writer:
            for _ in range(50):
                await writer.send("aio", b"v", partition=0)
    async with producer(max_request_size=1_000_000) as writer:
        await refused(MessageSizeTooLargeError, writer.send_and_wait("aio", b"x" * 250_000, partition=0))
    async with consumer() as reader:
        first = TopicPartition("aio", 0)
        while (await reader.end_offsets([first]))[first] < 100:
            pass
    held("acks 0 and 1 are served, a record too large is refused")


async def transactions(admin):
    await admin.create_topics([NewTopic("aio-tx", 1, 3)])
    old = producer(transactional_id="aio-id")
    await old.start()
    for what in (b"committed", b"aborted", b"open"):
        await old.begin_transaction()
        await old.send_and_wait("aio-tx", what)
        if what == b"committed":
            await old.commit_transaction()
        elif what == b"aborted":
            await old.abort_transaction()
    same([b"committed"], await values("read_committed", 1))
    same([b"committed", b"aborted", b"open"], await values("read_uncommitted", 3))
    async with producer(transactional_id="aio-id") as young:
        async with young.transaction():
            await young.send_and_wait("aio-tx", b"of the second")
            await refused(ProducerFenced, old.commit_transaction())
    await old.stop()
    same([b"committed", b"of the second"], await values("read_committed", 2))
    held("transactions commit, abort, and fence")


async def values(isolation, count):
    """What is there from the beginning: that many, and then nothing for a fetch that waits half a second."""
    async with consumer(isolation_level=isolation) as reader:
        reader.assign([TopicPartition("aio-tx", 0)])
        await reader.seek_to_beginning()
        values = [(await asyncio.wait_for(reader.getone(), PATIENCE)).value for _ in range(count)]
        more = await reader.getmany(timeout_ms=500)
        return values + [record.value for records in more.values() for record in records]


class Member(ConsumerRebalanceListener):
    """Reads as a member until it is told to leave; commits what it has read before it gives a partition up."""

    def __init__(self, name, topic, assignor, read):
        self.read, self.share, self.leaves = read, frozenset(), False
        self.consumer = consumer(group_id=name, heartbeat_interval_ms=300, partition_assignment_strategy=[assignor])
        self.topic = topic
        # Held from a poll to the end of what is done with it: aiokafka rebalances meanwhile.
        self.busy = asyncio.Lock()
        self.work = asyncio.create_task(self.run())

    async def on_partitions_revoked(self, revoked):
        async with self.busy:
            if revoked:
                await self.consumer.commit()

    async def on_partitions_assigned(self, assigned):
        self.share = frozenset(one.partition for one in assigned)

    async def run(self):
        self.consumer.subscribe([self.topic], listener=self)
        await self.consumer.start()
        while not self.leaves:
            async with self.busy:
                for records in (await self.consumer.getmany(timeout_ms=50)).values():
                    self.read.extend(int(record.value) for record in records)
            await asyncio.sleep(0)
        await self.consumer.commit()
        await self.consumer.stop()

    async def leave(self):
        self.leaves = True
        await self.work


async def write(topic, written, count):
    async with producer() as writer:
        for n in range(written, written + count):
            await writer.send(topic, str(n).encode(), partition=n % PARTITIONS)
    return written + count


async def group(admin, name, assignor):
    topic = f"aio-group-{name}"
    await admin.create_topics([NewTopic(topic, PARTITIONS, 3)])
    read, members, written = [], [], 0

    async def wait(what, is_so):
        def checked():
            for member in members:
                if member.work.done():
                    member.work.result()
            return is_so()
        await until(lambda: f"{what}; {[set(member.share) for member in members]}, {len(read)} read", checked)

    for size in (1, 2, 3, 2):
        if size > len(members):
            members.append(Member(name, topic, assignor, read))
        else:
            await members.pop(0).leave()
        # Some are written while the group is at it.
        written = await write(topic, written, 120)
        await wait("all have the same share", lambda: shared([member.share for member in members]))
        written = await write(topic, written, 120)
        await wait("all is read", lambda: len(read) >= written)
    (described,) = await admin.describe_consumer_groups([name])
    same(("Stable", 2), (described.groups[0][2], len(described.groups[0][5])))
    for member in members:
        await member.leave()
    same(list(range(written)), sorted(read))
    held(f"group {name}: each of {written} records is read once by 1, 2, 3, 2 members")

    written = await write(topic, written, 60)
    members = [Member(name, topic, assignor, read)]
    await wait("the next one goes on", lambda: len(read) >= written)
    await members.pop().leave()
    same(list(range(written)), sorted(read))
    held(f"group {name}: who comes later goes on at the commit")

    assert name in [one[0] for one in await admin.list_consumer_groups()]
    same(written, await total(admin, name))
    held(f"group {name}: it is listed, and so are its offsets")


async def total(admin, name):
    """The group's offsets, added up."""
    return sum(one.offset for one in (await admin.list_consumer_group_offsets(name)).values())


async def fill(source, target, partitions, count):
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    partitions = int(partitions)
    await admin.create_topics([NewTopic(topic, partitions, 3, topic_configs={"min.insync.replicas": "2"}) for topic in (source, target)])
    await admin.close()
    async with producer(enable_idempotence=True) as writer:
        for n in range(int(count)):
            await writer.send(source, str(n).encode(), partition=n % partitions)


async def transform(source, target, id):
    """aiokafka tells the broker nothing of its generation, so that there may be one worker only; and what becomes of a commit
    that fails is known when a new producer of that id has begun, by what the group has then."""

    async def begin():
        while True:
            fresh = producer(transactional_id=id)
            try:
                await fresh.start()
                return fresh
            except KafkaError as why:
                print(repr(why), flush=True)
                await fresh.stop()

    async def say():
        return await asyncio.to_thread(sys.stdin.readline)

    writer = await begin()
    reader = consumer(source, group_id="chain", isolation_level="read_committed", max_poll_records=10, session_timeout_ms=6000)
    await reader.start()
    while True:
        try:
            for partition, records in (await reader.getmany(timeout_ms=500)).items():
                async with writer.transaction():
                    for record in records:
                        await writer.send(target, record.value, record.key, record.partition)
                    await writer.send_offsets_to_transaction({partition: records[-1].offset + 1}, "chain")
                    print("open", flush=True)
                    if await say() != "commit\n":
                        raise Abort
        except (Abort, KafkaError) as why:
            print(repr(why), flush=True)
            if not isinstance(why, Abort):
                await writer.stop()
                writer = await begin()
            await reader.seek_to_committed()


class Abort(Exception):
    pass


async def read(topic):
    async with consumer(topic, isolation_level="read_committed") as reader:
        partitions = [TopicPartition(topic, partition) for partition in reader.partitions_for_topic(topic)]
        left = await reader.end_offsets(partitions)
        while True:
            for partition in list(left):
                if await reader.position(partition) >= left[partition]:
                    del left[partition]
                    if not left:
                        print("end", flush=True)
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    print(record.value.decode(), flush=True)


async def committed(group, _topic):
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    print(await total(admin, group))
    await admin.close()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run({"session": session, "fill": fill, "transform": transform, "read": read, "committed": committed}[sys.argv[1]](*sys.argv[3:]))
