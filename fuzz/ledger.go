package fuzz

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/loamdb/loam/lsm"
)

// Ledger is the oracle of one history. Batches are numbered from 1; each writes its
// number to the key "batch", so that a recovered store says which prefix of the history
// it holds. For every prefix the ledger knows a digest of what the store must contain.
//
// A Ledger is written by the history's one writer and read by explorers afterwards, or
// concurrently through its methods.
type Ledger struct {
	mu     sync.Mutex
	live   map[string]string // contents after the last issued batch
	sum    uint64
	states []contents // by batch number; states[0] is the empty store
	acks   []ack
	undo   []Op // what the last batch has replaced, oldest first
}

// contents identify what a store holds: the number of entries and the sum of their
// hashes, which does not depend on order.
type contents struct {
	entries int
	sum     uint64
}

// ack is an acknowledgement: by file operation at, batch was acknowledged.
type ack struct {
	at     int
	batch  int
	synced bool
}

// batchKey is the key to which every batch writes its number.
const batchKey = "batch"

// NewLedger returns the ledger of an empty store.
func NewLedger() *Ledger {
	return &Ledger{live: map[string]string{}, states: []contents{{}}}
}

// Resume returns the ledger of a history that begins with the first n batches of l and
// then goes its own way: what a store that recovered n batches may hold from then on.
func (l *Ledger) Resume(n int, live map[string]string) *Ledger {
	r := &Ledger{live: live, states: append([]contents(nil), l.states[:n+1]...)}
	r.sum = r.states[n].sum
	r.acks = []ack{{batch: n, synced: true}} // an opened store has synced what it replayed
	return r
}

// Op is one operation of a batch.
type Op struct {
	Key, Value string
	Delete     bool
	// Mortal, if not 0, makes the operation write an entry that expires: mortals.go.
	Mortal Mortality
	// Upper, if not "", makes it the delete of the range [Key, Upper).
	Upper string
	// Merge, if not "", makes it a merge by the operator of that name, with Value as operand.
	Merge string
}

// Issue records a batch, with the write of its number added, and returns the number and
// the operations to apply. It must be called before they are.
func (l *Ledger) Issue(ops []Op) (batch int, all []Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch = len(l.states)
	all = append(append([]Op(nil), ops...), Op{Key: batchKey, Value: encodeBatch(batch)})
	l.undo = l.undo[:0]
	for _, op := range all {
		for _, one := range l.single(op) {
			old, had := l.live[one.Key]
			l.undo = append(l.undo, Op{Key: one.Key, Value: old, Delete: !had})
			l.put(one)
		}
	}
	l.states = append(l.states, contents{len(l.live), l.sum})
	return batch, all
}

// single returns an operation as operations on single keys. Under mu.
func (l *Ledger) single(op Op) []Op {
	if op.Merge != "" {
		old, had := l.live[op.Key]
		return []Op{{Key: op.Key, Value: merged(op, old, had)}}
	}
	if op.Upper == "" {
		return []Op{op}
	}
	var out []Op
	for key := range l.live {
		if key >= op.Key && key < op.Upper {
			out = append(out, Op{Key: key, Delete: true})
		}
	}
	return out
}

// put applies one operation on a single key to the live contents. Under mu.
func (l *Ledger) put(op Op) {
	if old, ok := l.live[op.Key]; ok {
		l.sum -= entryHash(op.Key, old)
		delete(l.live, op.Key)
	}
	if !op.Delete {
		l.sum += entryHash(op.Key, op.Value)
		l.live[op.Key] = op.Value
	}
}

// Withdraw takes back the last issued batch, whose number will be given again: the
// store has refused it, and must never show it.
func (l *Ledger) Withdraw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, op := range slices.Backward(l.undo) {
		l.put(op)
	}
	l.undo = l.undo[:0]
	l.states = l.states[:len(l.states)-1]
}

// Acknowledge records that batch was acknowledged when at file operations had happened.
func (l *Ledger) Acknowledge(batch, at int, synced bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, ack{at, batch, synced})
}

