package vfs_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// seeds returns n, or forty times that many in the long form.
func seeds(n uint64) uint64 {
	if os.Getenv("LOAM_LONG") != "" {
		return 40 * n
	}
	return n
}

// modelOp is an operation on files of two bytes in one directory, in the terms of rules
// F1 to F4 and of nothing else.
type modelOp struct {
	kind     string // write dsync dsyncend sync create remove rename link syncdir
	file     int
	at       int
	value    byte
	name, to string
}

// durable reports which of the operations before k no power cut at k undoes.
func durable(ops []modelOp, k int) []bool {
	out := make([]bool, k)
	for i, o := range ops[:k] {
		out[i] = o.kind == "dsyncend" || o.kind == "sync" || o.kind == "syncdir"
		if o.kind == "dsync" {
			out[i] = i+1 < k // its end follows at once
		}
		for _, later := range ops[i+1 : k] {
			switch o.kind {
			case "write", "dsync":
				out[i] = out[i] || later.kind == "sync" && later.file == o.file
			case "create", "remove", "rename", "link":
				out[i] = out[i] || later.kind == "syncdir"
			}
		}
	}
	return out
}

// replay applies the operations of which level says how much: 0 nothing, 1 a rename's
// new name alone, 2 all.
func replay(ops []modelOp, level []int) string {
	content := map[int][]byte{}
	names := map[string]int{}
	at := func(file int) []byte {
		if content[file] == nil {
			content[file] = []byte("00")
		}
		return content[file]
	}
	for i, o := range ops[:len(level)] {
		if level[i] == 0 {
			continue
		}
		switch o.kind {
		case "write", "dsync":
			at(o.file)[o.at] = o.value
		case "create", "link":
			names[o.name] = o.file
		case "remove":
			delete(names, o.name)
		case "rename":
			names[o.to] = o.file
			if level[i] == 2 {
				delete(names, o.name)
			}
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, name+"="+string(at(names[name])))
	}
	if out == nil {
		return "-"
	}
	return strings.Join(out, " ")
}

// legal returns every state that the rules allow at k.
func legal(ops []modelOp, k int) []string {
	fixed := durable(ops, k)
	states := map[string]bool{}
	var choose func(level []int)
	choose = func(level []int) {
		i := len(level)
		if i == k {
			states[replay(ops, level)] = true
			return
		}
		if !fixed[i] {
			choose(append(slices.Clone(level), 0))
			if ops[i].kind == "rename" {
				choose(append(slices.Clone(level), 1))
			}
		}
		choose(append(slices.Clone(level), 2))
	}
	choose(nil)
	return slices.Sorted(maps.Keys(states))
}

