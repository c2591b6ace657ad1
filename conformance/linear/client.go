package linear

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"

	"github.com/loamdb/loam/lsm"
)

// client does one operation after the other.
type client struct {
	h   *History
	db  *lsm.DB
	id  int
	rnd *rand.Rand

	sc    *lsm.Scope // nil: the keys are in the root
	verbs verbs      // of either
	err   error      // of finding the scope
}

// verbs are what a store and a scope have in common.
type verbs interface {
	Get(key []byte) ([]byte, error)
	GetWithVersion(key []byte) ([]byte, lsm.Version, error)
	Set(key, value []byte, w *lsm.WriteOptions) error
	Delete(key []byte, w *lsm.WriteOptions) error
	DeleteRange(lower, upper []byte, w *lsm.WriteOptions) error
	Merge(op string, key, operand []byte, w *lsm.WriteOptions) error
	Scan(lower, upper []byte) iter.Seq2[lsm.Entry, error]
	ScanReverse(lower, upper []byte) iter.Seq2[lsm.Entry, error]
	NewBatch() *lsm.Batch
	Apply(b *lsm.Batch, w *lsm.WriteOptions) error
}

// grace is how many operations may be called while a process is dying: reads may find what
// they need in memory.
const grace = 8 * clients

// run acts until so many operations were called in all, the last of which calls stop. After
// an error the client does nothing more.
func (c *client) run(until int, stop func()) error {
	for c.err == nil && !c.h.ended.Load() {
		n := int(c.h.calls.Add(1))
		if n == until {
			stop()
		}
		if n > until+grace {
			break
		}
		c.err = c.act()
	}
	return c.err
}

// act does an operation.
func (c *client) act() error {
	runtime.Gosched()
	if err := c.upkeep(); err != nil {
		return err
	}
	key := c.rnd.IntN(keys)
	switch n := c.rnd.IntN(100); {
	case n < 22:
		return c.get(key)
	case n < 36:
		return c.change(key, change{remove: true, token: c.token()})
	case n < 44:
		return c.change(key, change{remove: true})
	case n < 56:
		return c.change(key, change{token: c.token()})
	case n < 70:
		return c.compareAndSet(key)
	case n < 78:
		return c.batch()
	case n < 82:
		return c.empty()
	case n < 90:
		lo, hi := c.span()
		return c.readSpan(lo, hi)
	default:
		return c.transact()
	}
}

// upkeep now and then flushes and merges, which are no operations of the history.
func (c *client) upkeep() error {
	switch n := c.rnd.IntN(80); {
	case n < 3:
		return c.db.Flush(context.Background())
	case n < 4:
		return c.db.Compact(context.Background(), nil, nil)
	}
	return nil
}

// perform does an operation and notes its call and its return.
func (c *client) perform(in *input, do func(out *output) error) error {
	var out output
	call := c.h.clock.Add(1)
	err := do(&out)
	if errors.Is(err, lsm.ErrConflict) {
		out.refused, err = true, nil
	}
	c.h.note(c.id, call, *in, out, err)
	return err
}

// token returns one that nobody else writes.
func (c *client) token() string { return fmt.Sprintf("%d.", c.h.tokens.Add(1)) }

// durability is that of a write: after a power cut only those that are synced count.
func (c *client) durability() *lsm.WriteOptions {
	if c.h.Ending == PowerCut || c.rnd.IntN(3) == 0 {
		return lsm.Sync
	}
	return lsm.NoSync
}

// span returns the first of some neighbouring keys, and the one behind the last.
func (c *client) span() (lo, hi int) {
	lo = c.rnd.IntN(keys)
	if c.h.Single {
		return lo, lo + 1
	}
	return lo, lo + 1 + c.rnd.IntN(keys-lo)
}

func spanSet(lo, hi int) keySet { return 1<<hi - 1<<lo }

func name(key int) []byte { return fmt.Appendf(nil, "key-%d", key) }

// filler is a key that no operation is about.
var filler = []byte("filler")

// present takes the absence of a key for an empty value.
func present(value []byte, err error) (string, error) {
	if errors.Is(err, lsm.ErrNotFound) {
		err = nil
	}
	return string(value), err
}

func (c *client) get(key int) error {
	return c.perform(&input{verb: read, reads: 1 << key}, func(out *output) (err error) {
		out.seen[key], err = present(c.verbs.Get(name(key)))
		return err
	})
}

func (c *client) change(key int, to change) error {
	in := input{verb: write}
	in.writes[key] = to
	w := c.durability()
	return c.perform(&in, func(*output) error {
		switch {
		case to.token == "":
			return c.verbs.Delete(name(key), w)
		case to.remove:
			return c.verbs.Set(name(key), []byte(to.token), w)
		}
		return c.verbs.Merge(lsm.BytesAppend, name(key), []byte(to.token), w)
	})
}

// compareAndSet reads a key, which is an operation of its own, and writes it if its version
// is the same.
func (c *client) compareAndSet(key int) error {
	in := input{verb: cas}
	in.writes[key] = change{remove: true, token: c.token()}
	var version lsm.Version
	err := c.perform(&input{verb: read, reads: 1 << key}, func(out *output) (err error) {
		var value []byte
		value, version, err = c.verbs.GetWithVersion(name(key))
		in.expected, err = present(value, err)
		out.seen[key] = in.expected
		return err
	})
	if err != nil {
		return err
	}
	w := c.durability()
	return c.perform(&in, func(*output) error {
		b := c.verbs.NewBatch()
		b.Require(name(key), version)
		c.fill(b, &in)
		return c.verbs.Apply(b, w)
	})
}

// changes draws what is done to several keys.
func (c *client) changes() (out [keys]change) {
	lo, hi := c.span()
	for key := lo; key < hi; key++ {
		if out[key] = (change{remove: c.rnd.IntN(3) > 0, token: c.token()}); out[key].remove && c.rnd.IntN(3) == 0 {
			out[key].token = ""
		}
	}
	return out
}

// writer is a batch or a transaction.
type writer struct {
	set, merge func(key, value []byte)
	remove     func(key []byte)
}

// fill puts what the operation writes into a batch.
func (c *client) fill(b *lsm.Batch, in *input) {
	fill(writer{b.Set, func(key, value []byte) { b.Merge(lsm.BytesAppend, key, value) }, b.Delete}, in)
}

func fill(w writer, in *input) {
	for key, ch := range in.writes {
		switch {
		case ch.remove && ch.token == "":
			w.remove(name(key))
		case ch.remove:
			w.set(name(key), []byte(ch.token))
		case ch.token != "":
			w.merge(name(key), []byte(ch.token))
		}
	}
}

// batch writes several keys, and something long, by which memtables come to be full.
func (c *client) batch() error {
	in := input{verb: write, writes: c.changes()}
	w, long := c.durability(), make([]byte, c.rnd.IntN(2<<10))
	return c.perform(&in, func(*output) error {
		b := c.verbs.NewBatch()
		c.fill(b, &in)
		b.Set(filler, long)
		return c.verbs.Apply(b, w)
	})
}

// empty removes all keys of a range, or of the scope with all it holds.
func (c *client) empty() error {
	lo, hi := c.span()
	drop := c.sc != nil && !c.h.Single && c.rnd.IntN(2) == 0
	if drop {
		lo, hi = 0, keys
	}
	in := input{verb: write}
	for key := lo; key < hi; key++ {
		in.writes[key] = change{remove: true}
	}
	w := c.durability()
	return c.perform(&in, func(*output) error {
		if drop {
			return c.sc.Drop(w)
		}
		return c.verbs.DeleteRange(name(lo), name(hi), w)
	})
}
