package fuzz

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Soak keeps one store at work, round after round, while calls of its file system fail at
// random. What it remembers of the store does not grow: who runs it can tell whether anything
// else does. It is used by one goroutine.
type Soak struct {
	// Setup is how the store is opened, on FS, which may be the device's, in Dir.
	Setup Setup
	FS    vfs.FS
	Dir   string
	// Faults counts those that were met.
	Faults int

	db   *lsm.DB
	rnd  *rand.Rand
	n    uint64 // of the last write
	keys [soakKeys]soakKey
}

const soakKeys = 500

// soakKey is what a key may hold: what was acknowledged last, or a later write that was not.
type soakKey struct {
	acked   soakWrite
	pending []soakWrite
}

// soakWrite is one write of a key. The one with number zero is that of no value.
type soakWrite struct {
	n       uint64
	deleted bool
}

// value is what the write leaves; it has a length of its own.
func (w soakWrite) value() string {
	return fmt.Sprintf("%d:%s", w.n, strings.Repeat("v", int(w.n*37%280)))
}

func (w soakWrite) absent() bool { return w.deleted || w.n == 0 }

// Rest is what a store at rest, compacted, takes.
type Rest struct {
	// Live are the bytes of its keys and values, Space those of its files.
	Live, Space int64
}

// Round plays one round: the store is opened, works, meets a fault, and is closed; it is
// opened again, must hold what was acknowledged, is compacted, and closed. An error is a
// promise that was broken.
func (s *Soak) Round() (Rest, error) {
	if s.rnd == nil {
		s.rnd = rand.New(rand.NewPCG(s.Setup.Seed, 11))
	}
	faults := vfs.NewFaults(s.FS)
	if err := s.open(faults); err != nil {
		return Rest{}, err
	}
	if err := s.work(faults); err != nil {
		return Rest{}, errors.Join(err, s.db.Close())
	}
	faults.Clear()
	s.Faults += len(faults.Fired())
	if err := s.db.Close(); err != nil && !typed(err) {
		return Rest{}, fmt.Errorf("%w: close: no type in: %w", ErrWrong, err)
	}
	if err := s.open(s.FS); err != nil {
		return Rest{}, err
	}
	r, err := s.rest()
	return r, errors.Join(err, s.db.Close())
}

func (s *Soak) open(on vfs.FS) (err error) {
	s.db, err = lsm.Open(s.Dir, s.Setup.Options(on))
	return err
}

// work writes and reads until a few batches after a fault, as far as the store goes on.
func (s *Soak) work(faults *vfs.Faults) error {
	const batches = 60
	for i := range batches {
		if i == batches/6 {
			faults.Add(s.fault())
		}
		err := s.step(i)
		switch {
		case errors.Is(err, ErrWrong), err != nil && !typed(err):
			return fmt.Errorf("%w: step %d: %w", ErrWrong, i, err)
		case errors.Is(err, lsm.ErrPoisoned):
			return nil
		}
	}
	return nil
}

// fault chooses what goes wrong in a round.
func (s *Soak) fault() vfs.Rule {
	kinds := []vfs.OpKind{vfs.OpWrites &^ vfs.OpLock, vfs.OpSync | vfs.OpSyncDir, vfs.OpReads, vfs.OpCreate | vfs.OpRename}
	errs := vfs.FaultErrors()
	return vfs.Rule{
		Kinds: kinds[s.rnd.IntN(len(kinds))], Skip: s.rnd.IntN(40), Forever: s.rnd.IntN(4) == 0,
		Effect: []vfs.Effect{vfs.Fail, vfs.Short, vfs.FailAfter}[s.rnd.IntN(3)], Err: errs[s.rnd.IntN(len(errs))],
	}
}

// step commits a batch, and now and then does something else.
func (s *Soak) step(i int) error {
	ctx := context.Background()
	if err := s.write(); err != nil {
		return err
	}
	switch i % 12 {
	case 3:
		return s.db.Flush(ctx)
	case 6:
		snap, err := s.db.NewSnapshot()
		if err != nil {
			return err
		}
		_, _, err = read(snap)
		return errors.Join(err, snap.Close())
	case 9:
		k := s.rnd.IntN(soakKeys)
		return s.db.Compact(ctx, soakName(k), soakName(k+soakKeys/4))
	case 11:
		_, err := s.db.Get(soakName(s.rnd.IntN(soakKeys)))
		if errors.Is(err, lsm.ErrNotFound) {
			return nil
		}
		return err
	}
	return nil
}

func soakName(k int) []byte { return fmt.Appendf(nil, "key-%04d", k) }

// write commits a batch and notes what it may have left.
func (s *Soak) write() error {
	b := s.db.NewBatch()
	var wrote []int
	for range 1 + s.rnd.IntN(16) {
		k := s.rnd.IntN(soakKeys)
		s.n++
		w := soakWrite{n: s.n, deleted: s.rnd.IntN(5) == 0}
		if w.deleted {
			b.Delete(soakName(k))
		} else {
			b.Set(soakName(k), []byte(w.value()))
		}
		s.keys[k].pending = append(s.keys[k].pending, w)
		wrote = append(wrote, k)
	}
	w := lsm.NoSync
	if s.rnd.IntN(8) == 0 {
		w = lsm.Sync
	}
	if err := s.db.Apply(b, w); err != nil {
		return err
	}
	for _, k := range wrote {
		if p := s.keys[k].pending; len(p) > 0 {
			s.keys[k] = soakKey{acked: p[len(p)-1]}
		}
	}
	return nil
}

// rest compares what the store holds with what was acknowledged, compacts it, waits until it
// has no file too many, and measures it.
func (s *Soak) rest() (r Rest, err error) {
	for i := range s.keys {
		k := &s.keys[i]
		got, err := s.db.Get(soakName(i))
		if err != nil && !errors.Is(err, lsm.ErrNotFound) {
			return r, fmt.Errorf("%w: get: %w", ErrWrong, err)
		}
		found := false
		for _, w := range append(k.pending, k.acked) {
			if w.absent() == (err != nil) && (w.absent() || w.value() == string(got)) {
				*k, found = soakKey{acked: w}, true
				break
			}
		}
		if !found {
			return r, fmt.Errorf("%w: %s holds %.20q, %v, of write %d and %d later ones", ErrLost, soakName(i), got, err, k.acked.n, len(k.pending))
		}
		if err == nil {
			r.Live += int64(len(soakName(i)) + len(got))
		}
	}
	if err := s.db.Compact(context.Background(), nil, nil); err != nil {
		return r, err
	}
	if err := waitForFiles(s.db, s.FS, s.Dir); err != nil {
		return r, err
	}
	names, err := s.FS.List(s.Dir)
	if err != nil {
		return r, err
	}
	for _, name := range names {
		size, err := s.FS.Size(path.Join(s.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
		r.Space += size
	}
	return r, nil
}
