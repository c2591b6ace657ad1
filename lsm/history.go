package lsm

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// Positions and the history floor. docs/diff.md is the page for users.
//
//   - H1. A position that leaves the process is on the lineage, and everything up to it is
//     durable.
//   - H2. The floor, the greatest number of a tombstone that was left out, is in the manifest
//     with the edit that leaves it out, and is raised before a reader can reach a version
//     without it: whoever has taken a state and then finds the floor at or below a number
//     finds in the state every tombstone above that number which is not hidden by another.
//   - H3. The number of a horizon is in the bound before its record is committed and until
//     the record is gone, and no edit raises the floor above the bound.
//   - H4. A tombstone above the bound goes only where a newer entry, or range tombstone, of
//     the same key takes its place, or with a scope whose entry in the directory has changed.

// Errors of positions.
var (
	// ErrDiverged: a position is not on the store's history. It is another store's, or was
	// given out by a copy of this one, or by this one before a power cut or a restore took
	// what it stands for.
	ErrDiverged = errors.New("lsm: position is not on the history of this store")
	// ErrHistoryGone: what was deleted since a position is not known any more. The whole
	// contents, Diff from the zero Position, serve instead. Details: *HistoryGoneError.
	ErrHistoryGone = errors.New("lsm: history from the position is gone")
)

// HistoryGoneError says from where on the history of a store is known. It matches
// ErrHistoryGone.
type HistoryGoneError struct {
	// From is the position that was asked for.
	From Position
	// Floor is the sequence number of the newest deletion that is forgotten: positions with
	// a lower one have no history.
	Floor uint64
	// Horizon is the name of a broken horizon that stood at the position, "" if none did,
	// and State says what has broken it.
	Horizon string
	State   HorizonState
}

// Error implements error.
func (e *HistoryGoneError) Error() string {
	if e.Horizon == "" {
		return fmt.Sprintf("%v: %d is below the floor, %d", ErrHistoryGone, uint64(e.From.seq), e.Floor)
	}
	return fmt.Sprintf("%v: %d is below the floor, %d; a horizon stood there and was given up: %s",
		ErrHistoryGone, uint64(e.From.seq), e.Floor, e.State)
}

// Is reports whether target is ErrHistoryGone.
func (e *HistoryGoneError) Is(target error) bool { return target == ErrHistoryGone }

// history is what is kept in memory of the store's history.
type history struct {
	// opened is the state of the manifest when the store was opened: the lineage changes at
	// openings only.
	opened *manifest.State
	floor  atomic.Uint64 // H2
}

// openHistory is called when the opening is in the manifest, if it is to be.
func (d *DB) openHistory(loaded *manifest.State) {
	d.history.opened = loaded
	if d.manifestLog != nil {
		d.history.opened = d.manifestLog.State()
	}
	d.history.floor.Store(uint64(d.history.opened.HistoryFloor))
}

// Position returns where in the store's history the snapshot is. What it stands for is on the
// device when it returns, so that no power cut takes it back: the log is synced if it must be.
//
// Errors: ErrPoisoned; ErrReadOnly where the store is open for reading only and nobody has
// made all that it shows durable; ErrClosed.
func (s *Snapshot) Position() (Position, error) {
	if s.closed.Load() || s.db.closed.Load() {
		return Position{}, ErrClosed
	}
	return s.db.positionOf(s.seq)
}

// positionOf returns the position of a visible number, durable (H1).
func (d *DB) positionOf(seq keys.SeqNum) (Position, error) {
	var p Position
	var ok bool
	if p.open, p.seq, ok = d.history.opened.Place(seq); !ok {
		return Position{}, fmt.Errorf("lsm: position: %w: the store was never opened for writing", ErrReadOnly)
	}
	if d.opts.ReadOnly {
		if seq > d.history.opened.FlushedSeqNum && !d.found.Clean {
			return Position{}, fmt.Errorf("lsm: position: %w: the log may not be on the device", ErrReadOnly)
		}
		return p, nil
	}
	if mutant.Enabled && mutant.Is(mutant.SoftPosition) {
		return p, nil
	}
	if err := d.wal.Sync(d.wal.End()); err != nil {
		if errors.Is(err, wal.ErrClosed) {
			return Position{}, ErrClosed
		}
		return Position{}, d.fail(fmt.Errorf("log sync: %w", err))
	}
	return p, nil
}

// numberOf returns the sequence number of a position on the store's history that is not
// ahead of seq.
func (d *DB) numberOf(p Position, seq keys.SeqNum) (keys.SeqNum, error) {
	switch {
	case !d.history.opened.OnLineage(p.open, p.seq) && !(mutant.Enabled && mutant.Is(mutant.TrustNumber)):
		return 0, fmt.Errorf("%w: %s", ErrDiverged, p)
	case p.seq > seq:
		return 0, fmt.Errorf("%w: %s is ahead of %d", ErrInvalidPosition, p, uint64(seq))
	}
	return p.seq, nil
}

// known returns an error unless the history from p on is known to whoever holds a state that
// was taken before the call (H2). From the beginning it is: then everything is new.
func (d *DB) known(p Position) error {
	floor := d.history.floor.Load()
	if uint64(p.seq) >= floor || p.IsZero() {
		return nil
	}
	e := &HistoryGoneError{From: p, Floor: floor}
	e.Horizon, e.State = d.horizons.brokenAt(p)
	return e
}
