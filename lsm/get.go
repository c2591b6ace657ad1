package lsm

import (
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/sstable"
)

// Get returns the value of key as a copy that the caller owns, or ErrNotFound. It may
// be called from any number of goroutines and never waits for writers.
func (d *DB) Get(key []byte) ([]byte, error) {
	return d.get(nil, rootPrefix, key, keys.MaxSeqNum)
}

// AppendGet appends the value of key to dst and returns the extended slice, or dst and
// ErrNotFound. With room in dst, and a key of up to 127 bytes, it allocates nothing.
func (d *DB) AppendGet(dst, key []byte) ([]byte, error) {
	return d.get(dst, rootPrefix, key, keys.MaxSeqNum)
}

// Has reports whether key is present. It reads no blob file.
func (d *DB) Has(key []byte) (bool, error) {
	var discard [512]byte
	_, _, err := d.pointRead(discard[:0], rootPrefix, key, keys.MaxSeqNum, atRead, false)
	if err == ErrNotFound { // returned bare, for speed
		return false, nil
	}
	return err == nil || unopened(err), known(err)
}

// known returns what an error says besides that a value cannot be opened.
func known(err error) error {
	if unopened(err) {
		return nil
	}
	return err
}

// stackKey is the longest internal key that get joins without allocating.
const stackKey = 128

func (d *DB) get(dst, prefix, key []byte, seq keys.SeqNum) ([]byte, error) {
	v, _, err := d.getEntry(dst, prefix, key, seq, atRead)
	return v, err
}

// getEntry reads an entry with its value. The state comes also with an error that says that the
// value cannot be opened.
func (d *DB) getEntry(dst, prefix, key []byte, seq keys.SeqNum, at int64) ([]byte, entryState, error) {
	out, e, err := d.pointRead(dst, prefix, key, seq, at, true)
	if e.sealed && err == nil {
		return d.openEntry(out, len(dst), key, e)
	}
	return out, e, err
}

// pointRead is the point read: a straight line over concrete types, from the newest
// source to the oldest, that stops at the first version of the key at or below seq. prefix
// is the encoded id of the key's scope, at the time at which entries that expire are judged.
// Without whole it stops short of a value that is in a blob file: dst is returned as it was. A
// value that is sealed comes as it is, unless operands are on top of it.
//
// The state is loaded before the sequence number: in the other order a flush and a
// compaction in between could drop the version that the number needs.
func (d *DB) pointRead(dst, prefix, key []byte, seq keys.SeqNum, at int64, whole bool) ([]byte, entryState, error) {
	if len(key) > keys.MaxUserKeyLen {
		return dst, entryState{}, ErrNotFound // no such key can have been written
	}
	var buf [stackKey]byte
	ikey := append(append(buf[:0], prefix...), key...)

	// The compiler turns a deferred call into straight code only in a function of at most
	// fifteen exits: with sixteen a lookup in the memtable took a quarter more.
	guard := d.readers.Enter()
	defer guard.Leave()
	if d.closed.Load() {
		return dst, entryState{}, ErrClosed
	}
	s := d.state.Load()
	asked, latest := seq, seq == keys.MaxSeqNum
	seq = min(seq, d.visible.load())
	hash := keys.Hash(ikey)
	value, t, ok := s.mutable.Get(ikey, hash, seq)
	if ranges := s.mutable.ranges.Load(); ranges != nil {
		if latest && seq < ranges.ExactFrom() {
			return d.pointRead(dst, prefix, key, keys.MaxSeqNum, at, whole) // overtaken: what it must see was left out
		}
		t, ok = covered(ranges, ikey, seq, t, ok)
	}
	if ok {
		if t.Kind() == keys.KindMerge {
			return d.getFolded(dst, prefix, key, asked, at)
		}
		return d.result(dst, value, t, at)
	}
	for _, m := range s.frozen {
		value, t, ok := m.Get(ikey, hash, seq)
		if ranges := m.ranges.Load(); ranges != nil {
			t, ok = covered(ranges, ikey, seq, t, ok)
		}
		if ok {
			if t.Kind() == keys.KindMerge {
				return d.getFolded(dst, prefix, key, asked, at)
			}
			return d.result(dst, value, t, at)
		}
	}
	for i := range s.version.runs {
		t := s.version.runs[i].find(ikey)
		if t == nil {
			continue
		}
		r, err := t.open()
		if err != nil {
			return dst, entryState{}, err
		}
		out, trailer, ok, err := r.Get(dst, ikey, hash, seq)
		if err != nil {
			return dst, entryState{}, d.tableError(err)
		}
		if t.ranges != nil {
			trailer, ok = covered(t.ranges, ikey, seq, trailer, ok)
		}
		switch {
		case ok && trailer.Kind() == keys.KindMerge:
			return d.getFolded(dst, prefix, key, asked, at)
		case ok && trailer.Kind().IsBlob():
			return d.foundBlob(r, out[:len(dst):cap(out)], out[len(dst):], trailer, at, whole)
		case ok:
			return d.result(out[:len(dst):cap(out)], out[len(dst):], trailer, at)
		}
	}
	return dst, entryState{}, ErrNotFound
}

// foundBlob turns a version whose value is in a blob file into a result; stored is what the
// table has.
func (d *DB) foundBlob(r *sstable.Reader, dst, stored []byte, t keys.Trailer, at int64, whole bool) ([]byte, entryState, error) {
	e := entryState{version: Version(t.SeqNum()), sealed: whole && t.Kind().IsSealed()}
	if t.Kind().Expires() && len(stored) >= keys.ExpiryLen {
		if e.expires = expiryOf(stored); at == atRead {
			at = d.clock.millis()
		}
		if e.expires <= at {
			return dst, entryState{}, ErrNotFound
		}
	}
	if !whole {
		return dst, e, nil
	}
	out, err := r.AppendBody(dst, t.Kind(), stored)
	if err != nil {
		return dst, entryState{}, d.tableError(err)
	}
	return out, e, nil
}

// deleted reports whether one of a source's range tombstones deletes the key as seq sees it
// there: its version t in the source, if ok, and everything in older sources, whose
// numbers are lower.
func deleted(ranges *rangedel.Set, ikey []byte, seq keys.SeqNum, t keys.Trailer, ok bool) bool {
	n := ranges.Newest(ikey, seq)
	return n > 0 && (!ok || n > t.SeqNum())
}

// covered returns what a source says of the key, its range tombstones included: a deletion
// where one of them is newer than the version t that the source has, if ok.
func covered(ranges *rangedel.Set, ikey []byte, seq keys.SeqNum, t keys.Trailer, ok bool) (keys.Trailer, bool) {
	if deleted(ranges, ikey, seq, t, ok) {
		return keys.MakeTrailer(seq, keys.KindDelete), true
	}
	return t, ok
}

// result turns the newest visible version into a result. From a table the value stands
// behind dst already, and the copy is onto itself.
func (d *DB) result(dst, value []byte, t keys.Trailer, at int64) ([]byte, entryState, error) {
	switch t.Kind() {
	case keys.KindSet:
		return append(dst, value...), entryState{version: Version(t.SeqNum())}, nil
	case keys.KindDelete:
		return dst, entryState{}, ErrNotFound
	case keys.KindSetWithExpiry, keys.KindExpiryMarker, keys.KindSetSealedExpiry:
		return d.foundExpiring(dst, value, t, at)
	case keys.KindSetSealed:
		return append(dst, value...), entryState{version: Version(t.SeqNum()), sealed: true}, nil
	}
	return dst, entryState{}, fmt.Errorf("%w: operation %s", ErrTooNew, t.Kind())
}
