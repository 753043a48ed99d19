// franz-go against a server; ottla_tests::foreign says what the commands are.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What anything may take at most.
const patience = 60 * time.Second

var (
	seeds []string
	ctx   = context.Background()
)

func main() {
	words := os.Args[1:]
	seeds = strings.Split(words[1], ",")
	switch words[0] {
	case "session":
		session()
		groups()
	case "fill":
		fill(words[2], words[3], number(words[4]), number(words[5]))
	case "transform":
		transform(words[2], words[3], words[4])
	case "read":
		read(words[2])
	case "committed":
		committed(words[2], words[3])
	default:
		panic(words[0])
	}
}

func client(opts ...kgo.Opt) *kgo.Client {
	all := []kgo.Opt{kgo.SeedBrokers(seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	return must(kgo.NewClient(append(all, opts...)...))
}

func admin() *kadm.Client { return kadm.NewClient(client()) }

func must[T any](value T, err error) T {
	ok(err)
	return value
}

func ok(err error) {
	if err != nil {
		panic(err)
	}
}

func same[T any](expected, found T) {
	if !reflect.DeepEqual(expected, found) {
		panic(fmt.Sprintf("expected %v, found %v", expected, found))
	}
}

func refused(why, err error) {
	if !errors.Is(err, why) {
		panic(fmt.Sprintf("expected %v, found %v", why, err))
	}
}

func held(format string, words ...any) { fmt.Printf("held: "+format+"\n", words...) }

func number(word string) int { return must(strconv.Atoi(word)) }

func until(what string, isSo func() bool) {
	for end := time.Now().Add(patience); !isSo(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			panic("not in time: " + what)
		}
	}
}
