package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const records = 300

// Topics, their settings, writing in every codec, reading, offsets, transactions.
func session() {
	adm := admin()
	defer adm.Close()
	cluster(adm)
	topics(adm)
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		written(adm, name, codecs[name])
	}
	offsets(adm)
	acks(adm)
	transactions(adm)
	ok(must(adm.DeleteTopic(ctx, "go")).Err)
	refused(kerr.UnknownTopicOrPartition, must(adm.DeleteTopics(ctx, "no-such-topic"))["no-such-topic"].Err)
	held("a topic is deleted, one that is not there is refused")
}

func cluster(adm *kadm.Client) {
	metadata := must(adm.BrokerMetadata(ctx))
	same([]int32{1, 2, 3}, metadata.Brokers.NodeIDs())
	same(true, metadata.Controller >= 1 && metadata.Cluster != "")
	config := must(must(adm.DescribeBrokerConfigs(ctx, 1)).On("1", nil))
	ok(config.Err)
	same(true, len(config.Configs) > 50)
	same(3, len(must(adm.DescribeAllLogDirs(ctx, nil))))
	same(3, len(must(adm.ApiVersions(ctx))))
	held("the cluster is described")
}

func topics(adm *kadm.Client) {
	value := kadm.StringPtr
	configs := map[string]*string{"retention.ms": value("3600000"), "min.insync.replicas": value("2")}
	ok(must(adm.CreateTopic(ctx, 3, 3, configs, "go")).Err)
	created := func(partitions int32, replicas int16, configs map[string]*string, topic string) error {
		return must(adm.CreateTopics(ctx, partitions, replicas, configs, topic))[topic].Err
	}
	refused(kerr.TopicAlreadyExists, created(3, 3, nil, "go"))
	refused(kerr.InvalidReplicationFactor, created(1, 4, nil, "four"))
	refused(kerr.InvalidTopicException, created(1, 1, nil, "no/name"))
	refused(kerr.InvalidConfig, created(1, 1, map[string]*string{"no.such": value("x")}, "odd"))
	ok(must(adm.ValidateCreateTopics(ctx, 1, 1, nil, "only-tried"))["only-tried"].Err)
	listed := must(adm.ListTopics(ctx))
	same(true, listed.Has("go") && !listed.Has("only-tried"))
	same(3, len(listed["go"].Partitions))
	for _, partition := range listed["go"].Partitions {
		same(3, len(partition.Replicas))
		same(3, len(partition.ISR))
		same(partition.Replicas[0], partition.Leader)
	}
	refused(kerr.UnknownTopicOrPartition, must(adm.ListTopics(ctx, "no-such-topic"))["no-such-topic"].Err)
	held("a topic is created once and described")

	alter := func(alterations ...kadm.AlterConfig) error {
		return must(must(adm.AlterTopicConfigs(ctx, alterations, "go")).On("go", nil)).Err
	}
	ok(alter(
		kadm.AlterConfig{Op: kadm.SetConfig, Name: "max.message.bytes", Value: value("200000")},
		kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: value("compact")},
		kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"},
	))
	setting := func(name string) (found string) {
		for _, config := range must(must(adm.DescribeTopicConfigs(ctx, "go")).On("go", nil)).Configs {
			if config.Key == name {
				found = config.MaybeValue()
			}
		}
		return found
	}
	// Each time another broker may be asked.
	is := func(name, value string) {
		until(name+" is "+value, func() bool { return setting(name) == value })
	}
	is("max.message.bytes", "200000")
	is("cleanup.policy", "delete,compact")
	is("retention.ms", "604800000")
	ok(alter(kadm.AlterConfig{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: value("compact")}))
	refused(kerr.InvalidConfig, alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: value("soon")}))
	held("its settings are altered and described")

	ok(must(must(adm.UpdatePartitions(ctx, 5, "go")).On("go", nil)).Err)
	refused(kerr.InvalidPartitions, must(adm.UpdatePartitions(ctx, 4, "go"))["go"].Err)
	held("the topic grows")
}

func value(n int) []byte {
	return []byte(fmt.Sprint(n, " ", strings.Repeat("the same words again and again ", n%20)))
}

func written(adm *kadm.Client, name string, codec kgo.CompressionCodec) {
	topic := "go-" + name
	ok(must(adm.CreateTopic(ctx, 3, 3, nil, topic)).Err)
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "null"}}
	producer := client(kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(5*time.Millisecond))
	var waiting sync.WaitGroup
	for n := range records {
		waiting.Add(1)
		producer.Produce(ctx, &kgo.Record{
			Topic: topic, Partition: int32(n % 3), Key: []byte(fmt.Sprint("k", n)), Value: value(n),
			Headers: headers, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(n)),
		}, func(record *kgo.Record, err error) {
			ok(err)
			same(int64(n/3), record.Offset)
			waiting.Done()
		})
	}
	waiting.Wait()
	producer.Close()

	consumer := client(kgo.ConsumeTopics(topic), kgo.FetchMaxPartitionBytes(4096))
	defer consumer.Close()
	next := []int{0, 1, 2}
	for read := 0; read < records; {
		fetches := consumer.PollFetches(ctx)
		ok(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			n := next[record.Partition]
			next[record.Partition] += 3
			same(fmt.Sprint("k", n), string(record.Key))
			same(string(value(n)), string(record.Value))
			same(1_700_000_000_000+int64(n), record.Timestamp.UnixMilli())
			same(headers, record.Headers)
			read++
		})
	}
	held("%d records come back in order, headers and all, codec %s", records, name)
}

