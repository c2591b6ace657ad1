package lsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// Horizon is a named position from which on deletions are remembered, so that Diff can begin
// there. It lasts until it is removed or set anew, over openings too, or until it is given up
// because a bound was exceeded (Options.HorizonMaxAge, Options.HorizonMaxBytes).
type Horizon struct {
	// Name is what it was set by.
	Name string
	// Position is where it stands.
	Position Position
	// Set is when it was set, by the engine's clock.
	Set time.Time
	// State is HorizonSound, or says why it protects nothing any more.
	State HorizonState
}

// HorizonState says whether a horizon holds, and if not, why. The values are on disk.
type HorizonState uint8

// States of a horizon.
const (
	HorizonSound     HorizonState = 0
	HorizonTooOld    HorizonState = 1 // older than Options.HorizonMaxAge
	HorizonTooLarge  HorizonState = 2 // deletions above it took more than Options.HorizonMaxBytes
	HorizonOvertaken HorizonState = 3 // deletions above it were forgotten while it was not in force
	HorizonDiverged  HorizonState = 4 // its position is not on the store's history
)

var horizonStateNames = [...]string{"sound", "too old", "too large", "overtaken", "diverged"}

// String returns the state in words.
func (s HorizonState) String() string {
	if int(s) < len(horizonStateNames) {
		return horizonStateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// SetHorizon sets a horizon at a position, or moves the one of that name there. From a
// snapshot that is still open it always succeeds; from any other position if the history is
// known from there on, as it is above another horizon. It is on the device when SetHorizon
// returns. A name is 1 to 128 bytes of valid UTF-8 without control characters.
//
// While it stands, no deletion above it is forgotten: tombstones take space, and reads pass
// over them. Old values are not kept.
//
// Errors: ErrHistoryGone, ErrDiverged, ErrInvalidPosition for one that is ahead of the store,
// scope.ErrInvalid for a name, and those of a synced write.
func (d *DB) SetHorizon(name string, at Position) error {
	if err := scope.Custom(name).Validate(); err != nil {
		return fmt.Errorf("lsm: horizon: %w", err)
	}
	if err := d.writable(); err != nil {
		return err
	}
	if _, err := d.numberOf(at, d.visible.load()); err != nil {
		return fmt.Errorf("lsm: horizon: %w", err)
	}
	return d.horizons.put(Horizon{Name: name, Position: at, Set: time.UnixMilli(d.clock.millis())})
}

// RemoveHorizon removes a horizon; what it has kept goes by itself. Errors: ErrNotFound if
// there is none of the name, and those of a synced write.
func (d *DB) RemoveHorizon(name string) error {
	if err := d.writable(); err != nil {
		return err
	}
	return d.horizons.remove(name)
}

// Horizons returns the horizons by name, broken ones included. Errors are those of reading.
func (d *DB) Horizons() ([]Horizon, error) {
	k := &d.horizons
	if d.closed.Load() {
		return nil, ErrClosed
	}
	if err := k.load(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]Horizon, 0, len(k.byName))
	for _, h := range k.byName {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Horizon) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// put commits a horizon and has it in force from before that on (H3).
func (k *horizonKeeper) put(h Horizon) error {
	if err := k.begin(); err != nil {
		return err
	}
	defer k.end()
	return k.putHeld(h)
}

// putHeld is put, for who has begun.
func (k *horizonKeeper) putHeld(h Horizon) error {
	d := k.db
	if h.State == HorizonSound {
		if err := k.protect(h.Position); err != nil {
			return fmt.Errorf("lsm: horizon: %w", err)
		}
	}
	var b dirBatch
	b.add(keys.KindSet, horizonKey(h.Name), horizonValue(h))
	_, err := d.commitDirectory(&b, nil)
	k.mu.Lock()
	if err == nil {
		k.byName[h.Name] = h
	}
	k.pending = 0
	k.rebindLocked()
	k.mu.Unlock()
	k.changed()
	return err
}

// protect puts the number of a position into the bound, if the history is known from there
// on. Nothing is installed meanwhile.
func (k *horizonKeeper) protect(p Position) error {
	d := k.db
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	if err := d.known(p); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending = p.seq
	k.rebindLocked()
	return nil
}

func (k *horizonKeeper) remove(name string) error {
	if err := k.begin(); err != nil {
		return err
	}
	defer k.end()
	k.mu.Lock()
	_, ok := k.byName[name]
	k.mu.Unlock()
	if !ok {
		return fmt.Errorf("lsm: horizon: %w", ErrNotFound)
	}
	var b dirBatch
	b.add(keys.KindDelete, horizonKey(name), nil)
	if _, err := k.db.commitDirectory(&b, nil); err != nil {
		return err
	}
	k.mu.Lock()
	delete(k.byName, name)
	k.rebindLocked()
	k.mu.Unlock()
	k.changed()
	return nil
}

// brokenAt returns the name of a broken horizon at a position, and what has broken it.
func (k *horizonKeeper) brokenAt(p Position) (name string, s HorizonState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.byName {
		if h.Position == p && h.State != HorizonSound && (name == "" || h.Name < name) {
			name, s = h.Name, h.State
		}
	}
	return name, s
}

// errHorizonSet: a horizon was set below what a merge has left out. It does not leave the
// package.
var errHorizonSet = errors.New("lsm: a horizon was set under the merge")
