package lsm

import (
	"iter"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// ListScopes yields the scopes of a kind, or of all with scope.AnyKind, whose id begins
// with prefix, in the order of scope.Compare, as of the first step. It reads the directory
// and no key of any scope. To the prefix a step's id is the workflow's, a zero byte, and
// the step's name: "w1\x00" is for the steps of workflow w1. An error is yielded once, with
// a zero Scope, and ends the loop.
func (d *DB) ListScopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	return d.listScopes(kind, prefix, keys.MaxSeqNum, nil)
}

// ListScopes yields the scopes that there were, as DB.ListScopes does.
func (s *Snapshot) ListScopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	return s.db.listScopes(kind, prefix, s.seq, s)
}

func (d *DB) listScopes(kind scope.Kind, prefix string, seq keys.SeqNum, snap *Snapshot) iter.Seq2[scope.Scope, error] {
	return func(yield func(scope.Scope, error) bool) {
		if snap != nil && snap.closed.Load() { // at the first step
			yield(scope.Scope{}, ErrClosed)
			return
		}
		it, err := d.newIter(systemKeys, recordBounds(recordEntry), seq)
		if err != nil {
			yield(scope.Scope{}, err)
			return
		}
		defer it.Close() // its error is yielded
		kinds := []scope.Kind{kind}
		if kind == scope.AnyKind {
			kinds = kinds[:0]
			for k := scope.KindGlobal; k <= scope.KindCustom; k++ {
				kinds = append(kinds, k)
			}
		}
		for _, k := range kinds {
			if !yieldScopes(it, append([]byte{byte(recordEntry), byte(k)}, prefix...), yield) {
				return
			}
		}
		if it.err != nil {
			yield(scope.Scope{}, it.err)
		}
	}
}

// yieldScopes yields the scopes whose entries begin with prefix, and reports whether the
// loop goes on.
func yieldScopes(it *Iterator, prefix []byte, yield func(scope.Scope, error) bool) bool {
	for ok := it.SeekGE(prefix); ok && len(it.Key()) >= len(prefix) && string(it.Key()[:len(prefix)]) == string(prefix); ok = it.Next() {
		s, err := scope.ParseKey(it.Key()[1:])
		if err != nil {
			yield(scope.Scope{}, directoryError(err))
			return false
		}
		if !yield(s, nil) {
			return false
		}
	}
	return true
}

// recordBounds are the bounds of the records of a kind within the system scope.
func recordBounds(kind recordKind) *IterOptions {
	return &IterOptions{LowerBound: []byte{byte(kind)}, UpperBound: []byte{byte(kind) + 1}}
}
