package state

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/codec"
)

// ListOptions say which part of a scope List returns. The zero value is the first page of all.
type ListOptions struct {
	// Prefix is what the keys begin with; empty means any.
	Prefix string
	// After is the Next of the page before, empty for the first.
	After string
	// Limit is how many entries a page has at most: 100 unless set, up to 10,000.
	Limit int
	// KeysOnly leaves values out: entries have keys and Meta, those of a view keys alone.
	KeysOnly bool
}

// Page is a part of a scope, in the order of keys as bytes.
type Page struct {
	// Entries are the keys and their values.
	Entries []Entry
	// Next is for ListOptions.After, to have the page behind this one; empty if there is none. It
	// stays good whatever is written meanwhile, and is not to be looked into.
	Next string
}

// Bounds of ListOptions.Limit.
const (
	defaultLimit = 100
	maxLimit     = 10_000
)

// List returns a page of the scope as of now. Pages that follow each other are of different
// moments: a key that is there all the time is on one of them, once. All shows one moment.
func (s *Scope) List(ctx context.Context, o ListOptions) (Page, error) {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if o.Limit < 0 || o.Limit > maxLimit {
		return Page{}, s.fail("list", "", fmt.Errorf("%w: a limit of %d is not within 1 and %d", ErrOption, o.Limit, maxLimit))
	}
	var page Page
	defer s.store.took(timedList, s.store.clock.now())
	gathered := pages.Get().(*[]Entry)
	entries := (*gathered)[:0]
	err := s.scan(ctx, scanning{ListOptions: o}, func(e Entry) bool {
		if len(entries) == o.Limit {
			page.Next = entries[o.Limit-1].Key
			return false
		}
		entries = append(entries, e)
		return true
	})
	if err == nil {
		page.Entries = slices.Clone(entries)
	}
	if clear(entries); cap(entries) <= maxPooledEntries {
		*gathered = entries
		pages.Put(gathered)
	}
	if err != nil {
		return Page{}, s.fail("list", "", err)
	}
	return page, nil
}

// pages are where entries of a page gather, of which nobody knows how many there will be: the memory
// that a slice grows out of would be more than the page's.
var pages = sync.Pool{New: func() any { return new([]Entry) }}

const maxPooledEntries = 256

// All yields the entries whose keys begin with prefix, in order, as of the first step. The loop
// may write. An error is yielded once, with a zero Entry, and ends the loop; but one that is ErrShredded,
// ErrNoScopeKey or ErrMerge comes with the key of a value that cannot be read, and the loop goes on.
//
//	for e, err := range sc.All(ctx, "task/") {
//		if err != nil {
//			return err
//		}
//		fmt.Println(e.Key, e.Value)
//	}
func (s *Scope) All(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		left := false
		err := s.scan(ctx, scanning{ListOptions: ListOptions{Prefix: prefix}, shown: true}, func(e Entry) bool {
			left = !yield(e, e.Err)
			return !left
		})
		if err != nil && !left {
			yield(Entry{}, s.fail("list", "", err))
		}
	}
}

// Keys yields the keys that begin with prefix, in order, as All yields entries.
func (s *Scope) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		left := false
		err := s.scan(ctx, scanning{ListOptions: ListOptions{Prefix: prefix, KeysOnly: true}, shown: true}, func(e Entry) bool {
			left = !yield(e.Key, nil)
			return !left
		})
		if err != nil && !left {
			yield("", s.fail("list", "", err))
		}
	}
}

// scanning says what a scan is of, and for.
type scanning struct {
	ListOptions      // but for the limit
	shown       bool // each entry is shown at once, and not when scan has returned without an error
	documents   bool // all of them, of every collection, come behind the keys
}

