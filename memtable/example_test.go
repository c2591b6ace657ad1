package memtable_test

import (
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
)

func Example() {
	m := memtable.New(make([]byte, 64<<10), 1)
	add := func(seq keys.SeqNum, kind keys.Kind, key, value string) {
		if !m.Fits(1, len(key)+len(value)) {
			panic("freeze it and begin another")
		}
		m.Add([]byte(key), keys.MakeTrailer(seq, kind), []byte(value))
	}
	add(1, keys.KindSet, "cherry", "red")
	add(2, keys.KindSet, "banana", "green")
	add(3, keys.KindSet, "banana", "yellow")
	add(4, keys.KindDelete, "cherry", "")

	key := []byte("banana")
	v, t, found := m.Get(key, keys.Hash(key), 2)
	fmt.Printf("%s %v %v\n", v, t, found)

	it := m.Iter()
	for ok := it.First(); ok; ok = it.Next() {
		fmt.Printf("%s %v %q\n", it.Key(), it.Trailer(), it.Value())
	}
	it.SeekLT([]byte("cherry"))
	fmt.Printf("before cherry: %s %v\n", it.Key(), it.Trailer())
	// Output:
	// green 2,SET true
	// banana 3,SET "yellow"
	// banana 2,SET "green"
	// cherry 4,DELETE ""
	// cherry 1,SET "red"
	// before cherry: banana 2,SET
}
