// Command sklbench compares package memtable with the skip list of Badger in one
// process: random inserts, and random lookups of present and of absent keys, the two
// lists alternating, medians over the rounds.
//
// Both insert into memory that was used before, as memtables do once a store has grown to
// those of the full size, and once more, in a row of its own, into memory that nobody has
// touched, as the memtables by which it grows do. The gate, half of Badger's time, is met
// in the first case only.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	n := flag.Int("n", 400_000, "entries per list")
	rounds := flag.Int("rounds", 7, "rounds per shape, alternating; medians are printed")
	valueLen := flag.Int("value", 100, "bytes per value")
	only := flag.String("shape", "", "one shape only")
	flag.Parse()
	if err := run(*n, *rounds, *valueLen, *only); err != nil {
		fmt.Fprintln(os.Stderr, "sklbench:", err)
		os.Exit(1)
	}
}

func run(n, rounds, valueLen int, only string) error {
	fmt.Printf("%s %s/%s, %d entries per list, %d-byte values, medians of %d rounds, ns per operation\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, n, valueLen, rounds)
	fmt.Println("| shape | operation | memtable | badger skl | ratio |")
	fmt.Println("|---|---|---:|---:|---:|")
	for _, s := range shapes {
		if only != "" && only != s.name {
			continue
		}
		results, err := compare(s, n, rounds, valueLen)
		if err != nil {
			return err
		}
		for _, o := range results {
			ours, theirs := o.medians()
			fmt.Printf("| %s | %s | %.0f | %.0f | %.2f |\n", s.name, o.name, ours, theirs, ours/theirs)
		}
	}
	return nil
}