func offsets(adm *kadm.Client) {
	at := func(listed kadm.ListedOffsets, err error) int64 {
		found, is := must(listed, err).Lookup("go-none", 0)
		same(true, is)
		ok(found.Err)
		return found.Offset
	}
	same(0, at(adm.ListStartOffsets(ctx, "go-none")))
	same(100, at(adm.ListEndOffsets(ctx, "go-none")))
	same(100, at(adm.ListCommittedOffsets(ctx, "go-none")))
	same(50, at(adm.ListOffsetsAfterMilli(ctx, 1_700_000_000_150, "go-none")))
	same(99, at(adm.ListMaxTimestampOffsets(ctx, "go-none")))
	from := map[string]map[int32]kgo.Offset{"go-none": {0: kgo.NewOffset().At(77)}}
	consumer := client(kgo.ConsumePartitions(from))
	defer consumer.Close()
	same(77, consumer.PollRecords(ctx, 1).Records()[0].Offset)
	consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{"go-none": {0: {Epoch: -1, Offset: 33}}})
	same(33, consumer.PollRecords(ctx, 1).Records()[0].Offset)
	held("offsets are found at the beginning, at the end and by time; a consumer seeks")

	remove := func(before int64) error {
		var first kadm.Offsets
		first.AddOffset("go-none", 0, before, -1)
		removed, _ := must(adm.DeleteRecords(ctx, first)).Lookup("go-none", 0)
		return removed.Err
	}
	ok(remove(10))
	same(10, at(adm.ListStartOffsets(ctx, "go-none")))
	refused(kerr.OffsetOutOfRange, remove(1_000))
	held("the first records are deleted, more than there are is refused")
}

func acks(adm *kadm.Client) {
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck()} {
		producer := client(kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
		for range 50 {
			producer.Produce(ctx, &kgo.Record{Topic: "go", Value: []byte("v")}, func(_ *kgo.Record, err error) { ok(err) })
		}
		ok(producer.Flush(ctx))
		producer.Close()
	}
	producer := client(kgo.ProducerBatchMaxBytes(900_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer producer.Close()
	refused(kerr.MessageTooLarge, producer.ProduceSync(ctx, &kgo.Record{Topic: "go", Value: make([]byte, 250_000)}).FirstErr())
	until("both are there", func() bool {
		end, _ := must(adm.ListEndOffsets(ctx, "go")).Lookup("go", 0)
		return end.Offset == 100
	})
	held("acks 0 and 1 are served, a record too large is refused")
}

func transactions(adm *kadm.Client) {
	ok(must(adm.CreateTopic(ctx, 1, 3, nil, "go-tx")).Err)
	old := client(kgo.TransactionalID("go-id"))
	send := func(producer *kgo.Client, what string) error {
		return producer.ProduceSync(ctx, &kgo.Record{Topic: "go-tx", Value: []byte(what)}).FirstErr()
	}
	for _, what := range []string{"committed", "aborted", "open"} {
		ok(old.BeginTransaction())
		ok(send(old, what))
		switch what {
		case "committed":
			ok(old.EndTransaction(ctx, kgo.TryCommit))
		case "aborted":
			ok(old.EndTransaction(ctx, kgo.TryAbort))
		}
	}
	same([]string{"committed"}, values(adm, kgo.ReadCommitted()))
	same([]string{"committed", "aborted", "open"}, values(adm, kgo.ReadUncommitted()))
	described := must(must(adm.DescribeTransactions(ctx, "go-id")).On("go-id", nil))
	same("Ongoing", described.State)
	same(true, described.Topics.Lookup("go-tx", 0))
	_, isListed := must(adm.ListTransactions(ctx, nil, nil))["go-id"]
	same(true, isListed)
	var topic kadm.TopicsSet
	topic.Add("go-tx", 0)
	same(1, len(must(adm.DescribeProducers(ctx, topic)).SortedProducers()))
	young := client(kgo.TransactionalID("go-id"))
	defer young.Close()
	ok(young.BeginTransaction())
	ok(send(young, "of the second"))
	if old.EndTransaction(ctx, kgo.TryCommit) == nil {
		panic("the first producer is not fenced")
	}
	old.Close()
	ok(young.EndTransaction(ctx, kgo.TryCommit))
	same([]string{"committed", "of the second"}, values(adm, kgo.ReadCommitted()))
	held("transactions commit, abort, are described, and fence")
}

// From the beginning to the last record that is there for that isolation.
func values(adm *kadm.Client, isolation kgo.IsolationLevel) (values []string) {
	list := adm.ListEndOffsets
	if isolation == kgo.ReadCommitted() {
		list = adm.ListCommittedOffsets
	}
	end, _ := must(list(ctx, "go-tx")).Lookup("go-tx", 0)
	consumer := client(kgo.ConsumeTopics("go-tx"), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords())
	defer consumer.Close()
	for next := int64(0); next < end.Offset; {
		for _, record := range consumer.PollFetches(ctx).Records() {
			next = record.Offset + 1
			if !record.Attrs.IsControl() {
				values = append(values, string(record.Value))
			}
		}
	}
	return values
}
