package memtable_test

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
)

// The schedules explored here are all of these: the writer runs to one of its stores,
// the reader to one of its loads, and so on in turn, for some number of pieces, after
// which the reader ends, and then the writer. With the reader ending in its first piece that is
// every operation run whole at every store; with five pieces the rest is every place
// to interrupt a reader twice and a writer three times.
const maxPieces = 7

// scenario is a list and what the writer adds to it.
type scenario struct {
	name       string
	base, adds []entry
	again      bool // by AddAgain
}

func e(key string, seq keys.SeqNum) entry {
	return entry{[]byte(key), keys.MakeTrailer(seq, keys.KindSet), fmt.Appendf(nil, "%q@%d", key, seq)}
}

var scenarios = []scenario{
	{"between neighbours, rising", []entry{e("a", 1), e("c", 2), e("e", 3)}, []entry{e("b", 4), e("bb", 5)}, false},
	{"versions of one key", []entry{e("k", 1), e("k", 2)}, []entry{e("k", 5), e("k", 6)}, false},
	{"empty list", nil, []entry{e("", 1), e("\x00", 2)}, false},
	{"prefixes and zeros", []entry{e("ab", 1), e("ab\x00\x00", 2)}, []entry{e("ab\x00", 3), e("ab\x00c", 4)}, false},
	{"older after newer", []entry{e("k", 3), e("z", 1)}, []entry{e("k", 9), e("k", 4)}, false},
	{
		"into one gap", []entry{e("a", 1), e("b", 1), e("c", 1), e("x", 1), e("y", 1)},
		[]entry{e("m", 5), e("o", 6), e("n", 7), e("n", 8)}, false,
	},
	{"again", []entry{e("a", 1), e("k", 2), e("z", 3)}, []entry{e("k", 5), e("a", 6)}, true},
	{"both ends", []entry{e("m", 1)}, []entry{e("\xff\xff\xff", 2), e("", 3)}, false},
}

// world is one run: a list, the models of the list after each number of adds, and how
// far the writer is.
type world struct {
	m               *memtable.Memtable
	models          []model
	began, returned int // adds
	t               *testing.T
	schedule        []int
}

// step is one call of a reader. It may see the list as it was after any number of adds
// between those that had returned when it began and those that had begun when it ended.
func (w *world) step(got func() (entry, bool), want func(*model) (entry, bool)) (entry, bool) {
	from := w.returned
	g, ok := got()
	for k := from; k <= w.began; k++ {
		if e, found := want(&w.models[k]); found == ok && compareEntries(e, g) == 0 && bytes.Equal(e.value, g.value) {
			return g, ok
		}
	}
	require.Fail(w.t, "no moment explains what the reader saw",
		"saw %v %s %v between %d and %d adds, schedule %v", ok, g.key, g.trailer, from, w.began, w.schedule)
	return g, ok
}

func current(it *memtable.Iter, ok bool) (entry, bool) {
	if !ok {
		return entry{}, false
	}
	return entry{it.Key(), it.Trailer(), it.Value()}, true
}

// readers are the operations of a reader, for one key of interest.
var readers = map[string]func(w *world, key []byte){
	"get": func(w *world, key []byte) {
		for _, seq := range []keys.SeqNum{keys.MaxSeqNum, 4, 2} {
			w.step(func() (entry, bool) {
				v, tr, ok := w.m.Get(key, keys.Hash(key), seq)
				if !ok {
					return entry{}, false
				}
				return entry{key, tr, v}, true
			}, func(m *model) (entry, bool) {
				if e, ok := m.get(key, seq); ok {
					return e, true
				}
				return entry{}, false
			})
		}
	},
	"seek and back": func(w *world, key []byte) {
		it := w.m.Iter()
		g, ok := w.step(func() (entry, bool) { return current(&it, it.SeekGE(key, keys.SeekTrailer(5))) },
			func(m *model) (entry, bool) { return m.at(m.seek(key, keys.SeekTrailer(5))) })
		if ok {
			w.step(func() (entry, bool) { return current(&it, it.Prev()) },
				func(m *model) (entry, bool) { return m.at(m.seek(g.key, g.trailer) - 1) })
		}
	},
	"seek below and on": func(w *world, key []byte) {
		it := w.m.Iter()
		g, ok := w.step(func() (entry, bool) { return current(&it, it.SeekLT(key)) },
			func(m *model) (entry, bool) { return m.at(m.seek(key, ^keys.Trailer(0)) - 1) })
		if ok {
			w.step(func() (entry, bool) { return current(&it, it.Next()) },
				func(m *model) (entry, bool) { return m.at(m.seek(g.key, g.trailer) + 1) })
		}
	},
	"forward": func(w *world, _ []byte) {
		it := w.m.Iter()
		g, ok := w.step(func() (entry, bool) { return current(&it, it.First()) },
			func(m *model) (entry, bool) { return m.at(0) })
		for ok {
			at := g
			g, ok = w.step(func() (entry, bool) { return current(&it, it.Next()) },
				func(m *model) (entry, bool) { return m.at(m.seek(at.key, at.trailer) + 1) })
		}
	},
	"backward": func(w *world, _ []byte) {
		it := w.m.Iter()
		g, ok := w.step(func() (entry, bool) { return current(&it, it.Last()) },
			func(m *model) (entry, bool) { return m.at(len(m.entries) - 1) })
		for ok {
			at := g
			g, ok = w.step(func() (entry, bool) { return current(&it, it.Prev()) },
				func(m *model) (entry, bool) { return m.at(m.seek(at.key, at.trailer) - 1) })
		}
	},
}

