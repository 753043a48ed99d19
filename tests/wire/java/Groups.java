import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

/** Members come and leave while records are written; what each has read is committed before it gives a partition up. */
class Groups {
    static final int PARTITIONS = 6;

    static void run(String bootstrap) throws Exception {
        try (Admin admin = Admin.create(Wire.config(bootstrap))) {
            group(bootstrap, admin, "range", "group.protocol", "classic",
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor", "heartbeat.interval.ms", "300");
            group(bootstrap, admin, "cooperative", "group.protocol", "classic",
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor", "heartbeat.interval.ms", "300");
            group(bootstrap, admin, "consumer", "group.protocol", "consumer");
        }
    }

    /** A thread that reads as a member until it is told to leave. */
    static class Member extends Thread implements ConsumerRebalanceListener {
        final Consumer<String, String> consumer;
        final Queue<String> read;
        volatile Set<TopicPartition> partitions = Set.of();
        volatile boolean leave;
        volatile Throwable failure;

        Member(Properties config, String topic, Queue<String> read) {
            consumer = new KafkaConsumer<>(config);
            this.read = read;
            consumer.subscribe(List.of(topic), this);
            start();
        }

        @Override
        public void run() {
            try (consumer) {
                while (!leave) {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                        read.add(record.value());
                    }
                    partitions = Set.copyOf(consumer.assignment());
                }
                consumer.commitSync();
            } catch (Throwable why) {
                failure = why;
            }
            partitions = Set.of();
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            consumer.commitSync();
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) { }
    }

    static void group(String bootstrap, Admin admin, String name, String... settings) throws Exception {
        String topic = "java-group-" + name;
        admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 3))).all().get();
        Properties config = Wire.config(bootstrap, settings);
        config.putAll(Map.of("group.id", name, "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        Queue<String> read = new ConcurrentLinkedQueue<>();
        List<Member> members = new ArrayList<>();
        int written = 0;
        for (int size : new int[] {1, 2, 3, 2}) {
            if (size > members.size()) {
                members.add(new Member(config, topic, read));
            } else {
                Member leaving = members.remove(0);
                leaving.leave = true;
                leaving.join();
                Wire.same(null, leaving.failure);
            }
            // Some are written while the group is at it.
            write(bootstrap, topic, written, written + 120);
            written += 120;
            until("all have the same share, of " + size, members, () -> shared(members));
            write(bootstrap, topic, written, written + 120);
            written += 120;
            int all = written;
            until("all is read by " + size, members, () -> read.size() >= all);
        }
        ConsumerGroupDescription described = admin.describeConsumerGroups(List.of(name)).all().get().get(name);
        Wire.same(GroupState.STABLE, described.groupState());
        Wire.same(2, described.members().size());
        Wire.same(name.equals("consumer") ? GroupType.CONSUMER : GroupType.CLASSIC, described.type());
        Wire.refused(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(name)).all().get());
        for (Member member : members) {
            member.leave = true;
            member.join();
            Wire.same(null, member.failure);
        }
        Wire.same(written, read.size());
        Wire.same(IntStream.range(0, written).boxed().collect(Collectors.toSet()), read.stream().map(Integer::valueOf).collect(Collectors.toSet()));
        Wire.held("group " + name + ": each of " + written + " records is read once by 1, 2, 3, 2 members");

        write(bootstrap, topic, written, written + 60);
        Member next = new Member(config, topic, read);
        int all = written + 60;
        until("the next one goes on", List.of(next), () -> read.size() >= all);
        next.leave = true;
        next.join();
        Wire.same(null, next.failure);
        Wire.same(all, new HashSet<>(read).size());
        Wire.held("group " + name + ": who comes later goes on at the commit");

        administered(admin, name, topic, all);
    }

    static void administered(Admin admin, String name, String topic, int all) throws Exception {
        Wire.same(true, admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get().stream().anyMatch(one -> one.groupId().equals(name)));
        Map<TopicPartition, OffsetAndMetadata> committed = admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get();
        Wire.same((long) all, committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum());
        TopicPartition first = new TopicPartition(topic, 0);
        admin.alterConsumerGroupOffsets(name, Map.of(first, new OffsetAndMetadata(7, "by hand"))).all().get();
        Wire.same(new OffsetAndMetadata(7, "by hand"), admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get().get(first));
        admin.deleteConsumerGroupOffsets(name, Set.of(first)).all().get();
        Wire.same(PARTITIONS - 1, admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get().size());
        admin.deleteConsumerGroups(List.of(name)).all().get();
        Wire.refused(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(name)).all().get());
        Wire.held("group " + name + ": its offsets are listed, altered and deleted, and so is the group");
    }

    static void write(String bootstrap, String topic, int from, int to) {
        try (Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap))) {
            for (int n = from; n < to; n++) {
                producer.send(new ProducerRecord<>(topic, n % PARTITIONS, null, "" + n));
            }
        }
    }

    static boolean shared(List<Member> members) {
        return members.stream().allMatch(member -> member.partitions.size() == PARTITIONS / members.size())
            && members.stream().flatMap(member -> member.partitions.stream()).distinct().count() == PARTITIONS;
    }

    static void until(String what, List<Member> members, BooleanSupplier isSo) throws Exception {
        for (long end = System.nanoTime() + 60_000_000_000L; !isSo.get(); Thread.sleep(5)) {
            for (Member member : members) {
                Wire.same(null, member.failure);
            }
            if (System.nanoTime() > end) {
                throw new AssertionError("not in time: " + what + "; " + members.stream().map(member -> member.partitions).toList());
            }
        }
    }

    interface BooleanSupplier {
        boolean get();
    }
}
