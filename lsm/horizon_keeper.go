package lsm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// horizonKeeper knows the horizons, says up to which number tombstones may be left out, and
// gives up those that exceed a bound. The records are read when that is first asked, before
// the first compaction is picked: opening does not wait for it. While they cannot be read
// every tombstone stays.
type horizonKeeper struct {
	db    *DB
	alarm alarm

	least atomic.Uint64 // the bound
	// Tombstones above the bound stay. It is 0 before the records are known,
	// keys.MaxSeqNum when there is no horizon.

	loading  chan struct{} // held by who reads the records
	changing chan struct{} // held by who commits a change, which may wait for compactions
	loaded   atomic.Bool
	broken   atomic.Int64 // horizons given up since Open

	mu      sync.Mutex
	byName  map[string]Horizon
	pending keys.SeqNum // a number in the bound whose record is being committed; 0: none
	holds   map[*historyHold]bool
}

// historyHold is a number above which no deletion is forgotten, for one reader in this process:
// a horizon without a record. It is given up when deletions above it take too much.
type historyHold struct{ seq keys.SeqNum }

// hold makes a hold at a position, if the history is known from there on. Whoever has it reads
// the difference from there, again and again, until release.
func (k *horizonKeeper) hold(p Position) (*historyHold, error) {
	if err := k.load(); err != nil {
		return nil, err
	}
	d := k.db
	d.manifestMu.Lock() // nothing is installed meanwhile
	defer d.manifestMu.Unlock()
	if err := d.known(p); err != nil {
		return nil, err
	}
	h := &historyHold{seq: p.seq}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds == nil {
		k.holds = map[*historyHold]bool{}
	}
	if k.holds[h] = true; mutant.Enabled && mutant.Is(mutant.WatchWithoutHold) {
		delete(k.holds, h)
	}
	k.rebindLocked()
	return h, nil
}

// release ends a hold, which may be nil or ended.
func (k *horizonKeeper) release(h *historyHold) {
	k.mu.Lock()
	held := k.holds[h]
	delete(k.holds, h)
	if held {
		k.rebindLocked()
	}
	k.mu.Unlock()
	if held {
		k.db.compactor.wake()
	}
}

// releaseCostly ends the oldest holds for as long as the tombstones above them take too much.
func (k *horizonKeeper) releaseCostly() {
	for {
		var oldest *historyHold
		k.mu.Lock()
		for h := range k.holds {
			if oldest == nil || h.seq < oldest.seq {
				oldest = h
			}
		}
		k.mu.Unlock()
		if oldest == nil || k.db.tombstoneBytes(oldest.seq) <= k.db.opts.HorizonMaxBytes {
			return
		}
		k.release(oldest)
		k.db.event("history not kept for a watcher that lags", "why", HorizonTooLarge.String())
	}
}

func (k *horizonKeeper) init(d *DB) {
	k.db, k.alarm = d, newAlarm()
	// Channels and not mutexes: what is done under them reads and writes files, and naps.
	k.loading, k.changing = make(chan struct{}, 1), make(chan struct{}, 1)
}

// bound returns the greatest number at which a tombstone may be left out.
func (k *horizonKeeper) bound() keys.SeqNum {
	if mutant.Enabled && mutant.Is(mutant.IgnoreHorizons) {
		return keys.MaxSeqNum
	}
	return keys.SeqNum(k.least.Load())
}

// rebindLocked sets the bound from the horizons. Nothing was deleted before the beginning: a
// horizon there needs no tombstones.
func (k *horizonKeeper) rebindLocked() {
	least := keys.MaxSeqNum
	if k.pending > 0 {
		least = k.pending
	}
	for _, h := range k.byName {
		if h.State == HorizonSound && h.Position.seq > 0 {
			least = min(least, h.Position.seq)
		}
	}
	for h := range k.holds {
		if h.seq > 0 {
			least = min(least, h.seq)
		}
	}
	k.least.Store(uint64(least))
}

// fences returns the numbers of the sound horizons: operands are not folded across them.
func (k *horizonKeeper) fences() (out []keys.SeqNum) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.byName {
		if h.State == HorizonSound {
			out = append(out, h.Position.seq)
		}
	}
	return out
}

// oldest returns the sound horizon with the lowest number, and the number of sound ones.
func (k *horizonKeeper) oldest() (oldest Horizon, sound int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.byName {
		if h.State != HorizonSound {
			continue
		}
		if sound++; sound == 1 || h.Position.seq < oldest.Position.seq ||
			h.Position.seq == oldest.Position.seq && h.Name < oldest.Name {
			oldest = h
		}
	}
	return oldest, sound
}

// begin takes the right to change horizons, which ends with end.
func (k *horizonKeeper) begin() error {
	if err := k.load(); err != nil {
		return err
	}
	select {
	case k.changing <- struct{}{}:
		return nil
	case <-k.db.closing:
		return ErrClosed
	}
}

func (k *horizonKeeper) end() { <-k.changing }

// changed tells that the bound may be another.
func (k *horizonKeeper) changed() {
	k.alarm.wake()
	k.db.compactor.wake()
}

// ready reads the records unless they are known. Called by compactors.
func (k *horizonKeeper) ready() {
	if k.loaded.Load() {
		return
	}
	if err := k.load(); err != nil && !errors.Is(err, ErrClosed) {
		k.db.event("horizons to be read again", "cause", err)
	}
}