// Settle tells that the store was opened again and holds n batches: the last one, of
// which nobody knew what had become, is there or never will be. It may have been acknowledged
// and lost, where a failed sync drops what the system has cached.
func (l *Ledger) Settle(n int) {
	if n == l.Issued() {
		return
	}
	l.Withdraw()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = slices.DeleteFunc(l.acks, func(a ack) bool { return a.batch > n }) // the number is given again
}

// Acknowledged returns the greatest batch acknowledged in any way.
func (l *Ledger) Acknowledged() int {
	_, any := l.Promised(math.MaxInt)
	return any
}

// Issued returns the number of the last batch.
func (l *Ledger) Issued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.states) - 1
}

// Promised returns the greatest batch acknowledged within the first at operations:
// synced, and in any way.
func (l *Ledger) Promised(at int) (synced, any int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.acks {
		if a.at > at {
			continue
		}
		any = max(any, a.batch)
		if a.synced {
			synced = max(synced, a.batch)
		}
	}
	return synced, any
}

// Live returns a copy of the contents after the last issued batch.
func (l *Ledger) Live() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[string]string, len(l.live))
	for k, v := range l.live {
		m[k] = v
	}
	return m
}

// Errors of Check.
var (
	// ErrLost: the store lacks a batch that was promised.
	ErrLost = errors.New("fuzz: promised batch is missing")
	// ErrWrong: the store holds something that no prefix of the history holds.
	ErrWrong = errors.New("fuzz: contents are not those of a prefix")
)

// Check compares a store with the ledger: it must hold exactly the first n batches, for
// some n from atLeast to the last issued. It returns n.
func (l *Ledger) Check(db *lsm.DB, atLeast int) (n int, err error) {
	got, n, err := read(db)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case n < 0 || n >= len(l.states):
		return n, fmt.Errorf("%w: it claims batch %d of %d", ErrWrong, n, len(l.states)-1)
	case n < atLeast:
		return n, fmt.Errorf("%w: it holds %d, promised were %d", ErrLost, n, atLeast)
	case got != l.states[n]:
		return n, fmt.Errorf("%w: at batch %d it holds %d entries instead of %d, or other values",
			ErrWrong, n, got.entries, l.states[n].entries)
	}
	return n, nil
}

// contentsAt returns what the store must hold after the first n batches.
func (l *Ledger) contentsAt(n int) contents {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states[n]
}

// view is a store, or a snapshot of one.
type view interface {
	Scan(lower, upper []byte) iter.Seq2[lsm.Entry, error]
	Get(key []byte) ([]byte, error)
}

// read scans the store forwards, checks that keys ascend and that a point read of the
// batch number agrees, and sums up.
func read(db view) (c contents, batch int, err error) {
	last := ""
	for e, err := range db.Scan(nil, nil) {
		if err != nil {
			return c, 0, err
		}
		if c.entries > 0 && string(e.Key) <= last {
			return c, 0, fmt.Errorf("%w: keys do not ascend", ErrWrong)
		}
		last = string(e.Key)
		c.entries++
		c.sum += entryHash(last, string(e.Value))
		if last == batchKey {
			batch = decodeBatch(e.Value)
		}
	}
	v, err := db.Get([]byte(batchKey))
	switch {
	case errors.Is(err, lsm.ErrNotFound):
		if batch != 0 {
			return c, 0, fmt.Errorf("%w: Get misses what Scan found", ErrWrong)
		}
	case err != nil:
		return c, 0, err
	case decodeBatch(v) != batch:
		return c, 0, fmt.Errorf("%w: Get and Scan disagree", ErrWrong)
	}
	return c, batch, nil
}

func entryHash(key, value string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(key) // never fails
	_, _ = d.Write([]byte{0})
	_, _ = d.WriteString(value)
	return d.Sum64()
}

func encodeBatch(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func decodeBatch(v []byte) int {
	if len(v) != 8 {
		return -1
	}
	return int(binary.BigEndian.Uint64(v))
}