// scan calls yield with the entries that o means until it returns false.
func (s *Scope) scan(ctx context.Context, o scanning, yield func(Entry) bool) error {
	op := access.OpScan
	if o.KeysOnly {
		op = access.OpList
	}
	s, filter, err := s.passSome(ctx, op, o.Prefix)
	if err == nil {
		err = s.err
	}
	if err != nil {
		return err
	}
	lower, upper := bounds(o.Prefix, o.After)
	if upper != nil && bytes.Compare(lower, upper) >= 0 {
		return ctx.Err()
	}
	var f found
	var failed error
	var sensitive uint64
	entry := func(key string, value []byte, i info) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		if filter != nil && !filter.Allows(key) {
			return true
		}
		e, err := s.entryOf(&f, key, value, i, o.KeysOnly, filter != nil)
		switch {
		case err != nil || o.KeysOnly || e.Class != Sensitive:
		case o.shown:
			err = s.seenInLoop(ctx, key, &sensitive)
		default:
			sensitive++
		}
		if err != nil {
			failed = s.fail("list", key, err)
			return false
		}
		if !yield(e) {
			failed = errLeft
		}
		return failed == nil
	}
	err = s.merge(ctx, lower, upper, entry)
	if o.documents && err == nil && failed == nil {
		err = scan(s.space, documentsFirst, documentsEnd, false, func(key, value []byte, i info) bool {
			name, _ := userKey(key)
			return entry(name, value, i)
		})
	}
	if failed == nil || failed == errLeft {
		failed = s.seen(ctx, op, o.Prefix, sensitive)
	}
	if failed != nil {
		return failed
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// entryOf returns the entry of what is stored under a key. It uses f. For a view, where keys are what was asked
// for, it has these alone.
func (s *Scope) entryOf(f *found, key string, value []byte, i info, keysOnly, view bool) (Entry, error) {
	e := Entry{Key: key}
	if i.unread != nil {
		if e.Meta = i.meta(); !keysOnly {
			e.Err = s.fail("list", key, i.unread)
		}
	} else {
		err := f.open(value)
		if err == nil && !keysOnly {
			e.Value, err = codec.Decode(f.payload, &stored)
		}
		if err != nil {
			return e, err
		}
		f.info = i
		e.Meta = f.meta()
	}
	if keysOnly && view {
		e.Meta = Meta{}
	}
	return e, nil
}

// merge calls yield with the stored and the ephemeral entries of [lower, upper) in order.
func (s *Scope) merge(ctx context.Context, lower, upper []byte, yield func(key string, value []byte, i info) bool) error {
	e := &s.store.ephemeral
	for {
		changes := e.changes.Load()
		var here []*ephemeral
		if s.mode == live && e.count.Load() > 0 {
			here = e.between(s.name, lower, upper, s.store.engine.now())
		}
		// What has changed sides before the engine's iterator was there may be missing in both.
		begun, changed, stopped := false, false, false
		begin := func() bool {
			if !begun {
				begun, changed = true, s.mode == live && changes != e.changes.Load()
			}
			return !changed
		}
		err := scan(s.space, lower, upper, false, func(key, value []byte, i info) bool {
			if !begin() {
				return false
			}
			for len(here) > 0 && !stopped && here[0].key < string(key) {
				stopped = !yield(here[0].key, here[0].value, info{expires: here[0].expires})
				here = here[1:]
			}
			if len(here) > 0 && here[0].key == string(key) {
				return !stopped // shown in its turn, from memory
			}
			stopped = stopped || !yield(string(key), value, i)
			return !stopped
		})
		if begin(); changed {
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		for _, v := range here {
			if err != nil || stopped {
				break
			}
			stopped = !yield(v.key, v.value, info{expires: v.expires})
		}
		return err
	}
}

// firstKey is where users' keys begin: below it lies what the store keeps in the scope for itself.
const firstKey = "\x01"

// bounds returns the keys between which those that begin with prefix and are greater than after
// lie.
func bounds(prefix, after string) (lower, upper []byte) {
	first := firstKey
	if mutant.Enabled && mutant.Is(mutant.ShowOwnRecords) {
		first = ""
	}
	lower = []byte(max(prefix, first))
	if after >= string(lower) {
		lower = append([]byte(after), 0)
	}
	upper = []byte(prefix)
	for len(upper) > 0 && upper[len(upper)-1] == 0xff {
		upper = upper[:len(upper)-1]
	}
	if len(upper) == 0 {
		return lower, nil
	}
	upper[len(upper)-1]++
	return lower, upper
}

// scan yields the entries of [lower, upper) of a space in order, or backwards, until yield returns false. Key and
// value are valid within the call. What cannot be read is yielded without a value.
func scan(sp space, lower, upper []byte, reverse bool, yield func(key, value []byte, i info) bool) (err error) {
	c, err := sp.entries(lower, upper, reverse)
	if err != nil {
		return err
	}
	defer func() { // also where yield panics
		if closed := c.close(); err == nil {
			err = closed
		}
	}()
	for {
		if ok, err := c.next(); !ok {
			return err
		}
		if !yield(c.key, c.value, c.info()) {
			return nil
		}
	}
}