// load reads the records, once.
func (k *horizonKeeper) load() error {
	if k.loaded.Load() {
		return nil
	}
	k.loading <- struct{}{}
	defer func() { <-k.loading }()
	if k.loaded.Load() {
		return nil
	}
	found, err := k.read()
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.byName = found
	k.rebindLocked()
	some := len(found) > 0 // asked under mu: from here on the map changes
	k.mu.Unlock()
	k.loaded.Store(true)
	if some {
		k.alarm.wake()
	}
	return nil
}

// read returns what the records say, and judges positions that the store's history is not in
// keeping with: those of a store that this one was made from, or of a horizon whose removal a
// power cut has taken back.
func (k *horizonKeeper) read() (map[string]Horizon, error) {
	d := k.db
	it, err := d.newIter(systemKeys, recordBounds(recordHorizon), keys.MaxSeqNum)
	if err != nil {
		return nil, err
	}
	defer it.Close() // its error is it.err
	found := map[string]Horizon{}
	for it.Next() {
		h, err := decodeHorizon(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		_, err = d.numberOf(h.Position, d.visible.load())
		switch {
		case h.State != HorizonSound:
		case err != nil:
			h.State = HorizonDiverged
		case d.known(h.Position) != nil:
			h.State = HorizonOvertaken
		}
		found[h.Name] = h
	}
	return found, it.err
}

// installed tells of a new version, which may hold more tombstones.
func (k *horizonKeeper) installed() {
	if keys.SeqNum(k.least.Load()) < keys.MaxSeqNum && k.loaded.Load() {
		k.alarm.wake()
	}
}

func (k *horizonKeeper) loop() {
	d := k.db
	var retry backoff
	var rest time.Duration
	for k.alarm.wait(d.background.ctx, rest) {
		if d.poison.err() != nil {
			rest = 0
			continue
		}
		if err := k.enforce(d.background.ctx); err != nil {
			rest = retry.next()
			continue
		}
		retry, rest = 0, k.untilTooOld()
	}
}

// left returns for how long a horizon may still stand, negative when it is too old.
func (k *horizonKeeper) left(h Horizon) time.Duration {
	limit := k.db.opts.HorizonMaxAge
	age := max(k.db.clock.millis()-h.Set.UnixMilli(), 0)
	return limit - time.Duration(min(age, limit.Milliseconds()+1))*time.Millisecond
}

// untilTooOld returns how long it is until a horizon exceeds its age, 0 if none ever will.
func (k *horizonKeeper) untilTooOld() time.Duration {
	if k.db.opts.HorizonMaxAge < 0 {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	rest := time.Duration(0)
	for _, h := range k.byName {
		if h.State == HorizonSound {
			if left := max(k.left(h), 0) + time.Millisecond; rest == 0 || left < rest {
				rest = left
			}
		}
	}
	return rest
}

// enforce gives up horizons that are too old, then the oldest ones for as long as the
// tombstones above it take too much. It commits each before the bound rises.
func (k *horizonKeeper) enforce(ctx context.Context) error {
	d := k.db
	if !k.loaded.Load() {
		return nil
	}
	if d.opts.HorizonMaxAge >= 0 {
		k.mu.Lock()
		var late []Horizon
		for _, h := range k.byName {
			if h.State == HorizonSound && k.left(h) < 0 {
				late = append(late, h)
			}
		}
		k.mu.Unlock()
		for _, h := range late {
			if err := k.giveUp(h, HorizonTooOld); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil && d.opts.HorizonMaxBytes >= 0 {
		h, sound := k.oldest()
		if sound == 0 || d.tombstoneBytes(h.Position.seq) <= d.opts.HorizonMaxBytes {
			k.releaseCostly()
			return nil
		}
		if err := k.giveUp(h, HorizonTooLarge); err != nil {
			return err
		}
	}
	return nil
}

// giveUp makes a horizon a broken one, unless it was moved or removed meanwhile.
func (k *horizonKeeper) giveUp(h Horizon, why HorizonState) error {
	if err := k.begin(); err != nil {
		return err
	}
	defer k.end()
	k.mu.Lock()
	same := k.byName[h.Name] == h
	k.mu.Unlock()
	if !same {
		return nil
	}
	h.State = why
	if err := k.putHeld(h); err != nil {
		return err
	}
	k.broken.Add(1)
	k.db.event("horizon given up", "name", h.Name, "why", why.String())
	return nil
}

// tombstoneBytes estimates how much of the tables is tombstones above a number: of a table
// with numbers on both sides all of them count.
func (d *DB) tombstoneBytes(above keys.SeqNum) int64 {
	guard := d.readers.Enter()
	defer guard.Leave()
	if d.closed.Load() {
		return 0
	}
	total := 0.0
	v := d.state.Load().version
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			if m := t.meta; m.MaxSeqNum > above && m.HasTombstones() {
				total += float64(m.Bytes) * float64(m.Deletes+m.RangeDeletes) / float64(m.Entries+m.RangeDeletes)
			}
		}
	}
	return int64(total)
}

// fill adds the figures of horizons.
func (k *horizonKeeper) fill(m *Metrics) {
	m.HorizonsBroken = k.broken.Load()
	var oldest Horizon
	if oldest, m.Horizons = k.oldest(); m.Horizons > 0 {
		m.HorizonTombstoneBytes = k.db.tombstoneBytes(oldest.Position.seq)
	}
}
