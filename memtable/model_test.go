package memtable_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
)

// entry is one entry of the model.
type entry struct {
	key     []byte
	trailer keys.Trailer
	value   []byte
}

// model is a sorted slice: what the list must look like.
type model struct{ entries []entry }

func compareEntries(a, b entry) int { return keys.Compare(a.key, a.trailer, b.key, b.trailer) }

// add reports whether the entry was new.
func (m *model) add(e entry) bool {
	i, found := slices.BinarySearchFunc(m.entries, e, compareEntries)
	if found {
		return false
	}
	m.entries = slices.Insert(m.entries, i, e)
	return true
}

// seek returns the index of the first entry that is not before (key, t).
func (m *model) seek(key []byte, t keys.Trailer) int {
	i, _ := slices.BinarySearchFunc(m.entries, entry{key: key, trailer: t}, compareEntries)
	return i
}

func (m *model) at(i int) (entry, bool) {
	if i < 0 || i >= len(m.entries) {
		return entry{}, false
	}
	return m.entries[i], true
}

func (m *model) get(key []byte, seq keys.SeqNum) (entry, bool) {
	e, ok := m.at(m.seek(key, keys.SeekTrailer(seq)))
	return e, ok && bytes.Equal(e.key, key)
}

func requireEntry(t *testing.T, it *memtable.Iter, want entry, ok bool) {
	t.Helper()
	require.Equal(t, ok, it.Valid())
	if !ok {
		return
	}
	// require.Equal on everything is slow: millions of calls.
	if !bytes.Equal(want.key, it.Key()) || want.trailer != it.Trailer() || !bytes.Equal(want.value, it.Value()) {
		require.Equal(t, want, entry{it.Key(), it.Trailer(), it.Value()})
	}
}

// requireSame walks both ways (M1, M7).
func requireSame(t *testing.T, m *memtable.Memtable, want *model) {
	t.Helper()
	require.Equal(t, len(want.entries), m.Len())
	require.Equal(t, len(want.entries) == 0, m.Empty())
	it := m.Iter()
	it.First()
	for _, e := range want.entries {
		requireEntry(t, &it, e, true)
		it.Next()
	}
	require.False(t, it.Valid())
	it.Last()
	for _, e := range slices.Backward(want.entries) {
		requireEntry(t, &it, e, true)
		it.Prev()
	}
	require.False(t, it.Valid())
	require.NoError(t, memtable.Check(m))
}

// requireAnswers asks everything about (key, t).
func requireAnswers(t *testing.T, m *memtable.Memtable, want *model, key []byte, tr keys.Trailer) {
	t.Helper()
	it := m.Iter()
	i := want.seek(key, tr)
	e, ok := want.at(i)
	require.Equal(t, ok, it.SeekGE(key, tr))
	requireEntry(t, &it, e, ok)
	if ok {
		e, ok = want.at(i - 1)
		it.Prev()
		requireEntry(t, &it, e, ok)
	}
	i = want.seek(key, ^keys.Trailer(0)) - 1
	e, ok = want.at(i)
	require.Equal(t, ok, it.SeekLT(key))
	requireEntry(t, &it, e, ok)
	if ok {
		e, ok = want.at(i + 1)
		it.Next()
		requireEntry(t, &it, e, ok)
	}
	e, ok = want.get(key, tr.SeqNum())
	value, gotTrailer, found := m.Get(key, keys.Hash(key), tr.SeqNum())
	require.Equal(t, ok, found)
	if ok && (gotTrailer != e.trailer || !bytes.Equal(e.value, value)) {
		require.Equal(t, e, entry{key, gotTrailer, value})
	}
	it, found = m.At(key, keys.Hash(key), tr.SeqNum())
	require.Equal(t, ok, found)
	requireEntry(t, &it, e, ok)
}

// keyMakers are families of keys that are hard on codes.
var keyMakers = map[string]func(r *rand.Rand) []byte{
	"random": func(r *rand.Rand) []byte { return fillRandom(r, make([]byte, r.IntN(24)), 256) },
	"zeros":  func(r *rand.Rand) []byte { return make([]byte, r.IntN(12)) },
	"zeros and ones": func(r *rand.Rand) []byte {
		return fillRandom(r, make([]byte, r.IntN(9)), 2)
	},
	"zeros and ff": func(r *rand.Rand) []byte {
		k := fillRandom(r, make([]byte, r.IntN(9)), 2)
		for i := range k {
			k[i] = -k[i]
		}
		return k
	},
	"ff": func(r *rand.Rand) []byte { return bytes.Repeat([]byte{0xff}, r.IntN(9)) },
	"prefixes of each other": func(r *rand.Rand) []byte {
		return bytes.Repeat([]byte("ab\x00"), 20)[:r.IntN(60)]
	},
	"one key":  func(*rand.Rand) []byte { return []byte("the key") },
	"few keys": func(r *rand.Rand) []byte { return []byte{'k', byte(r.IntN(4))} },
	"shared prefix": func(r *rand.Rand) []byte {
		return fillRandom(r, append(bytes.Repeat([]byte{'p'}, 40), 0, 0, 0, 0)[:40+r.IntN(5)], 0)
	},
	"around the longest shared length": func(r *rand.Rand) []byte {
		k := append(make([]byte, 2040+r.IntN(12)), 1, 1, 1, 1, 1)
		return fillTail(r, k, 5, 3)
	},
	"longest": func(r *rand.Rand) []byte {
		k := make([]byte, keys.MaxUserKeyLen-r.IntN(3))
		k[r.IntN(len(k))] = byte(r.IntN(3))
		return k
	},
}

