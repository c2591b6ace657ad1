package lsm

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable"
)

// IterOptions bound an iterator. nil means all keys.
type IterOptions struct {
	// LowerBound is the smallest key seen; nil means no bound.
	LowerBound []byte
	// UpperBound is the smallest key beyond those seen; nil means no bound.
	UpperBound []byte
}

// Iterator walks keys in order, in both directions, over the store as it was when the
// iterator was made. It is for one goroutine at a time and must be closed; while open
// it keeps the files and memtables that it reads.
//
// An error ends the iteration and sticks: Valid is false from then on, and Err says
// why. A loop must look at Err, or take what Close returns.
type Iterator struct {
	db     *DB
	state  *readState
	seq    keys.SeqNum
	at     int64 // the time at which it judges what expires
	prefix int   // length of the scope prefix, which Key leaves out
	// counted: it shows in Metrics, as those do not that the store reads its own records with.
	counted bool
	*iterParts

	value   []byte // current value: a source's, or valBuf, or blobBuf
	in      inBlob
	expires int64       // of the current entry, 0: never
	version keys.SeqNum // of the current entry
	valid   bool
	place   place
	forward bool // sources stand at entries at or after key; else at or before
	stands  bool // the front source stands at the current entry
	err     error
	closed  bool
}

// iterParts is what an iterator works with. It comes from a pool: making it anew would
// cost a short scan more than the scan itself does. Closed, an iterator has none.
type iterParts struct {
	lower, upper []byte // internal key bounds, both set
	sources      []source
	ranges       []rangeSource // of those that have range tombstones
	window       rangeWindow
	runs         []sstable.RunIter // of the sources that are runs
	merge        merger

	chain fold.Chain // of the versions of a key with operands
	below fold.Base  // going back, the last version that is no operand; its value is in valBuf

	key     []byte // current internal user key
	valBuf  []byte
	blobBuf []byte // current value, if it was read from a blob file
	target  []byte // of a seek: apart from valBuf, because a caller may seek to its value
}

var iterPool = sync.Pool{New: func() any { return new(iterParts) }}

// recycle gives the parts back. Buffers that one giant value has grown are let go.
func (p *iterParts) recycle() {
	p.chain.Reset(false)
	clear(p.sources)
	clear(p.ranges)
	p.ranges, p.window = p.ranges[:0], rangeWindow{}
	p.sources, p.merge.order = p.sources[:0], p.merge.order[:0]
	for _, buf := range []*[]byte{&p.lower, &p.upper, &p.key, &p.valBuf, &p.blobBuf, &p.target} {
		if cap(*buf) > maxPooledPayload {
			*buf = nil
		}
		if invariants.Enabled { // who still looks at a key or value must notice
			for i := range (*buf)[:cap(*buf)] {
				(*buf)[:cap(*buf)][i] = 0xdb
			}
		}
		*buf = (*buf)[:0]
	}
	iterPool.Put(p)
}

// place says where an iterator that is not at an entry is.
type place uint8

const (
	placeNowhere place = iota // not positioned yet
	placeStart                // before the first entry
	placeEnd                  // after the last entry
)

// NewIter returns an iterator over the store as of now, positioned nowhere: call
// First, Last, SeekGE or SeekLT. The bounds are copied.
func (d *DB) NewIter(o *IterOptions) (*Iterator, error) {
	return d.newIter(rootKeys, o, keys.MaxSeqNum)
}

func (d *DB) newIter(in scopeKeys, o *IterOptions, seq keys.SeqNum) (*Iterator, error) {
	return d.newIterAt(in, o, seq, atRead)
}

// newIterAt returns an iterator at the number and the time of a snapshot.
func (d *DB) newIterAt(in scopeKeys, o *IterOptions, seq keys.SeqNum, at int64) (*Iterator, error) {
	if err := d.hold(); err != nil {
		return nil, err
	}
	it := &Iterator{db: d, prefix: len(in.prefix), iterParts: iterPool.Get().(*iterParts)}
	if it.counted = !bytes.Equal(in.prefix, systemKeys.prefix); it.counted {
		d.metrics.iterators.Add(1)
	}
	for {
		guard := d.readers.Enter()
		it.state = d.state.Load()
		it.state.refs.Add(1)
		guard.Leave()
		it.seq = min(seq, d.visible.load())
		if it.openRanges(seq == keys.MaxSeqNum) {
			break
		}
		it.state.unref() // overtaken by a range tombstone: again, at a later number
		it.ranges = it.ranges[:0]
	}
	if it.at = at; at == atRead {
		it.at = d.readTime()
	}
	it.lower = append(it.lower, in.prefix...)
	it.upper = append(it.upper, in.upper...)
	if o != nil && o.LowerBound != nil {
		it.lower = append(it.lower, o.LowerBound...)
	}
	if o != nil && o.UpperBound != nil {
		it.upper = append(append(it.upper[:0], in.prefix...), o.UpperBound...)
	}
	it.openSources()
	return it, nil
}

