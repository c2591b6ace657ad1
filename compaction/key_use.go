package compaction

import (
	"cmp"
	"slices"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
)

// KeyUse is what a store has under one data key.
type KeyUse struct {
	// Key is the data key; 0: in clear.
	Key seal.KeyID
	// Tables, Blobs and Segments count tables, blob files, and segments of the log, those that
	// are prepared included.
	Tables, Blobs, Segments int
	// Bytes is the length of them all.
	Bytes int64
}

// KeyUses returns what the tables and blob files of v and the given segments of the log have
// under each data key, by key. Keys that have nothing are left out.
func KeyUses(v *manifest.Version, segments []manifest.Segment) []KeyUse {
	uses := map[seal.KeyID]*KeyUse{}
	add := func(key seal.KeyID, bytes int64) *KeyUse {
		u := uses[key]
		if u == nil {
			u = &KeyUse{Key: key}
			uses[key] = u
		}
		u.Bytes += bytes
		return u
	}
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		add(t.Key, t.Bytes).Tables++
		return true
	})
	for i := range v.Blobs {
		add(v.Blobs[i].Key, v.Blobs[i].Bytes).Blobs++
	}
	for _, s := range segments {
		add(s.Key, s.Bytes).Segments++
	}
	out := make([]KeyUse, 0, len(uses))
	for _, u := range uses {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b KeyUse) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// LastRetiring returns the number of the last of the segments whose data key is to leave, 0 if
// there is none: the log must go on behind it, and what it holds must be flushed.
func LastRetiring(segments []manifest.Segment, retiring func(seal.KeyID) bool) (num uint64) {
	for _, s := range segments {
		if retiring(s.Key) {
			num = max(num, s.Num)
		}
	}
	return num
}
