package workload

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
)

// mixes are the core workloads of YCSB (Cooper et al., "Benchmarking Cloud Serving
// Systems with YCSB", 2010), with its proportions, distributions and lengths of scans;
// its keys and records are the parameters HashedKeys and 1,000 bytes. An update writes a
// whole record (writeallfields), since an engine's value is one.
var mixes = []Workload{
	ycsb("ycsb-a", "50% read, 50% update, zipfian", mix{read: 50, update: 50, choose: "zipfian"}),
	ycsb("ycsb-b", "95% read, 5% update, zipfian", mix{read: 95, update: 5, choose: "zipfian"}),
	ycsb("ycsb-c", "100% read, zipfian", mix{read: 100, choose: "zipfian"}),
	ycsb("ycsb-d", "95% read, 5% insert, latest", mix{read: 95, insert: 5, choose: "latest"}),
	ycsb("ycsb-e", "95% scan of 1 to 100 entries, 5% insert, zipfian", mix{scan: 95, insert: 5, choose: "zipfian"}),
	ycsb("ycsb-f", "50% read, 50% read-modify-write, zipfian", mix{read: 50, modify: 50, choose: "zipfian"}),
}

// mix is how many of a hundred operations are of each kind, and which records they take.
type mix struct {
	read, update, insert, scan, modify, remove int
	choose                                     string
}

// mixKinds name the operations of a mix, in the order of mix.shares.
var mixKinds = []string{"read", "update", "insert", "scan", "modify", "delete"}

const (
	mixRead kind = iota
	mixUpdate
	mixInsert
	mixScan
	mixModify
	mixDelete
)

func (m *mix) shares() []*int {
	return []*int{&m.read, &m.update, &m.insert, &m.scan, &m.modify, &m.remove}
}

func ycsb(name, doc string, m mix) Workload {
	start := Spare
	if m.readOnly() {
		start = Filled
	}
	return Workload{Name: name, Doc: doc, Start: start, Reads: m.readOnly(), Kills: m.kills(), run: m.run}
}

func (m *mix) kills() bool { return m.update+m.modify+m.remove > 0 }

func (m *mix) readOnly() bool { return m.update+m.insert+m.modify+m.remove == 0 }

// parseMix reads a mix such as read=95,update=5. What is missing to a hundred is an
// error: nobody would see it in the figures.
func parseMix(text string) (*Workload, error) {
	m := mix{choose: "zipfian"}
	total := 0
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		share, err := strconv.Atoi(value)
		if err != nil || share < 0 {
			return nil, fmt.Errorf("mix %q: %q is no share in percent", text, part)
		}
		known := false
		for k, p := range m.shares() {
			if mixKinds[k] == name {
				*p, known = *p+share, true
			}
		}
		if !known {
			return nil, fmt.Errorf("mix %q: operation %q is unknown; there are %s", text, name, strings.Join(mixKinds, ", "))
		}
		total += share
	}
	if total != 100 {
		return nil, fmt.Errorf("mix %q: the shares make %d, not 100", text, total)
	}
	w := ycsb(text, "a mix", m)
	return &w, nil
}

// maxScan is the longest scan; lengths are uniform from 1.
const maxScan = 100

// run does the mix until the limit.
func (m mix) run(r *run) error {
	r.kinds = mixKinds
	foreseen := r.Records
	if m.insert > 0 {
		foreseen += r.Records / 8
	}
	choose, err := r.data.chooser(m.choose, foreseen)
	if err != nil {
		return err
	}
	if m.insert+m.remove == 0 {
		r.live = r.filledBytes()
	}
	inserts := newInserts(r.Records)
	pace := pacing{total: endless, limit: r.Limit, sample: 1}
	return r.each(pace, func(w *worker) (operation, error) {
		x := &mixer{mix: m, run: r, worker: w, chooser: choose(w.id), inserts: inserts}
		x.fill()
		return x.next, nil
	})
}

// mixer does one worker's operations of a mix.
type mixer struct {
	mix
	*run
	*worker
	chooser dist.Chooser
	inserts *inserts
	table   [100]kind // the kinds by their shares
}

func (x *mixer) fill() {
	at := 0
	for k, share := range x.shares() {
		for range *share {
			x.table[at] = kind(k)
			at++
		}
	}
}

func (x *mixer) next(uint64) (kind, error) {
	k := x.table[x.rng.IntN(len(x.table))]
	if k == mixInsert {
		return k, x.insertOne()
	}
	i := x.chooser.Next(x.rng, x.inserts.known())
	switch k {
	case mixRead:
		return k, x.readOne(i)
	case mixUpdate:
		return k, x.set(x.run, i, false)
	case mixScan:
		return k, x.scanFrom(i, 1+x.rng.IntN(maxScan))
	case mixModify:
		if err := x.readOne(i); err != nil {
			return k, err
		}
		return k, x.set(x.run, i, false)
	}
	return k, x.worker.remove(x.run, i)
}

// readOne reads a record, which may be gone where the mix deletes.
func (x *mixer) readOne(i uint64) error {
	if x.mix.remove == 0 {
		_, err := x.get(x.run, i)
		return err
	}
	x.key = x.data.keys.Present(x.key[:0], i)
	v, _, err := x.Get(x.dst[:0], x.key)
	x.worker.read += int64(len(x.key) + len(v))
	return err
}

func (x *mixer) insertOne() error {
	i := x.inserts.take()
	if i > x.data.keys.Last() {
		return fmt.Errorf("keys of size %s number no more than %d records: no room for inserts", x.Key, x.data.keys.Last()+1)
	}
	err := x.set(x.run, i, false)
	x.inserts.done(i)
	return err
}

// scanFrom makes a new scanner each time: a scan sees what was written before it.
func (x *mixer) scanFrom(i uint64, n int) error {
	sc, err := x.NewScanner()
	if err != nil {
		return err
	}
	x.key = x.data.keys.Present(x.key[:0], i)
	count, err := sc.Scan(x.key, false, n, func(key, value []byte) bool {
		x.worker.read += int64(len(key) + len(value))
		return true
	})
	if cerr := sc.Close(); err == nil {
		err = cerr
	}
	if err == nil && count == 0 && x.mix.remove == 0 {
		err = fmt.Errorf("%w: a scan from %q is empty", ErrWrongAnswer, x.key)
	}
	return err
}

// inserts numbers new records. A record counts as known once it and all before it have
// been inserted: nobody may read it earlier.
type inserts struct {
	mu    sync.Mutex
	given uint64
	ended map[uint64]bool // inserted, but not yet known
	upTo  atomic.Uint64
}

func newInserts(records uint64) *inserts {
	s := &inserts{given: records, ended: map[uint64]bool{}}
	s.upTo.Store(records)
	return s
}

func (s *inserts) known() uint64 { return s.upTo.Load() }

func (s *inserts) take() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given++
	return s.given - 1
}

func (s *inserts) done(i uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[i] = true
	n := s.upTo.Load()
	for s.ended[n] {
		delete(s.ended, n)
		n++
	}
	s.upTo.Store(n)
}
