package manifest

import (
	"bytes"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
)

// CheckInvariants checks everything that M2 and M3 say of a version alone. It costs time
// in proportion to the number of tables. The error matches ErrInvalidEdit.
func (v *Version) CheckInvariants() error {
	seen := make(map[fileid.Num]bool)
	uids := make(map[fileid.UID]bool)
	var err error
	v.All(func(level Level, _ RunID, t *Table) bool {
		if err = t.check(); err == nil && (seen[t.Num] || uids[t.UID]) {
			err = invalid("table %d is there twice", t.Num)
		}
		seen[t.Num], uids[t.UID] = true, true
		return err == nil
	})
	for i := 0; i < len(v.Blobs) && err == nil; i++ {
		if b := v.Blobs[i].Blob; seen[b.Num] || uids[b.UID] {
			err = invalid("file %d is there twice", b.Num)
		} else {
			uids[b.UID] = true
		}
	}
	if err == nil {
		err = v.checkBlobs()
	}
	for level := Level(0); level < NumLevels && err == nil; level++ {
		err = v.checkLevel(level)
	}
	return err
}

// check checks one table's line.
func (t *Table) check() error {
	c := bytes.Compare(t.Smallest, t.Largest)
	switch {
	case t.Bytes <= 0:
		return invalid("table %d of %d bytes", t.Num, t.Bytes)
	case len(t.Smallest) > keys.MaxKeyLen || len(t.Largest) > keys.MaxKeyLen:
		return invalid("table %d has a bound longer than a key", t.Num)
	case c > 0 || c == 0 && t.LargestExclusive:
		return invalid("table %d ends before it begins", t.Num)
	case t.MinSeqNum > t.MaxSeqNum || t.MaxSeqNum > keys.MaxSeqNum:
		return invalid("table %d has sequence numbers %d to %d", t.Num, t.MinSeqNum, t.MaxSeqNum)
	case t.Ingested && (t.MinSeqNum == 0 || t.MinSeqNum != t.MaxSeqNum):
		return invalid("ingested table %d has sequence numbers %d to %d", t.Num, t.MinSeqNum, t.MaxSeqNum)
	}
	return t.checkRefs()
}

// checkLevel checks M2 of one level.
func (v *Version) checkLevel(level Level) error {
	runs := v.Levels[level]
	for i := range runs {
		if len(runs[i].Tables) == 0 {
			return invalid("run %d of level %d is empty", runs[i].ID, level)
		}
		if i > 0 && runs[i].ID >= runs[i-1].ID {
			return invalid("runs of level %d: %d after %d", level, runs[i].ID, runs[i-1].ID)
		}
		if err := runs[i].check(); err != nil {
			return err
		}
		for j := range i {
			if err := checkOrder(&runs[j], &runs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Run) check() error {
	for i := 1; i < len(r.Tables); i++ {
		if a, b := r.Tables[i-1], r.Tables[i]; !a.EndsBefore(b.Smallest) {
			return invalid("tables %d and %d of run %d overlap", a.Num, b.Num, r.ID)
		}
	}
	return nil
}

// checkOrder checks that where the runs overlap, newer's numbers are above older's.
func checkOrder(newer, older *Run) error {
	a, b := newer.Tables, older.Tables
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].EndsBefore(b[0].Smallest):
			a = a[1:]
		case b[0].EndsBefore(a[0].Smallest):
			b = b[1:]
		case a[0].MinSeqNum <= b[0].MaxSeqNum:
			return invalid("table %d overlaps the older table %d and is not newer", a[0].Num, b[0].Num)
		case endsFirst(a[0], b[0]):
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return nil
}

// endsFirst reports whether a ends before b does.
func endsFirst(a, b *Table) bool {
	c := bytes.Compare(a.Largest, b.Largest)
	return c < 0 || c == 0 && a.LargestExclusive
}