// run runs one schedule on a fresh list and reports which pieces were used in full.
func run(t *testing.T, s scenario, models []model, region []byte, reader func(*world), schedule []int) [maxPieces]bool {
	w := &world{m: memtable.New(region, 11), models: models, t: t, schedule: schedule}
	for _, e := range s.base {
		w.m.Add(e.key, e.trailer, e.value)
	}
	var yieldOf [2]func(struct{}) bool // of writer and reader
	running := 0
	pause := func(thread int) func() {
		return func() {
			if running == thread {
				yieldOf[thread](struct{}{})
			}
		}
	}
	thread := func(i int, body func()) (next func() bool, stop func()) {
		n, s := iter.Pull(func(yield func(struct{}) bool) {
			yieldOf[i] = yield
			body()
		})
		return func() bool { running = i; _, alive := n(); return alive }, s
	}
	memtable.SetHook(w.m, pause(1), pause(0))
	nextWrite, stopWrite := thread(0, func() {
		for _, e := range s.adds {
			w.began++
			if s.again {
				w.m.AddAgain(0, e.key, e.trailer, e.value)
			} else {
				w.m.Add(e.key, e.trailer, e.value)
			}
			w.returned++
		}
	})
	defer stopWrite()
	nextRead, stopRead := thread(1, func() { reader(w) })
	defer stopRead()

	var full [maxPieces]bool
	alive := [2]bool{true, true}
	next := [2]func() bool{nextWrite, nextRead}
	for i, n := range schedule {
		for range n {
			if alive[i%2] = next[i%2](); !alive[i%2] {
				break
			}
		}
		if full[i] = alive[i%2]; !alive[1] || !alive[0] {
			break
		}
	}
	for _, i := range [2]int{1, 0} {
		for alive[i] {
			alive[i] = next[i]()
		}
	}
	return full
}

// explore runs every schedule of a reader against a scenario and returns how many
// there are.
func explore(t *testing.T, s scenario, reader func(*world), pieces int) int {
	models := []model{{}}
	for _, e := range s.base {
		models[0].add(e)
	}
	for _, e := range s.adds {
		m := model{append([]entry(nil), models[len(models)-1].entries...)}
		m.add(e)
		models = append(models, m)
	}
	region := make([]byte, memtable.RegionBytes(8, 200))
	schedule := []int{0, 1, 1, 1, 1, 1, 1}[:pieces]
	for n := 1; ; n++ {
		full := run(t, s, models, region, reader, schedule)
		last := pieces - 1
		for last >= 0 && !full[last] {
			last--
		}
		if last < 0 {
			return n
		}
		schedule[last]++
		for i := last + 1; i < pieces; i++ {
			schedule[i] = 1
		}
	}
}

// M2, M3, M5 and M7.
func TestEveryInterleavingOfOneReaderAndTheWriterIsExplained(t *testing.T) {
	t.Parallel()
	if !invariants.Enabled {
		t.Skip("the hooks exist in builds with invariants only")
	}
	depth := 5
	switch {
	case raceEnabled:
		depth = 2
	case os.Getenv("LOAM_LONG") != "":
		depth = maxPieces
	}
	total := 0
	for _, s := range scenarios {
		for name, read := range readers {
			interesting := append(append([]entry(nil), s.base...), s.adds...)
			if name == "forward" || name == "backward" {
				interesting = interesting[:1]
			}
			for _, e := range interesting {
				total += explore(t, s, func(w *world) { read(w, e.key) }, depth)
			}
		}
	}
	fmt.Printf("memtable: %d interleavings of one reader and the writer, in %d pieces each\n", total, depth)
	if !raceEnabled {
		require.Greater(t, total, 100_000)
	}
}
