package lsm

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
)

// Tables that cannot be read are set aside, so that compactions go on without them: the
// tables above them wait, the rest of the tree does not. A damaged table stays aside until
// the store is opened again; one bad block must not occupy a processor for ever. A table
// whose reads fail may be readable again, so it is set aside for minutes, and only when it
// has failed a few times in a row.

const (
	// readAttempts is how often in a row a table may fail before it is set aside.
	readAttempts = 3
	// asideFor is for how long. It then gets one more attempt at a time.
	asideFor = 5 * time.Minute
)

// unreadable is what is known of a table that could not be read.
type unreadable struct {
	err      error // what reading it gave last
	failures int   // in a row
	damaged  bool
	blob     bool      // a blob file: only its values stay where they are
	until    time.Time // aside until then
}

// asideTables are the tables that could not be read, by number.
type asideTables map[fileid.Num]*unreadable

// avoids reports whether no job may take the table now. A request of DB.Compact meets all
// but damaged ones: whoever asks wants to know.
func (a asideTables) avoids(num fileid.Num, now time.Time, manual bool) bool {
	u := a[num]
	return u != nil && (u.damaged || !manual && now.Before(u.until))
}

// judge takes note of a failed job, and reports whether it set a table aside.
func (a asideTables) judge(job *compaction.Job, err error, now time.Time) bool {
	if mutant.Enabled && mutant.Is(mutant.NeverSetAside) {
		return false
	}
	var read *compaction.ReadError
	named := errors.As(err, &read)
	switch {
	case named && read.Blob:
		return a.judgeBlob(read, err, now)
	case errors.Is(err, ErrCorrupt) && named:
		a.damage(read.Table, err)
		return true
	case errors.Is(err, ErrCorrupt), errors.Is(err, compaction.ErrNotConserved):
		for _, t := range job.Tables() {
			a.damage(t.Num, err) // it is not known which one
		}
		return true
	case named && !temporary(err):
		return a.fail(read.Table, err, now)
	}
	return false
}

// judgeBlob takes note of a blob file that could not be read. Tables that refer to it are
// merged all the same: references pass through.
func (a asideTables) judgeBlob(read *compaction.ReadError, err error, now time.Time) bool {
	if errors.Is(err, ErrCorrupt) {
		a[read.Table] = &unreadable{err: err, damaged: true, blob: true}
		return true
	}
	if temporary(err) {
		return false
	}
	aside := a.fail(read.Table, err, now)
	a[read.Table].blob = true
	return aside
}

func (a asideTables) damage(num fileid.Num, err error) {
	a[num] = &unreadable{err: err, damaged: true}
}

func (a asideTables) fail(num fileid.Num, err error, now time.Time) bool {
	u := a[num]
	if u == nil {
		u = &unreadable{}
		a[num] = u
	}
	u.err = err
	u.failures++
	if u.failures < readAttempts {
		return false
	}
	u.until = now.Add(asideFor)
	return true
}

// readable forgets what was held against the inputs of a job that succeeded.
func (a asideTables) readable(job *compaction.Job) {
	if len(a) > 0 {
		for _, t := range job.Tables() {
			delete(a, t.Num)
		}
		for _, num := range job.MoveBlobs {
			delete(a, num)
		}
	}
}

// temporary reports whether an error is a matter of the process, or of the moment, rather
// than of the table: no descriptor is free, a call was interrupted.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// next returns how long it is until a table may be tried again, 0 if none is to be.
func (a asideTables) next(now time.Time) time.Duration {
	first := time.Duration(0)
	for _, u := range a {
		if left := u.until.Sub(now); !u.damaged && left > 0 && (first == 0 || left < first) {
			first = left
		}
	}
	return first
}

// err returns why the first of the tables that are aside is, or nil.
func (a asideTables) err(now time.Time) error {
	var nums []fileid.Num
	for num := range a {
		if a.avoids(num, now, false) && !a[num].blob {
			nums = append(nums, num)
		}
	}
	if len(nums) == 0 {
		return nil
	}
	num := slices.Min(nums)
	return fmt.Errorf("%s was set aside: %w", manifest.TableName(num), a[num].err)
}
