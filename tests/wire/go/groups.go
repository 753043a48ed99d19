package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 6

// Members come and leave while records are written; what each has read is committed before it gives a partition up.
func groups() {
	adm := admin()
	defer adm.Close()
	quick := kgo.HeartbeatInterval(300 * time.Millisecond)
	group(adm, "range", kgo.Balancers(kgo.RangeBalancer()), quick)
	group(adm, "cooperative", kgo.Balancers(kgo.CooperativeStickyBalancer()), quick)
	group(adm, "consumer", kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
}

// What a group has read, together.
type journal struct {
	sync.Mutex
	read []int
}

func (j *journal) length() int {
	j.Lock()
	defer j.Unlock()
	return len(j.read)
}

// A goroutine that reads as a member until it is told to leave.
type member struct {
	stop  context.CancelFunc
	ended sync.WaitGroup

	mutex sync.Mutex
	share map[int32]bool
}

func join(topic, name string, j *journal, opts []kgo.Opt) *member {
	m := &member{share: map[int32]bool{}}
	has := func(is bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			if !is {
				ok(client.CommitUncommittedOffsets(ctx))
			}
			m.mutex.Lock()
			defer m.mutex.Unlock()
			for _, partition := range partitions[topic] {
				m.share[partition] = is
			}
		}
	}
	reader := client(append(opts, kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsAssigned(has(true)), kgo.OnPartitionsRevoked(has(false)))...)
	running, stop := context.WithCancel(ctx)
	m.stop = stop
	m.ended.Go(func() {
		for running.Err() == nil {
			fetches := reader.PollFetches(running)
			if running.Err() == nil {
				ok(fetches.Err())
			}
			j.Lock()
			fetches.EachRecord(func(record *kgo.Record) { j.read = append(j.read, number(string(record.Value))) })
			j.Unlock()
			reader.AllowRebalance()
		}
		ok(reader.CommitUncommittedOffsets(ctx))
		reader.CloseAllowingRebalance()
	})
	return m
}

func (m *member) leave() {
	m.stop()
	m.ended.Wait()
}

func (m *member) partitions() (share []int32) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for partition, is := range m.share {
		if is {
			share = append(share, partition)
		}
	}
	return share
}

func shared(members []*member) bool {
	var all []int32
	for _, m := range members {
		share := m.partitions()
		if len(share) != partitions/len(members) {
			return false
		}
		all = append(all, share...)
	}
	slices.Sort(all)
	return len(slices.Compact(all)) == partitions
}

func group(adm *kadm.Client, name string, opts ...kgo.Opt) {
	topic := "go-group-" + name
	ok(must(adm.CreateTopic(ctx, partitions, 3, nil, topic)).Err)
	var j journal
	var members []*member
	written := 0
	for _, size := range []int{1, 2, 3, 2} {
		if size > len(members) {
			members = append(members, join(topic, name, &j, opts))
		} else {
			members[0].leave()
			members = members[1:]
		}
		// Some are written while the group is at it.
		write(topic, written, written+120)
		until(fmt.Sprint("all have the same share, of ", size), func() bool { return shared(members) })
		write(topic, written+120, written+240)
		written += 240
		until(fmt.Sprint("all is read by ", size), func() bool { return j.length() >= written })
	}
	if name == "consumer" {
		described := must(adm.DescribeConsumerGroups(ctx, name))[name]
		ok(described.Err)
		same("Stable", described.State)
		same(2, len(described.Members))
	} else {
		described := must(must(adm.DescribeGroups(ctx, name)).On(name, nil))
		same("Stable", described.State)
		same(2, len(described.Members))
	}
	refused(kerr.NonEmptyGroup, must(adm.DeleteGroups(ctx, name))[name].Err)
	for _, m := range members {
		m.leave()
	}
	all := func(count int) []int {
		slices.Sort(j.read)
		var all []int
		for n := range count {
			all = append(all, n)
		}
		return all
	}
	same(all(written), j.read)
	held("group %s: each of %d records is read once by 1, 2, 3, 2 members", name, written)

	write(topic, written, written+60)
	written += 60
	next := join(topic, name, &j, opts)
	until("the next one goes on", func() bool { return j.length() >= written })
	next.leave()
	same(all(written), j.read)
	held("group %s: who comes later goes on at the commit", name)

	administered(adm, name, topic, written)
}

func administered(adm *kadm.Client, name, topic string, all int) {
	_, isListed := must(adm.ListGroups(ctx))[name]
	same(true, isListed)
	same(int64(all), total(adm, name))
	lags := must(adm.Lag(ctx, name))
	same(0, lags[name].Lag.Total())
	var by kadm.Offsets
	by.AddOffset(topic, 0, 7, -1)
	ok(adm.CommitAllOffsets(ctx, name, by))
	found, _ := must(adm.FetchOffsets(ctx, name)).Lookup(topic, 0)
	same(7, found.At)
	var first kadm.TopicsSet
	first.Add(topic, 0)
	ok(must(adm.DeleteOffsets(ctx, name, first)).Error())
	same(partitions-1, len(must(adm.FetchOffsets(ctx, name))[topic]))
	ok(must(adm.DeleteGroup(ctx, name)).Err)
	refused(kerr.GroupIDNotFound, must(adm.DeleteGroups(ctx, name))[name].Err)
	held("group %s: its offsets are listed, altered and deleted, and so is the group", name)
}

// The group's offsets, added up.
func total(adm *kadm.Client, name string) (sum int64) {
	offsets := must(adm.FetchOffsets(ctx, name))
	ok(offsets.Error())
	offsets.Each(func(offset kadm.OffsetResponse) { sum += offset.At })
	return sum
}

func write(topic string, from, to int) {
	producer := client()
	defer producer.Close()
	for n := from; n < to; n++ {
		record := &kgo.Record{Topic: topic, Partition: int32(n % partitions), Value: []byte(strconv.Itoa(n))}
		producer.Produce(ctx, record, func(_ *kgo.Record, err error) { ok(err) })
	}
	ok(producer.Flush(ctx))
}
