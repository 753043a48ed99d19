import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;

/** Topics, their settings, writing in every codec, reading, offsets, transactions. */
class Session {
    static final int RECORDS = 300;

    static void run(String bootstrap) throws Exception {
        try (Admin admin = Admin.create(Wire.config(bootstrap))) {
            cluster(admin);
            topics(admin);
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                written(bootstrap, codec);
            }
            offsets(bootstrap, admin);
            acks(bootstrap, admin);
            transactions(bootstrap, admin);
            admin.deleteTopics(List.of("java")).all().get();
            Wire.refused(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of("no-such-topic")).all().get());
            Wire.held("a topic is deleted, one that is not there is refused");
        }
    }

    static void cluster(Admin admin) throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        Wire.same(Set.of(1, 2, 3), cluster.nodes().get().stream().map(Node::id).collect(Collectors.toSet()));
        Wire.same(true, cluster.nodes().get().contains(cluster.controller().get()));
        Wire.same(false, cluster.clusterId().get().isEmpty());
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        Wire.same("1", admin.describeConfigs(List.of(broker)).all().get().get(broker).get("broker.id").value());
        Wire.same(Set.of(1, 2, 3), admin.describeLogDirs(List.of(1, 2, 3)).allDescriptions().get().keySet());
        Wire.held("the cluster is described");
    }

    static void topics(Admin admin) throws Exception {
        NewTopic topic = new NewTopic("java", 3, (short) 3).configs(Map.of("retention.ms", "3600000", "min.insync.replicas", "2"));
        admin.createTopics(List.of(topic)).all().get();
        Wire.refused(TopicExistsException.class, () -> admin.createTopics(List.of(topic)).all().get());
        Wire.refused(InvalidReplicationFactorException.class, () -> admin.createTopics(List.of(new NewTopic("four", 1, (short) 4))).all().get());
        Wire.refused(InvalidTopicException.class, () -> admin.createTopics(List.of(new NewTopic("no/name", 1, (short) 1))).all().get());
        Wire.refused(InvalidConfigurationException.class,
            () -> admin.createTopics(List.of(new NewTopic("odd", 1, (short) 1).configs(Map.of("no.such", "x")))).all().get());
        Wire.same(true, admin.listTopics().names().get().contains("java"));
        TopicDescription described = admin.describeTopics(List.of("java")).allTopicNames().get().get("java");
        Wire.same(3, described.partitions().size());
        for (TopicPartitionInfo partition : described.partitions()) {
            Wire.same(3, partition.replicas().size());
            Wire.same(3, partition.isr().size());
            Wire.same(partition.replicas().get(0), partition.leader());
        }
        Wire.refused(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of("no-such-topic")).allTopicNames().get());
        Wire.same(described.topicId(), admin.describeTopics(TopicCollection.ofTopicIds(List.of(described.topicId()))).allTopicIds().get()
            .get(described.topicId()).topicId());
        Wire.held("a topic is created once and described");

        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, "java");
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("max.message.bytes", "200000"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
            new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE)))).all().get();
        // Whichever broker is asked, it will have heard of the change.
        Config config = null;
        for (long end = System.nanoTime() + 30_000_000_000L; System.nanoTime() < end;) {
            config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            if (config.get("max.message.bytes").value().equals("200000")) {
                break;
            }
        }
        Wire.same("200000", config.get("max.message.bytes").value());
        Wire.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, config.get("max.message.bytes").source());
        Wire.same("delete,compact", config.get("cleanup.policy").value());
        Wire.same("604800000", config.get("retention.ms").value());
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.SET)))).all().get();
        Wire.refused(InvalidConfigurationException.class, () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET)))).all().get());
        Wire.held("its settings are altered and described");

        admin.createPartitions(Map.of("java", NewPartitions.increaseTo(5))).all().get();
        Wire.refused(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of("java", NewPartitions.increaseTo(4))).all().get());
        Wire.held("the topic grows");
    }

    static void written(String bootstrap, String codec) throws Exception {
        String topic = "java-" + codec;
        try (Admin admin = Admin.create(Wire.config(bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, 3, (short) 3))).all().get();
        }
        try (Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap, "compression.type", codec, "linger.ms", "5"))) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = 0; n < RECORDS; n++) {
                ProducerRecord<String, String> record = new ProducerRecord<>(topic, n % 3, 1_700_000_000_000L + n, "k" + n, value(n));
                record.headers().add("a", "1".getBytes(StandardCharsets.UTF_8)).add("a", "2".getBytes(StandardCharsets.UTF_8)).add("null", null);
                sent.add(producer.send(record));
            }
            Set<String> places = new HashSet<>();
            for (Future<RecordMetadata> one : sent) {
                places.add(one.get().partition() + ":" + one.get().offset());
            }
            Wire.same(RECORDS, places.size());
        }
        try (Consumer<String, String> consumer = new KafkaConsumer<>(Wire.config(bootstrap, "max.partition.fetch.bytes", "4096"))) {
            List<TopicPartition> partitions = partitions(topic);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            int[] next = {0, 1, 2};
            for (int read = 0; read < RECORDS;) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(30))) {
                    int n = next[record.partition()];
                    next[record.partition()] += 3;
                    Wire.same("k" + n, record.key());
                    Wire.same(value(n), record.value());
                    Wire.same(1_700_000_000_000L + n, record.timestamp());
                    List<String> headers = new ArrayList<>();
                    for (Header header : record.headers()) {
                        headers.add(header.key() + "=" + (header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8)));
                    }
                    Wire.same(List.of("a=1", "a=2", "null=null"), headers);
                    read++;
                }
            }
        }
        Wire.held(RECORDS + " records come back in order, headers and all, codec " + codec);
    }

    static String value(int n) {
        return n + " " + "the same words again and again ".repeat(n % 20);
    }

    static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, 3).mapToObj(p -> new TopicPartition(topic, p)).toList();
    }

    static void offsets(String bootstrap, Admin admin) throws Exception {
        List<TopicPartition> partitions = partitions("java-none");
        TopicPartition first = partitions.get(0);
        Map<String, OffsetSpec> asked = Map.of("0", OffsetSpec.earliest(), "100", OffsetSpec.latest(), "50", OffsetSpec.forTimestamp(1_700_000_000_150L),
            "99", OffsetSpec.maxTimestamp());
        for (var one : asked.entrySet()) {
            Wire.same(Long.valueOf(one.getKey()), admin.listOffsets(Map.of(first, one.getValue())).all().get().get(first).offset());
        }
        try (Consumer<String, String> consumer = new KafkaConsumer<>(Wire.config(bootstrap))) {
            Wire.same(Set.of(0L), new HashSet<>(consumer.beginningOffsets(partitions).values()));
            Wire.same(Set.of(100L), new HashSet<>(consumer.endOffsets(partitions).values()));
            consumer.assign(List.of(first));
            consumer.seek(first, 77);
            Wire.same(77L, consumer.poll(Duration.ofSeconds(30)).iterator().next().offset());
            consumer.seek(first, 1_000);
            refusedOrReset(consumer, first);
        }
        Wire.held("offsets are found at the beginning, at the end and by time; a consumer seeks");
        Wire.same(10L, admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(10))).lowWatermarks().get(first).get().lowWatermark());
        Wire.same(10L, admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all().get().get(first).offset());
        Wire.refused(org.apache.kafka.common.errors.OffsetOutOfRangeException.class,
            () -> admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1_000))).all().get());
        Wire.held("the first records are deleted, more than there are is refused");
    }

    /** Past the end, `auto.offset.reset` decides: latest. */
    static void refusedOrReset(Consumer<String, String> consumer, TopicPartition partition) {
        for (long end = System.nanoTime() + 30_000_000_000L; System.nanoTime() < end;) {
            consumer.poll(Duration.ofMillis(50));
            if (consumer.position(partition) == 100) {
                return;
            }
        }
        throw new AssertionError("the position stays at " + consumer.position(partition));
    }

    static void acks(String bootstrap, Admin admin) throws Exception {
        for (String acks : List.of("0", "1")) {
            try (Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap, "acks", acks, "enable.idempotence", "false"))) {
                for (int n = 0; n < 50; n++) {
                    producer.send(new ProducerRecord<>("java", 0, "k", "v"));
                }
            }
        }
        try (Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap, "max.request.size", "10000000"))) {
            Wire.refused(RecordTooLargeException.class, () -> producer.send(new ProducerRecord<>("java", 0, "k", "x".repeat(250_000))).get());
        }
        TopicPartition partition = new TopicPartition("java", 0);
        long end = 0;
        for (long until = System.nanoTime() + 30_000_000_000L; end < 100 && System.nanoTime() < until;) {
            end = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset();
        }
        Wire.same(100L, end);
        Wire.held("acks 0 and 1 are served, a record too large is refused");
    }

    static void transactions(String bootstrap, Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("java-tx", 1, (short) 3))).all().get();
        TopicPartition partition = new TopicPartition("java-tx", 0);
        Properties config = Wire.config(bootstrap, "transactional.id", "java-id");
        Producer<String, String> old = new KafkaProducer<>(config);
        old.initTransactions();
        for (String what : List.of("committed", "aborted", "open")) {
            old.beginTransaction();
            old.send(new ProducerRecord<>("java-tx", what)).get();
            switch (what) {
                case "committed" -> old.commitTransaction();
                case "aborted" -> old.abortTransaction();
                default -> { }
            }
        }
        Wire.same(List.of("committed"), values(bootstrap, partition, "read_committed"));
        Wire.same(List.of("committed", "aborted", "open"), values(bootstrap, partition, "read_uncommitted"));
        TransactionDescription described = admin.describeTransactions(List.of("java-id")).description("java-id").get();
        Wire.same(TransactionState.ONGOING, described.state());
        Wire.same(Set.of(partition), described.topicPartitions());
        Wire.same(true, admin.listTransactions().all().get().stream().anyMatch(one -> one.transactionalId().equals("java-id")));
        Wire.same(1, admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().size());
        try (Producer<String, String> young = new KafkaProducer<>(config)) {
            young.initTransactions();
            young.beginTransaction();
            young.send(new ProducerRecord<>("java-tx", "of the second"));
            Wire.refused(ProducerFencedException.class, old::commitTransaction);
            old.close(Duration.ZERO);
            young.commitTransaction();
        }
        Wire.same(List.of("committed", "of the second"), values(bootstrap, partition, "read_committed"));
        Wire.held("transactions commit, abort, are described, and fence");
    }

    /** From the beginning to the end that a consumer of that isolation sees. */
    static List<String> values(String bootstrap, TopicPartition partition, String isolation) {
        try (Consumer<String, String> consumer = new KafkaConsumer<>(Wire.config(bootstrap, "isolation.level", isolation))) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            List<String> values = new ArrayList<>();
            while (consumer.position(partition) < end) {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> values.add(record.value()));
            }
            return values;
        }
    }
}