func fillRandom(r *rand.Rand, k []byte, below int) []byte { return fillTail(r, k, len(k), below) }

func fillTail(r *rand.Rand, k []byte, n, below int) []byte {
	for i := len(k) - n; i < len(k) && below > 0; i++ {
		k[i] = byte(r.IntN(below))
	}
	return k
}

func TestAgreesWithASortedSlice(t *testing.T) {
	t.Parallel()
	for name, makeKey := range keyMakers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adds, seeds := 800, uint64(4)
			if raceEnabled {
				adds, seeds = 200, 2
			}
			if name == "longest" || name == "around the longest shared length" {
				adds /= 10
			}
			for seed := range seeds {
				r := rand.New(rand.NewPCG(seed, 7))
				m := memtable.New(make([]byte, memtable.RegionBytes(adds, adds*20+80*70_000)), seed)
				fingers := 1 + int(seed)*(memtable.Fingers-1)/3 // one, several, all
				var want model
				for i := range adds {
					// Every other run has ascending numbers, as a store does.
					seq := keys.SeqNum(i + 1)
					if seed%2 == 1 {
						seq = keys.SeqNum(r.IntN(1 << 20))
					}
					e := entry{makeKey(r), keys.MakeTrailer(seq, keys.Kind(1+r.IntN(3))), fillRandom(r, make([]byte, r.IntN(20)), 256)}
					if want.add(e) {
						add := m.AddBy
						if r.IntN(3) == 0 {
							add = m.AddAgain
						}
						add(r.IntN(fingers), e.key, e.trailer, e.value)
						if i%50 == 0 {
							require.NoError(t, memtable.CheckFingers(m))
						}
					}
					requireAnswers(t, m, &want, e.key, e.trailer)
					requireAnswers(t, m, &want, makeKey(r), keys.MakeTrailer(keys.SeqNum(r.IntN(1<<20)), keys.Kind(r.IntN(256))))
				}
				requireSame(t, m, &want)
				for range adds / 3 {
					requireAnswers(t, m, &want, makeKey(r), keys.SeekTrailer(keys.MaxSeqNum))
				}
			}
		})
	}
}

// M8. Where a finger did not know what others have inserted in between, its next node would take their
// place on a level.
func TestFingersDoNotMissWhatOthersInsert(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	m := memtable.New(make([]byte, memtable.RegionBytes(900, 900*8)), 3)
	var want model
	for i := range 600 {
		by := r.IntN(memtable.Fingers)
		// Each finger ascends by itself, and goes back now and then, all over the same keys.
		e := entry{binary.BigEndian.AppendUint16(nil, uint16(i*97+by*31)), keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), nil}
		require.True(t, want.add(e))
		m.AddBy(by, e.key, e.trailer, e.value)
		if i%2 == 0 { // and a newer version of it, beside all fingers
			e.trailer = keys.MakeTrailer(keys.SeqNum(i+601), keys.KindDelete)
			require.True(t, want.add(e))
			m.AddAgain(by, e.key, e.trailer, e.value)
		}
		if i%5 == 0 {
			require.NoError(t, memtable.CheckFingers(m))
		}
	}
	requireSame(t, m, &want)
}

// A finger finds out by itself that keys come again, and that they no longer do or do in order; it learns nothing from others.
func TestFingersLearnThatKeysComeAgain(t *testing.T) {
	t.Parallel()
	m := memtable.New(make([]byte, 1<<20), 1)
	want := &model{}
	seq, fresh := keys.SeqNum(0), 1000
	add := func(by, i int) (searched int) {
		seq++
		e := entry{fmt.Appendf(nil, "key-%04d", i), keys.MakeTrailer(seq, keys.KindSet), fmt.Appendf(nil, "%d", seq)}
		m.AddBy(by, e.key, e.trailer, e.value)
		want.add(e)
		if memtable.Searched(m, by) {
			return 1
		}
		return 0
	}
	for _, round := range []struct {
		name        string
		key         func(i int) int
		least, most int // of 100 insertions that search
	}{
		{"new", func(i int) int { return i * 37 % 100 }, 100, 100},
		{"again", func(i int) int { return i * 37 % 100 }, 8, 30},
		{"again", func(i int) int { return i * 41 % 100 }, 0, 20},
		{"again, in order", func(i int) int { return i }, 80, 100},
		{"again", func(i int) int { return i * 37 % 100 }, 0, 20},
		{"new", func(i int) int { return 100 + i*37%100 }, 100, 100},
	} {
		searched := 0
		for i := range 100 {
			searched += add(1, round.key(i))
			fresh++
			require.Equal(t, 1, add(0, 1000+fresh*7919%8999), "of the other finger's keys none comes again")
		}
		require.GreaterOrEqual(t, searched, round.least, round.name)
		require.LessOrEqual(t, searched, round.most, round.name)
		requireSame(t, m, want)
	}
}
