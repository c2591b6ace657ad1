package lsm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
)

// salvageTable is a table that is read for Salvage, once for where it begins, and once for
// its entries.
type salvageTable struct {
	s     *salvage
	name  string
	meta  *manifest.Table // nil: unlisted
	depth int             // of its run, newest first; 0: unlisted
	spill bool            // of the log, in the new directory; not in the report

	size       int64
	smallest   []byte // as far as known
	f          vfs.File
	w          *sstable.Wreck
	entries    int64
	total      int64  // entries that the table had; -1: unknown
	ranges     uint64 // range tombstones that it had, where total is known
	disorder   int64  // entries left out because they came too late
	gone       error  // why nothing of it could be read
	damage     []sstable.Damage
	lost       []lostKeys
	lostValues []lostKeys // keys whose values, in blob files, could not be read
	unplaced   []lostKeys // keys of an ingested table whose number only the lost manifest knew
}

// lostKeys are the internal user keys, [lower, upper), that a loss may have held.
type lostKeys struct{ lower, upper []byte }

// open opens the file for the next reading. A file that is missing or no table is gone,
// which is no error.
func (t *salvageTable) open() error {
	dir, keyring := t.s.dir, t.s.keyring
	if t.spill {
		dir, keyring = t.s.target.dir, t.s.target.keyring
	}
	f, err := t.s.fs.Open(dir+"/"+t.name, vfs.ReadOnly)
	if errors.Is(err, vfs.ErrNotExist) {
		t.gone = errMissing
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", t.name, err)
	}
	o := sstable.WreckOptions{OpenCipher: keyring.openCipher(), Name: t.name}
	if t.meta != nil {
		o.UID, o.KeyID = t.meta.UID, t.meta.Key
	}
	if t.size, err = f.Size(); err == nil {
		t.f = f
		if t.w, err = sstable.OpenWreck(t.s.ctx, f, o); err == nil {
			err = keyring.admits(f, manifest.FileNum(t.name), t.w.Encrypted())
		}
	}
	if err != nil {
		t.gone = err
		_ = t.close() // read only: nothing can be lost
	}
	return nil
}

func (t *salvageTable) close() error {
	if t.f == nil {
		return nil
	}
	err := t.f.Close()
	t.f, t.w = nil, nil
	return err
}

// survey finds out where the table begins and which range tombstones it has.
func (t *salvageTable) survey() error {
	if t.total = -1; t.meta != nil {
		t.total, t.ranges = int64(t.meta.Entries), t.meta.RangeDeletes
	}
	if err := t.open(); err != nil || t.gone != nil {
		t.note()
		return err
	}
	defer t.close()
	if p := t.w.Properties(); p != nil {
		t.smallest, t.total, t.ranges = p.Smallest, int64(p.Entries), p.Kinds[keys.KindRangeDelete].Entries
		if t.meta == nil && p.Unnumbered() {
			t.unplaced = []lostKeys{{p.Smallest, append(bytes.Clone(p.Largest), 0)}}
		}
	} else if t.meta != nil {
		t.smallest = t.meta.Smallest
	} else if t.w.Next() {
		t.smallest = bytes.Clone(t.w.Key())
	}
	if !t.w.Framed() {
		for t.w.Next() { // range tombstones may be anywhere
		}
	}
	t.s.out.addRanges(t.w.RangeTombstones(), t.spill)
	return t.w.Err()
}

// next moves to the next entry; false at the end, where the damage is known.
func (t *salvageTable) next() bool {
	if t.w.Next() {
		t.entries++
		return true
	}
	t.damage = t.w.Damage()
	return false
}

func (t *salvageTable) key() []byte   { return t.w.Key() }
func (t *salvageTable) value() []byte { return t.w.Value() }

// trailer returns the entry's trailer. The number of an ingested table's entries is in the
// manifest alone; without that they count as the oldest.
func (t *salvageTable) trailer() keys.Trailer {
	if t.meta != nil {
		return inlineKind(t.w.Trailer() + keys.MakeTrailer(t.meta.Number(), 0))
	}
	return inlineKind(t.w.Trailer())
}

// err returns what ended the reading, but for the end.
func (t *salvageTable) err() error { return t.w.Err() }

// finish closes the table after its last entry and works out what it has lost.
func (t *salvageTable) finish() error {
	t.note()
	return t.close()
}

// note lists the keys that are lost.
func (t *salvageTable) note() {
	lower, upper := []byte(nil), []byte(nil)
	if t.meta != nil {
		lower, upper = t.meta.Smallest, append(bytes.Clone(t.meta.Largest), 0)
	}
	if t.gone != nil {
		t.lost = append(t.lost, lostKeys{lower, upper})
		return
	}
	if t.entries == t.total && uint64(len(t.w.RangeTombstones())) == t.ranges {
		for i := range t.damage {
			t.damage[i].Entries = false // all that there were are here
		}
	}
	// Without a footer what is lost may be range tombstones, which can cover any key.
	anywhere := !t.w.Framed() && (t.total < 0 || uint64(len(t.w.RangeTombstones())) < t.ranges)
	for i := range t.damage {
		if d := &t.damage[i]; d.Entries {
			l := lostKeys{lower, upper}
			if d.After != nil && !anywhere {
				l.lower = d.After
			}
			if d.Through != nil && !anywhere {
				l.upper = append(bytes.Clone(d.Through), 0)
			}
			t.lost = append(t.lost, l)
		}
	}
}

// file returns the table's part of the report.
func (t *salvageTable) file() SalvagedFile {
	f := SalvagedFile{Name: t.name, Bytes: t.size, Entries: t.entries, Unlisted: t.meta == nil}
	if t.gone != nil {
		f.Lost = []Loss{t.loss(-1, t.size, t.lost[0], t.gone)}
	}
	n := 0
	for i := range t.damage {
		d := &t.damage[i]
		if !d.Entries {
			f.Damaged = append(f.Damaged, Loss{Offset: d.Offset, Bytes: d.Len, Err: damageCause(d.Err)})
			continue
		}
		f.Lost = append(f.Lost, t.loss(d.Offset, d.Len, t.lost[n], d.Err))
		n++
	}
	if t.disorder > 0 {
		f.Lost = append(f.Lost, Loss{Offset: -1, Err: fmt.Errorf("%d entries came out of order", t.disorder)})
	}
	if len(f.Lost) > 0 {
		f.EntriesLost = t.entriesLost()
	}
	return f
}

// entriesLost is how many entries the table had more than were read; -1 if unknown.
func (t *salvageTable) entriesLost() int64 {
	if t.total < 0 {
		return -1
	}
	return max(t.total-t.entries, 0)
}

func (t *salvageTable) loss(off, n int64, l lostKeys, err error) Loss {
	keys, others := rootRange(l.lower, l.upper)
	return Loss{Offset: off, Bytes: n, Keys: keys, OtherScopes: others, Err: damageCause(err)}
}

// damageCause is what is wrong without file and place, which the report has beside it.
func damageCause(err error) error {
	var b *blob.CorruptionError
	if errors.As(err, &b) {
		return b.Err
	}
	var c *sstable.CorruptionError
	if errors.As(err, &c) {
		return c.Err
	}
	return err
}
