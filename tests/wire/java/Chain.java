import java.io.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

/** The parts of ottla_tests::chain. */
class Chain {
    static void fill(String bootstrap, String from, String to, int partitions, int count) throws Exception {
        try (Admin admin = Admin.create(Wire.config(bootstrap))) {
            Map<String, String> safe = Map.of("min.insync.replicas", "2");
            admin.createTopics(List.of(
                new NewTopic(from, partitions, (short) 3).configs(safe), new NewTopic(to, partitions, (short) 3).configs(safe))).all().get();
        }
        try (Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap))) {
            for (int n = 0; n < count; n++) {
                producer.send(new ProducerRecord<>(from, n % partitions, null, "" + n));
            }
        }
    }

    static void transform(String bootstrap, String from, String to, String id) throws Exception {
        BufferedReader said = new BufferedReader(new InputStreamReader(System.in));
        Producer<String, String> producer = new KafkaProducer<>(Wire.config(bootstrap, "transactional.id", id));
        producer.initTransactions();
        Consumer<String, String> consumer = new KafkaConsumer<>(Wire.config(bootstrap, "group.id", "chain", "isolation.level", "read_committed",
            "auto.offset.reset", "earliest", "enable.auto.commit", "false", "max.poll.records", "10", "session.timeout.ms", "6000"));
        consumer.subscribe(List.of(from));
        while (true) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(500));
            if (records.isEmpty()) {
                continue;
            }
            Map<TopicPartition, OffsetAndMetadata> begin = new HashMap<>();
            Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
            boolean done = false;
            producer.beginTransaction();
            try {
                for (ConsumerRecord<String, String> record : records) {
                    TopicPartition partition = new TopicPartition(from, record.partition());
                    begin.putIfAbsent(partition, new OffsetAndMetadata(record.offset()));
                    next.put(partition, new OffsetAndMetadata(record.offset() + 1));
                    producer.send(new ProducerRecord<>(to, record.partition(), record.key(), record.value()));
                }
                producer.flush();
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                System.out.println("open");
                String word = said.readLine();
                if ("commit".equals(word)) {
                    producer.commitTransaction();
                    done = true;
                } else {
                    producer.abortTransaction();
                }
            } catch (ProducerFencedException | OutOfOrderSequenceException | AuthorizationException fatal) {
                throw fatal;
            } catch (KafkaException why) {
                System.out.println(why);
                producer.abortTransaction();
            }
            if (!done) {
                begin.forEach((partition, offset) -> {
                    if (consumer.assignment().contains(partition)) {
                        consumer.seek(partition, offset);
                    }
                });
            }
        }
    }

    static void read(String bootstrap, String topic) {
        Consumer<String, String> consumer = new KafkaConsumer<>(Wire.config(bootstrap, "isolation.level", "read_committed"));
        List<TopicPartition> partitions = consumer.partitionsFor(topic).stream().map(one -> new TopicPartition(topic, one.partition())).toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<TopicPartition, Long> ends = new HashMap<>(consumer.endOffsets(partitions));
        while (true) {
            if (!ends.isEmpty()) {
                ends.entrySet().removeIf(end -> consumer.position(end.getKey()) >= end.getValue());
                if (ends.isEmpty()) {
                    System.out.println("end");
                }
            }
            consumer.poll(Duration.ofMillis(200)).forEach(record -> System.out.println(record.value()));
        }
    }

    static void committed(String bootstrap, String group, String topic) throws Exception {
        try (Admin admin = Admin.create(Wire.config(bootstrap))) {
            Map<TopicPartition, OffsetAndMetadata> offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            System.out.println(offsets.values().stream().mapToLong(OffsetAndMetadata::offset).sum());
        }
    }
}