func (it *Iterator) openSources() {
	s := it.state
	it.sources = append(it.sources, source{isMem: true, mem: s.mutable.Iter()})
	for _, m := range s.frozen {
		it.sources = append(it.sources, source{isMem: true, mem: m.Iter(), age: len(it.sources)})
	}
	if n := len(s.version.runs); n > len(it.runs) {
		it.runs = make([]sstable.RunIter, n)
	}
	for i := range s.version.runs {
		run := &it.runs[i]
		run.Init(s.version.runs[i].sources, sstable.IterOptions{Lower: it.lower, Upper: it.upper})
		it.sources = append(it.sources, source{run: run, age: len(it.sources)})
	}
}

// Valid reports whether the iterator is at an entry.
func (it *Iterator) Valid() bool { return it.valid }

// Key returns the current key, valid until the iterator moves. The caller must not
// change it.
func (it *Iterator) Key() []byte {
	if !it.valid {
		return nil
	}
	return it.key[it.prefix:]
}

// Value returns the current value, valid until the iterator moves. The caller must not
// change it. A value in a blob file is read, and one that is sealed is opened, when Value is called:
// if that fails, or operands could not be folded into it, it is nil, and the iteration has ended with the
// error. Unreadable tells before.
func (it *Iterator) Value() []byte {
	if !it.valid {
		return nil
	}
	if it.in.away || it.in.sealed {
		return it.fetch()
	}
	return it.value
}

// Err returns the error that ended the iteration, or nil.
func (it *Iterator) Err() error { return it.err }

// First moves to the first entry and reports whether there is one.
func (it *Iterator) First() bool { return it.usable() && it.seekForward(it.lower) }

// SeekGE moves to the first entry at or after key.
func (it *Iterator) SeekGE(key []byte) bool {
	if !it.usable() {
		return false
	}
	target := it.seekKey(key)
	if bytes.Compare(target, it.lower) < 0 {
		target = it.lower
	}
	return it.seekForward(target)
}

// Last moves to the last entry.
func (it *Iterator) Last() bool { return it.usable() && it.seekBackward(it.upper) }

// SeekLT moves to the last entry before key.
func (it *Iterator) SeekLT(key []byte) bool {
	if !it.usable() {
		return false
	}
	target := it.seekKey(key)
	if bytes.Compare(target, it.upper) > 0 {
		target = it.upper
	}
	return it.seekBackward(target)
}

// seekKey returns key behind the scope prefix.
func (it *Iterator) seekKey(key []byte) []byte {
	it.target = append(append(it.target[:0], it.lower[:it.prefix]...), key...)
	return it.target
}

// Next moves to the next entry. From before the first entry, or when not positioned
// yet, it moves to the first; after the last entry it stays there.
func (it *Iterator) Next() bool {
	switch {
	case !it.usable():
		return false
	case !it.valid && it.place == placeEnd:
		return false
	case !it.valid:
		return it.First()
	case !it.forward:
		// The sources stand at or before the key: turn them round, past all its versions.
		if !it.positionForward(it.key, 0) {
			return false
		}
	}
	return it.stepForward() || it.nextVisible(true)
}

// Prev moves to the previous entry. From after the last entry, or when not positioned
// yet, it moves to the last; before the first entry it stays there.
func (it *Iterator) Prev() bool {
	switch {
	case !it.usable():
		return false
	case !it.valid && it.place == placeStart:
		return false
	case !it.valid:
		return it.Last()
	case it.forward:
		if !it.positionBackward(it.key) {
			return false
		}
	}
	return it.stepBackward() || it.err == nil && it.prevVisible()
}

func (it *Iterator) usable() bool {
	if it.err == nil && (it.closed || it.db.closed.Load()) {
		it.fail(ErrClosed)
	}
	return it.err == nil
}

func (it *Iterator) fail(err error) bool {
	it.err, it.valid, it.value = err, false, nil
	return false
}

func (it *Iterator) seekForward(target []byte) bool {
	if !it.positionForward(target, keys.SeekTrailer(it.seq)) {
		return false
	}
	return it.nextVisible(false)
}

func (it *Iterator) seekBackward(target []byte) bool {
	if !it.positionBackward(target) {
		return false
	}
	return it.prevVisible()
}

// positionForward puts every source at its first entry at or after (key, t).
func (it *Iterator) positionForward(key []byte, t keys.Trailer) bool {
	for i := range it.sources {
		if s := &it.sources[i]; !s.seekGE(key, t) && s.err() != nil {
			return it.fail(it.db.tableError(s.err()))
		}
	}
	it.merge.build(it.sources, false)
	it.forward, it.stands = true, false
	return true
}

// positionBackward puts every source at its last entry before key.
func (it *Iterator) positionBackward(key []byte) bool {
	for i := range it.sources {
		if s := &it.sources[i]; !s.seekLT(key) && s.err() != nil {
			return it.fail(it.db.tableError(s.err()))
		}
	}
	it.merge.build(it.sources, true)
	it.forward, it.stands = false, false
	return true
}

// advance moves the merge on; false is an error, not the end.
func (it *Iterator) advance(s *source) bool {
	if !it.merge.advance() && s.err() != nil {
		return it.fail(it.db.tableError(s.err()))
	}
	return true
}

