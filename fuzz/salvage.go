package fuzz

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// salvagedDir is where damaged stores are salvaged to.
const salvagedDir = "salvaged"

// SalvageBytes is EveryByte for lsm.Verify and lsm.Salvage: Verify must find whatever makes
// the store refuse to open, or hold something else, and Salvage must make a store that
// differs from what was there only as its report says. Explored.Points counts the damages
// that Verify found.
func (d *Damaged) SalvageBytes(every int) Explored { return d.explore(d.changes(every), d.salvaged) }

// SalvageCuts is EveryCut for them.
func (d *Damaged) SalvageCuts(every int) Explored { return d.explore(d.allCuts(every), d.salvaged) }

// remember adds the values that a batch gives.
func (d *Damaged) remember(ops []Op) {
	for _, op := range ops {
		if op.Upper != "" {
			continue // it gives no value
		}
		if d.ever[op.Key] == nil {
			d.ever[op.Key] = map[string]bool{}
		}
		d.ever[op.Key][op.Value] = !op.Delete || d.ever[op.Key][op.Value]
	}
}

// had reports whether a key ever had a value.
func (d *Damaged) had(key, value string) bool {
	if key != batchKey {
		return d.ever[key][value]
	}
	for n := range d.ledger.Issued() {
		if encodeBatch(n+1) == value {
			return true
		}
	}
	return false
}

// salvaged does the harm to a copy of the files, verifies and salvages it.
func (d *Damaged) salvaged(h harm) (detected bool, err error) {
	ctx := context.Background()
	want, err := d.contents(d.mem.Copy(), Dir)
	if err != nil {
		return false, err
	}
	fs := d.mem.Copy()
	if err := h.do(fs); err != nil {
		return false, err
	}
	v, err := lsm.Verify(ctx, Dir, d.setup.Options(fs))
	switch {
	case ofKeyring(err):
		return true, nil // without it nothing can be read
	case errors.Is(err, lsm.ErrTooNew):
		return true, nil // a file of a later version is refused as such
	case errors.Is(err, lsm.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	detected = len(v.Findings) > 0
	direct, openErr := d.contents(fs.Copy(), Dir)
	if !detected && (openErr != nil || !maps.Equal(direct, want)) {
		if openErr != nil || v.Recovery.Clean {
			return false, fmt.Errorf("verify found nothing, and opening %w", openErr)
		}
		want = direct // without its last records, which nobody vouches for
	}
	r, err := lsm.Salvage(ctx, Dir, salvagedDir, d.setup.Options(fs))
	if errors.Is(err, lsm.ErrTooNew) {
		return detected, nil
	}
	if err != nil {
		return detected, err
	}
	got, err := d.contents(fs, salvagedDir)
	if err != nil {
		return detected, err
	}
	return detected, d.judge(got, want, r)
}

// contents opens a store and reads all of it.
func (d *Damaged) contents(fs vfs.FS, dir string) (map[string]string, error) {
	db, err := lsm.Open(dir, d.setup.Options(fs))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for e, serr := range db.Scan(nil, nil) {
		if serr != nil {
			err = serr
			break
		}
		all[string(e.Key)] = string(e.Value)
	}
	return all, errors.Join(err, db.Close())
}

// judge returns an error if the salvaged store differs from what was there in a way that
// the report does not tell.
func (d *Damaged) judge(got, want map[string]string, r *lsm.SalvageReport) error {
	within := func(ranges []lsm.KeyRange, key string) bool {
		return slices.ContainsFunc(ranges, func(r lsm.KeyRange) bool { return r.Contains([]byte(key)) })
	}
	var lost []lsm.KeyRange
	for _, f := range r.Files {
		for _, l := range f.Lost {
			lost = append(lost, l.Keys)
		}
	}
	for key, value := range want {
		now, ok := got[key]
		switch {
		case !ok && !within(lost, key):
			return fmt.Errorf("%s is missing:\n%s", key, r)
		case ok && now != value && !(d.had(key, now) && within(r.Doubtful, key)):
			return fmt.Errorf("%s has another value:\n%s", key, r)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok && !(d.had(key, value) && r.DeletedMayReturn && (!r.ManifestRead || within(r.Doubtful, key))) {
			return fmt.Errorf("%s came back:\n%s", key, r)
		}
	}
	if r.Complete() && !maps.Equal(got, want) {
		return fmt.Errorf("the report says that all is there:\n%s", r)
	}
	return nil
}
