package compaction

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
)

// Params are what picking depends on besides the version. Zero fields mean the defaults
// that are named with them.
type Params struct {
	// L0Trigger is how many runs level 0 may have before it is compacted. 4.
	L0Trigger int
	// TableBytes is the size at which tables are cut. 64 MiB.
	TableBytes int64
	// MaxJobBytes bounds the input of a job where there is a choice; what C1 forces
	// into one job may exceed it. 8 tables.
	MaxJobBytes int64
	// BaseBytes is the size up to which the base level may grow before a level is put
	// above it. 40 tables, 2.5 GiB.
	BaseBytes int64
	// Fanout is the ratio of the sizes of neighbouring levels. 10.
	Fanout int64
	// L0Divisor: level 0 is merged into the base level when it holds at least this part
	// of the base level's bytes. 3. Simulated random loads of 1 to 16 GiB: 2 writes 3%
	// less in larger jobs, 6 writes 15% more.
	L0Divisor int64
	// SmallTables is how many small neighbours of a run are merged into one table. 8.
	SmallTables int
	// ElideBelow is the greatest sequence number at which a tombstone may be left out:
	// no snapshot and no horizon lies below it. Zero: none may.
	ElideBelow keys.SeqNum
	// HeldBelow is the greatest number of a table at which versions that only snapshots kept
	// may be left out: no snapshot lies below it. At least ElideBelow, which is its default.
	HeldBelow keys.SeqNum
	// Idle asks for jobs that nothing urges: one run per level, no tombstones that
	// could be left out.
	Idle bool

	// ExpiredBy is the time, in milliseconds since 1970, by which entries have expired for
	// every reader there is, snapshots included; zero: none has. MarkersBy is the time up to
	// which, and MarkersUpTo the number up to which, Env.Expiry lets markers go; zero: none
	// goes. OldestMerge is the oldest commit time of a merge operand in memtables, if not zero.
	ExpiredBy, MarkersBy, OldestMerge int64
	MarkersUpTo                       keys.SeqNum
	// BlobSpacePercent is how large blob files may be for what is referred to of them; 0 is no
	// bound.
	BlobSpacePercent int

	// Covered reports that a range tombstone which is in a table, and is at or below
	// ElideBelow, is newer than everything in t and covers all of it. It may be nil.
	Covered func(t *manifest.Table) bool
	// Dead says how much of a table is of dropped scopes, whose entries Env.Dead makes a
	// merge leave out. Of a table that a merge has written without any of them it must say
	// DeadNone. It may be nil.
	Dead func(*manifest.Table) Dead

	// Retiring reports data keys that are to leave: the tables and blob files under them are
	// written anew. It must not report the key that Env.Writer.NewCipher gives new files. It may
	// be nil.
	Retiring func(seal.KeyID) bool

	// Running are the jobs that run now.
	Running []*Job
	// Avoid reports tables that no job may touch, because they are damaged. It may be
	// nil.
	Avoid func(fileid.Num) bool
}

func (p *Params) withDefaults() *Params {
	q := *p
	setDefault(&q.L0Trigger, 4)
	setDefault(&q.TableBytes, 64<<20)
	setDefault(&q.MaxJobBytes, 8*q.TableBytes)
	setDefault(&q.BaseBytes, 40*q.TableBytes)
	setDefault(&q.Fanout, 10)
	setDefault(&q.L0Divisor, 3)
	setDefault(&q.SmallTables, 8)
	q.HeldBelow = max(q.HeldBelow, q.ElideBelow)
	return &q
}

func setDefault[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