// modelHistory does random operations on a crash file system and records them. Files
// begin with two durable bytes, so that no write needs a new block.
func modelHistory(t testing.TB, rnd *rand.Rand, n int) (*vfs.Mem, []modelOp) {
	m := vfs.NewMem()
	contents := []vfs.File{}
	live := map[string]int{}
	for i, name := range []string{"a", "b", "c"} {
		create(t, m, name, "00")
		live[name] = i
	}
	m = m.CopyDurable()
	for _, name := range []string{"a", "b", "c"} {
		f, err := m.Open(name, vfs.ReadWrite)
		require.NoError(t, err)
		contents = append(contents, f)
	}
	ops := []modelOp{{kind: "create", name: "a", file: 0}, {kind: "create", name: "b", file: 1}, {kind: "create", name: "c", file: 2}, {kind: "syncdir"}}
	all := []string{"a", "b", "c", "d"}
	for len(ops) < n+4 {
		o := modelOp{name: all[rnd.IntN(4)], to: all[rnd.IntN(4)], file: rnd.IntN(3), at: rnd.IntN(2), value: byte('1' + len(ops)%9)}
		var err error
		switch rnd.IntN(10) {
		case 0, 1, 2:
			o.kind = "write"
			_, err = contents[o.file].WriteAt([]byte{o.value}, int64(o.at))
		case 3:
			o.kind = "dsync"
			name, ok := nameOf(live, o.file)
			if !ok {
				continue
			}
			var f vfs.File
			f, err = m.Open(name, vfs.ReadWriteDSync)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte{o.value}, int64(o.at))
		case 4:
			o.kind = "sync"
			err = contents[o.file].Sync()
		case 5:
			o.kind = "syncdir"
			err = m.SyncDir("")
		case 6:
			if _, ok := live[o.name]; !ok {
				continue
			}
			o.kind = "remove"
			err = m.Remove(o.name)
			delete(live, o.name)
		case 7, 8:
			file, ok := live[o.name]
			if target, taken := live[o.to]; !ok || taken && target == file {
				continue
			}
			o.kind, o.file = "rename", file
			err = m.Rename(o.name, o.to)
			delete(live, o.name)
			live[o.to] = file
		case 9:
			file, ok := live[o.name]
			if _, taken := live[o.to]; !ok || taken {
				continue
			}
			o.kind, o.name, o.file = "link", o.to, file
			old, _ := nameOf(live, file)
			err = m.Link(old, o.to)
			live[o.to] = file
		}
		require.NoError(t, err)
		ops = append(ops, o)
		if o.kind == "dsync" {
			ops = append(ops, modelOp{kind: "dsyncend"})
		}
	}
	return m, ops
}

func nameOf(live map[string]int, file int) (string, bool) {
	for _, name := range slices.Sorted(maps.Keys(live)) {
		if live[name] == file {
			return name, true
		}
	}
	return "", false
}

// The explorer keeps images up to date and skips repetitions; the model tries every
// subset of every prefix from nothing. They must agree: every state yielded is legal,
// and with enough random subsets every legal one is yielded.
func TestStatesAreThoseTheRulesAllow(t *testing.T) {
	const before = 4 // operations that CopyDurable made durable
	for seed := range seeds(25) {
		m, ops := modelHistory(t, rand.New(rand.NewPCG(seed, 1)), 9)
		e := m.Explore()
		require.Equal(t, len(ops)-before, e.Len())
		for k := range e.Len() + 1 {
			e.AdvanceTo(k)
			want := legal(ops, k+before)
			got := map[string]bool{}
			for s := range e.States(vfs.StateOptions{Seed: seed, Random: 40 * len(want)}) {
				d := dump(t, s.Mem())
				if d == "" {
					d = "-"
				}
				require.Contains(t, want, d, "seed %d, %s\n%v", seed, s, ops)
				got[d] = true
			}
			require.Equal(t, want, slices.Sorted(maps.Keys(got)), "seed %d, point %d\n%v", seed, k, ops)
		}
	}
}

// Leaving out what an earlier point yielded must lose nothing.
func TestStatesAcrossPointsAreComplete(t *testing.T) {
	for seed := range seeds(25) {
		m, _ := modelHistory(t, rand.New(rand.NewPCG(seed, 2)), 60)
		collect := func(expect func(k int) uint64) (hashes []string, yielded int) {
			seen := map[string]bool{}
			e := m.Explore()
			for k := range e.Len() + 1 {
				e.AdvanceTo(k)
				for s := range e.States(vfs.StateOptions{Pending: 1 << 20, Expect: expect(k)}) {
					seen[fmt.Sprint(k/20, s.Hash())] = true
					yielded++
				}
			}
			hashes = slices.Collect(maps.Keys(seen))
			sort.Strings(hashes)
			return hashes, yielded
		}
		every, all := collect(func(int) uint64 { return 0 })
		once, some := collect(func(k int) uint64 { return uint64(k/20 + 1) })
		require.Equal(t, every, once, "seed %d", seed)
		require.Less(t, some, all)
		require.Equal(t, len(once), some)
	}
}