// nextVisible emits the newest visible version of the next key. With skip, versions of
// the current key are passed over first.
func (it *Iterator) nextVisible(skip bool) bool {
	it.valid, it.stands, it.in.away, it.expires = false, false, false, 0
	if it.in.sealed || it.in.secret {
		it.in = inBlob{}
	}
	for {
		s := it.merge.top()
		// Runs end at the bound by themselves, and decide it once a block.
		if s == nil || s.isMem && bytes.Compare(s.key, it.upper) >= 0 {
			it.place = placeEnd
			return false
		}
		if s.trailer.SeqNum() > it.seq || skip && bytes.Equal(s.key, it.key) {
			if !it.advance(s) {
				return false
			}
			continue
		}
		if len(it.ranges) > 0 {
			if gone, ok := it.isDeleted(s); !ok {
				return false
			} else if gone {
				continue
			}
		}
		it.key, it.version = append(it.key[:0], s.key...), s.trailer.SeqNum()
		switch s.trailer.Kind() {
		case keys.KindSet:
			it.value, it.valid, it.stands = s.value(), true, true
			return true
		case keys.KindDelete:
			skip = true
		case keys.KindSetWithExpiry, keys.KindExpiryMarker, keys.KindSetSealedExpiry:
			if it.value, it.expires = it.alive(s); it.expires != 0 {
				it.valid = true
				return true
			}
			skip = true
		case keys.KindMerge:
			if emitted, ok := it.foldForward(s); emitted || !ok {
				return emitted
			}
			skip = true
		case keys.KindSetSealed:
			it.value, it.valid, it.in.sealed = s.value(), true, true
			return true
		case keys.KindSetBlob, keys.KindSetWithExpiryBlob, keys.KindSetSealedBlob, keys.KindSetSealedExpiryBlob:
			if it.blobForward(s) {
				return true
			}
			skip = true
		default:
			return it.fail(fmt.Errorf("%w: operation %s", ErrTooNew, s.trailer.Kind()))
		}
	}
}

// prevVisible emits the newest visible version of the previous key. Going back the
// versions of a key come oldest first: the last one at or below seq wins.
func (it *Iterator) prevVisible() bool {
	it.valid, it.stands = false, false
	live := false // the newest version so far of it.key is a value
	started := false
	piled, base := false, keys.SeqNum(0) // it is an operand in it.chain, above the version base
	for {
		s := it.merge.top()
		end := s == nil || s.isMem && bytes.Compare(s.key, it.lower) < 0
		if end || started && !bytes.Equal(s.key, it.key) {
			if piled {
				if emitted, ok := it.foldChain(); emitted || !ok {
					return emitted
				}
				live, piled = false, false
			}
			if live {
				it.value, it.valid = it.valBuf, true
				return true
			}
			base = 0
			if end {
				it.place = placeStart
				return false
			}
			started = false
		}
		if s.trailer.SeqNum() <= it.seq {
			if len(it.ranges) > 0 {
				if gone, ok := it.isDeleted(s); !ok {
					return false
				} else if gone {
					continue
				}
			}
			if !started {
				it.key, started = append(it.key[:0], s.key...), true
				it.below, it.expires, it.in = fold.Base{}, 0, inBlob{}
			}
			it.version = s.trailer.SeqNum() // the newest one comes last
			switch s.trailer.Kind() {
			case keys.KindSet, keys.KindSetSealed:
				it.valBuf, live = append(it.valBuf[:0], s.value()...), true
				it.below, it.expires, it.in = fold.Base{State: fold.Present}, 0, inBlob{sealed: s.trailer.Kind().IsSealed()}
				piled, base = false, s.trailer.SeqNum()
			case keys.KindSetBlob, keys.KindSetWithExpiryBlob, keys.KindSetSealedBlob, keys.KindSetSealedExpiryBlob:
				live = it.blobBackward(s)
				piled, base = false, s.trailer.SeqNum()
			case keys.KindDelete:
				it.below, it.expires, it.in, live = fold.Base{}, 0, inBlob{}, false
				piled, base = false, s.trailer.SeqNum()
			case keys.KindSetWithExpiry, keys.KindExpiryMarker, keys.KindSetSealedExpiry:
				live = it.baseBackward(s)
				piled, base = false, s.trailer.SeqNum()
			case keys.KindMerge:
				if !it.pileUp(s, piled, base) {
					return false
				}
				piled = true
			default:
				return it.fail(fmt.Errorf("%w: operation %s", ErrTooNew, s.trailer.Kind()))
			}
		}
		if !it.advance(s) {
			return false
		}
	}
}

// Close releases what the iterator holds and returns the error that ended the
// iteration, if one did. It is idempotent.
func (it *Iterator) Close() error {
	if it.closed {
		return nil
	}
	err := it.err
	it.closed, it.valid, it.value = true, false, nil
	for i := range it.sources {
		if cerr := it.sources[i].close(); err == nil && cerr != nil {
			err = it.db.tableError(cerr)
		}
	}
	it.recycle()
	it.iterParts = nil
	it.state.unref()
	if it.counted {
		it.db.metrics.iterators.Add(-1)
	}
	it.db.release()
	return err
}
