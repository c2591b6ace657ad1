package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/rangedel"
)

// Reading keys whose newest version is a merge operand: the versions down to the base are
// collected, newest first, and folded.

var chainPool = sync.Pool{New: func() any { return new(fold.Chain) }}

func recycleChain(c *fold.Chain) {
	c.Reset(false) // lets go of what is large
	chainPool.Put(c)
}

// getFolded is the point read of a key whose newest version is an operand. It looks again from
// the start: seq is keys.MaxSeqNum for now, as in getEntry, and at the time.
func (d *DB) getFolded(dst, prefix, key []byte, seq keys.SeqNum, at int64) ([]byte, entryState, error) {
	var buf [stackKey]byte
	ikey := append(append(buf[:0], prefix...), key...)
	c := chainPool.Get().(*fold.Chain)
	defer recycleChain(c)
	guard := d.readers.Enter()
	defer guard.Leave()
	for {
		if d.closed.Load() {
			return dst, entryState{}, ErrClosed
		}
		s := d.state.Load()
		overtaken, err := d.collect(c, s, ikey, min(seq, d.visible.load()), seq == keys.MaxSeqNum)
		if overtaken {
			continue // at a later number
		}
		if unopened(err) && !c.DropExpired() {
			return d.shutChain(c, dst, at, err)
		}
		if err != nil && !unopened(err) {
			return dst, entryState{}, err
		}
		return d.foldChain(c, dst, at)
	}
}

// shutChain is foldChain for a chain whose base cannot be opened, as err says: when it ends is known.
func (d *DB) shutChain(c *fold.Chain, dst []byte, at int64, err error) ([]byte, entryState, error) {
	b := c.Base()
	if at == atRead && b.Expiry != 0 {
		at = d.clock.millis()
	}
	if !presentAt(b, at) {
		return dst, entryState{}, ErrNotFound
	}
	return dst, entryState{version: Version(c.Newest()), expires: b.Expiry}, err
}

// foldChain appends to dst the value of a key whose versions were collected, as it is at a time.
func (d *DB) foldChain(c *fold.Chain, dst []byte, at int64) ([]byte, entryState, error) {
	version := Absent
	if c.Newest() > 0 {
		version = Version(c.Newest())
	}
	out, b, err := c.Fold(d.operators.known, dst)
	if err != nil {
		return dst, entryState{}, d.operators.error(err)
	}
	if at == atRead && b.Expiry != 0 {
		at = d.clock.millis()
	}
	if !presentAt(b, at) {
		return dst, entryState{}, ErrNotFound
	}
	return out, entryState{version: version, expires: b.Expiry}, nil
}

// baseOf returns what a version that is no operand makes of its key. With an error that is unopened
// it is something of which the value is not known.
func (d *DB) baseOf(key []byte, kind keys.Kind, value []byte) (fold.Base, error) {
	b, ok := fold.BaseOf(kind.Opened(), value)
	if !ok {
		return b, fmt.Errorf("%w: operation %s", ErrTooNew, kind)
	}
	if b.Sealed = kind.IsSealed(); !b.Sealed {
		return b, nil
	}
	var err error
	b.Value, err = d.vault.openInternal(key, b.Value)
	return b, err
}

// take adds a version to a chain that is collected newest first, and reports whether it is the
// base.
func (d *DB) take(c *fold.Chain, key []byte, t keys.Trailer, value []byte) (done bool, err error) {
	if t.Kind() == keys.KindMerge {
		c.Add(t.SeqNum(), value)
		return false, nil
	}
	b, err := d.baseOf(key, t.Kind(), value)
	c.SetBase(t.SeqNum(), b)
	return true, err
}

// collect fills c with the versions of a key that a reader at seq needs to know its value. The
// state may lack memtables. overtaken says that something that a reader without a snapshot
// must see was left out: it must look again, with latest set. The caller keeps the state alive.
func (d *DB) collect(c *fold.Chain, s *readState, ikey []byte, seq keys.SeqNum, latest bool) (overtaken bool, err error) {
	c.Reset(false)
	hash := keys.Hash(ikey)
	if s.mutable != nil {
		ranges := s.mutable.ranges.Load()
		if latest && ranges != nil && seq < ranges.ExactFrom() {
			return true, nil
		}
		if done, err := d.collectFrom(c, s.mutable, ranges, ikey, hash, seq); done || err != nil {
			return false, err
		}
	}
	for _, m := range s.frozen {
		if done, err := d.collectFrom(c, m, m.ranges.Load(), ikey, hash, seq); done || err != nil {
			return false, err
		}
	}
	for i := range s.version.runs {
		t := s.version.runs[i].find(ikey)
		if t == nil {
			continue
		}
		if done, err := d.collectFromTable(c, t, ikey, hash, seq); done || err != nil {
			return false, err
		}
	}
	return false, nil
}

// collectFrom adds what a memtable has, and reports whether that reaches down to the base.
func (d *DB) collectFrom(c *fold.Chain, m *mutableTable, ranges *rangedel.Set, ikey []byte, hash uint64, seq keys.SeqNum) (done bool, err error) {
	deleted := ranges.Newest(ikey, seq)
	for it, ok := m.At(ikey, hash, seq); ok && bytes.Equal(it.Key(), ikey); ok = it.Next() {
		if it.Trailer().SeqNum() < deleted {
			return true, nil
		}
		if done, err = d.take(c, ikey, it.Trailer(), it.Value()); done || err != nil {
			return done, err
		}
	}
	return deleted > 0, nil
}

// collectFromTable does it for a table.
func (d *DB) collectFromTable(c *fold.Chain, t *table, ikey []byte, hash uint64, seq keys.SeqNum) (done bool, err error) {
	r, err := t.open()
	if err != nil {
		return false, err
	}
	deleted := t.ranges.Newest(ikey, seq)
	var scratch [128]byte
	buf := scratch[:0]
	for at := seq; ; {
		value, trailer, ok, err := r.Get(buf[:0], ikey, hash, at)
		if err != nil {
			return false, d.tableError(err)
		}
		if !ok {
			return deleted > 0, nil
		}
		if trailer.SeqNum() < deleted {
			return true, nil
		}
		if trailer.Kind().IsBlob() {
			if value, err = r.AppendBlob(nil, trailer.Kind(), value); err != nil {
				return false, d.tableError(err)
			}
			trailer = inlineKind(trailer)
		}
		if done, err = d.take(c, ikey, trailer, value); done || err != nil {
			return done, err
		}
		buf, at = value, trailer.SeqNum()-1
	}
}

// errSealedBase: operands are on top of a sealed value, and are not folded into it.
var errSealedBase = errors.New("lsm: base of a merge is sealed")

// valueAt returns a function that tells what a key was at a number, as compaction.Env wants
// it, from the tables of a version, which stays the caller's.
func (d *DB) valueAt(v *version) func(key []byte, seq keys.SeqNum) (fold.Base, error) {
	s := &readState{version: v}
	return func(key []byte, seq keys.SeqNum) (fold.Base, error) {
		c := new(fold.Chain)
		if _, err := d.collect(c, s, key, seq, false); err != nil {
			return fold.Base{}, err
		}
		if c.Sealed() {
			return fold.Base{}, errSealedBase
		}
		_, b, err := c.Fold(d.operators.known, nil)
		return b, err
	}
}
