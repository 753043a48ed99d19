import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;

/** Two members of a share group have one partition between them, record by record (KIP-932). */
class Shares {
    static final String TOPIC = "java-shares", GROUP = "java-sharers";
    static final TopicPartition ONLY = new TopicPartition(TOPIC, 0);
    static final int RECORDS = 200;

    static void run(String bootstrap) throws Exception {
        try (Admin admin = Admin.create(Wire.config(bootstrap))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) 3))).all().get();
            ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, GROUP);
            AlterConfigOp earliest = new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(group, List.of(earliest))).all().get();
            try (Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap))) {
                for (int n = 0; n < RECORDS; n++) {
                    producer.send(new ProducerRecord<>(TOPIC, 0, null, "" + n));
                }
            }
            share(bootstrap, admin);
            administered(bootstrap, admin);
        }
    }

    static ShareConsumer<String, String> member(String bootstrap, String mode) {
        ShareConsumer<String, String> member = new KafkaShareConsumer<>(Wire.config(bootstrap, "group.id", GROUP,
            "share.acknowledgement.mode", mode, "share.acquire.mode", "record_limit", "max.poll.records", "20"));
        member.subscribe(List.of(TOPIC));
        return member;
    }

    /** Of ten records one is released when it comes first, of fifty one is rejected, the others are accepted. */
    static void share(String bootstrap, Admin admin) throws Exception {
        Set<Integer> accepted = new TreeSet<>(), rejected = new TreeSet<>(), again = new TreeSet<>();
        List<ShareConsumer<String, String>> members = List.of(member(bootstrap, "explicit"), member(bootstrap, "explicit"));
        int[] read = new int[2];
        for (long end = System.nanoTime() + 60_000_000_000L; accepted.size() + rejected.size() < RECORDS;) {
            for (int i = 0; i < 2; i++) {
                if (read[i] >= RECORDS / 2 && read[1 - i] == 0) {
                    continue; // Either may hear of its assignment with a later heartbeat: the rest is the other's.
                }
                ConsumerRecords<String, String> records = members.get(i).poll(Duration.ofMillis(200));
                for (ConsumerRecord<String, String> record : records) {
                    int n = Integer.parseInt(record.value()), count = record.deliveryCount().get();
                    read[i]++;
                    if (n % 10 == 3 && count == 1) {
                        members.get(i).acknowledge(record, AcknowledgeType.RELEASE);
                        continue;
                    }
                    Wire.same(n % 10 == 3 ? 2 : 1, count);
                    if (count == 2) {
                        again.add(n);
                    }
                    Wire.same(true, (n % 50 == 7 ? rejected : accepted).add(n));
                    members.get(i).acknowledge(record, n % 50 == 7 ? AcknowledgeType.REJECT : AcknowledgeType.ACCEPT);
                }
                members.get(i).commitSync().forEach((partition, why) -> Wire.same(Optional.empty(), why));
                if (System.nanoTime() > end) {
                    throw new AssertionError("not in time: " + accepted.size() + " accepted, " + rejected + " rejected");
                }
            }
        }
        Wire.same(IntStream.range(0, RECORDS).filter(n -> n % 10 == 3).boxed().collect(Collectors.toSet()), again);
        Wire.same(List.of(7, 57, 107, 157), List.copyOf(rejected));
        Wire.same(true, read[0] > 0 && read[1] > 0);
        ShareGroupDescription described = admin.describeShareGroups(List.of(GROUP)).all().get().get(GROUP);
        Wire.same(GroupState.STABLE, described.groupState());
        Wire.same(2, described.members().size());
        Wire.refused(GroupNotEmptyException.class, () -> admin.alterShareGroupOffsets(GROUP, Map.of(ONLY, 0L)).all().get());
        members.forEach(ShareConsumer::close);
        Wire.held("share group: each of " + RECORDS + " records is settled once by two members of one partition, released ones are delivered twice");
    }

    static void administered(String bootstrap, Admin admin) throws Exception {
        Wire.same(true, admin.listGroups(ListGroupsOptions.forShareGroups()).all().get().stream().anyMatch(one -> one.groupId().equals(GROUP)));
        // The last acknowledgement is kept as what it settled; where the group begins follows with the next.
        Wire.same(true, start(admin) > RECORDS / 2);
        admin.alterShareGroupOffsets(GROUP, Map.of(ONLY, RECORDS - 10L)).all().get();
        Wire.same(RECORDS - 10L, start(admin));
        Set<String> read = new HashSet<>();
        try (ShareConsumer<String, String> next = member(bootstrap, "implicit")) {
            for (long end = System.nanoTime() + 60_000_000_000L; read.size() < 10 && System.nanoTime() < end;) {
                next.poll(Duration.ofMillis(200)).forEach(record -> read.add(record.value()));
            }
        }
        Wire.same(IntStream.range(RECORDS - 10, RECORDS).mapToObj(n -> "" + n).collect(Collectors.toSet()), read);
        admin.deleteShareGroupOffsets(GROUP, Set.of(TOPIC)).all().get();
        admin.deleteShareGroups(List.of(GROUP)).all().get();
        Wire.refused(GroupIdNotFoundException.class, () -> admin.describeShareGroups(List.of(GROUP)).all().get());
        Wire.held("share group: where it begins is listed, altered and deleted, and so is the group");
    }

    static long start(Admin admin) throws Exception {
        return admin.listShareGroupOffsets(Map.of(GROUP, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(GROUP).get().get(ONLY).startOffset();
    }
}
