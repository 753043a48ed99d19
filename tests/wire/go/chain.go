package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The parts of ottla_tests::chain.

func fill(from, to string, partitions, count int) {
	adm := admin()
	defer adm.Close()
	safe := map[string]*string{"min.insync.replicas": kadm.StringPtr("2")}
	ok(must(adm.CreateTopics(ctx, int32(partitions), 3, safe, from, to)).Error())
	producer := client()
	defer producer.Close()
	for n := range count {
		record := &kgo.Record{Topic: from, Partition: int32(n % partitions), Value: []byte(strconv.Itoa(n))}
		producer.Produce(ctx, record, func(_ *kgo.Record, err error) { ok(err) })
	}
	ok(producer.Flush(ctx))
}

func transform(from, to, id string) {
	said := bufio.NewScanner(os.Stdin)
	begin := func() *kgo.GroupTransactSession {
		return must(kgo.NewGroupTransactSession(
			kgo.SeedBrokers(seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id),
			kgo.ConsumerGroup("chain"), kgo.ConsumeTopics(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.SessionTimeout(6*time.Second),
		))
	}
	session := begin()
	for {
		records := session.PollRecords(ctx, 10).Records()
		if len(records) == 0 {
			continue
		}
		ok(session.Begin())
		for _, record := range records {
			copied := &kgo.Record{Topic: to, Partition: record.Partition, Key: record.Key, Value: record.Value}
			session.Produce(ctx, copied, func(_ *kgo.Record, err error) {
				if err != nil {
					fmt.Println(err)
				}
			})
		}
		ok(session.Client().Flush(ctx))
		fmt.Println("open")
		said.Scan()
		// What could not be written, or belongs to another since, is aborted and read anew.
		if _, err := session.End(ctx, kgo.TransactionEndTry(said.Text() == "commit")); err != nil {
			// A broker died just then. Whoever comes with the same id ends what is open, and is told what was committed.
			fmt.Println(err)
			session.Close()
			session = begin()
		}
	}
}

func read(topic string) {
	adm := admin()
	ends := must(adm.ListCommittedOffsets(ctx, topic))
	adm.Close()
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	consumer := client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	for told := false; ; {
		if !told && len(left) == 0 {
			fmt.Println("end")
			told = true
		}
		consumer.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			if !record.Attrs.IsControl() {
				fmt.Println(string(record.Value))
			}
			if record.Offset+1 >= left[record.Partition] {
				delete(left, record.Partition)
			}
		})
	}
}

func committed(group, _ string) {
	adm := admin()
	defer adm.Close()
	fmt.Println(total(adm, group))
}
