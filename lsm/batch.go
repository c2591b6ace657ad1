package lsm

import (
	"bytes"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// maxBatchBytes bounds what a batch takes in a memtable, which is more than it takes in
// the log.
const maxBatchBytes = maxMutableBytes

// Batch collects writes that DB.Apply commits all together or not at all. Later
// operations of a batch win over earlier ones on the same key. A Batch is for one
// goroutine at a time; it copies keys and values, and can be applied again, and
// reused after Reset. The zero Batch is empty and ready. It can span scopes: see In.
type Batch struct {
	prefix  []byte // scope id of the next key
	scoped  []byte // memory of that, for scopes other than the root
	payload []byte
	ops     int
	ranges  int // of them, those that delete a range
	lasting int // of them, those that are known to write nothing that expires
	bytes   int64
	err     error // first limit exceeded; Apply returns it

	home   *Scope       // what Reset goes back to; nil: the root
	scopes []batchScope // other than the root, scope_batch.go
	index  map[scope.Scope]int
	at     int // the scope of the next key in scopes, counted from 1; 0: the root

	requires   []point     // require.go
	required   []byte      // their keys
	conditions conditions  // what Apply makes of them
	merges     batchMerges // merge.go

	ttls    []batchTTL // ttl.go
	scratch []byte
	last    Version // of the last operation, once applied: entry_info.go
}

// NewBatch returns an empty batch.
func (d *DB) NewBatch() *Batch { return &Batch{prefix: rootPrefix} }

// Set adds the write of value to key. A key or value over its limit makes Apply fail
// with a *LimitError and write nothing.
func (b *Batch) Set(key, value []byte) { b.add(keys.KindSet, key, value) }

// Delete adds the removal of key, which need not exist.
func (b *Batch) Delete(key []byte) { b.add(keys.KindDelete, key, nil) }

// DeleteRange adds the removal of every key within [lower, upper); nil means no bound. It
// takes one record, whatever it removes. Later operations of the batch are not touched by
// it, nor are keys of other scopes. A range that ends before it begins makes Apply fail with ErrInvalidRange and write
// nothing; one that ends where it begins is empty, and adds nothing.
func (b *Batch) DeleteRange(lower, upper []byte) {
	if b.err != nil {
		return
	}
	if b.prefix == nil {
		b.prefix = rootPrefix // there is no unscoped key
	}
	var end []byte
	if end, b.err = rangeEnd(b.prefix, lower, upper); b.err == nil && end != nil {
		b.addInternal(keys.KindRangeDelete, lower, end)
		b.ranges++
	}
}

// Len returns the number of operations.
func (b *Batch) Len() int { return b.ops }

// Bytes returns the size of the batch as the log will hold it.
func (b *Batch) Bytes() int64 { return int64(len(b.payload)) }

// Reset empties the batch, its requirements too, and keeps its memory.
func (b *Batch) Reset() {
	b.payload, b.ops, b.ranges, b.bytes, b.err = b.payload[:0], 0, 0, 0, nil
	b.lasting = 0
	clear(b.requires)
	b.requires, b.required, b.conditions = b.requires[:0], b.required[:0], conditions{}
	b.ttls = b.ttls[:0]
	b.merges.operands, b.merges.names = 0, b.merges.names[:0]
	b.resetScopes()
}

func (b *Batch) add(kind keys.Kind, key, value []byte) {
	if b.err != nil {
		return
	}
	if b.err = checkLimits(key, value); b.err == nil {
		b.addInternal(kind, key, value)
	}
}

// addInternal adds an operation whose key and value have been checked.
func (b *Batch) addInternal(kind keys.Kind, key, value []byte) {
	if b.prefix == nil {
		b.prefix = rootPrefix // there is no unscoped key
	}
	bytes := b.bytes + int64(len(b.prefix)+len(key)+len(value))
	if size := memtableBytesFor(b.ops+1, bytes); size > maxBatchBytes {
		b.err = &LimitError{What: "batch", Bytes: size, Limit: maxBatchBytes}
		return
	}
	b.payload = appendOp(b.payload, kind, b.prefix, key, value)
	if b.at > 0 && kind != keys.KindDelete && kind != keys.KindRangeDelete {
		b.scopes[b.at-1].writes = true
	}
	if !kind.Expires() {
		b.lasting++
	}
	b.ops++
	b.bytes = bytes
}

// rangeEnd checks the bounds of a range of the scope whose keys begin with prefix, and returns
// its upper bound as an internal key, nil if the range is empty.
func rangeEnd(prefix, lower, upper []byte) ([]byte, error) {
	for _, bound := range [][]byte{lower, upper} {
		if err := checkLimits(bound, nil); err != nil {
			return nil, err
		}
	}
	if upper == nil {
		id, _, err := scope.DecodeID(prefix)
		return scope.AppendUpperBound(nil, id), err
	}
	switch c := bytes.Compare(lower, upper); {
	case c > 0:
		return nil, fmt.Errorf("%w: from %d bytes of key to %d that sort before them", ErrInvalidRange, len(lower), len(upper))
	case c == 0:
		return nil, nil
	}
	return append(bytes.Clone(prefix), upper...), nil
}

func checkLimits(key, value []byte) error {
	if len(key) > keys.MaxUserKeyLen {
		return &LimitError{What: "key", Bytes: int64(len(key)), Limit: keys.MaxUserKeyLen}
	}
	if len(value) > keys.MaxValueLen {
		return &LimitError{What: "value", Bytes: int64(len(value)), Limit: keys.MaxValueLen}
	}
	return nil
}

// rootPrefix begins every key of the db.* verbs: there is no unscoped key.
var rootPrefix = scope.AppendID(nil, scope.Root)

// rootUpper is the smallest key after every key of the root scope.
var rootUpper = scope.AppendUpperBound(nil, scope.Root)

// scopeKeys are the bounds of a scope's keys: they begin with prefix and lie below upper.
type scopeKeys struct{ prefix, upper []byte }

var rootKeys = scopeKeys{rootPrefix, rootUpper}

// scopePrefixLen returns the length of the scope id that a key begins with.
func scopePrefixLen(key []byte) int {
	_, n, err := scope.DecodeID(key)
	if err != nil {
		return 0
	}
	return n
}
