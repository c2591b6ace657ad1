package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Player plays steps on a store and keeps the ledger. It is used by one goroutine.
//
// Open, Do and Close return the store's own error, wrapped, when the store fails, and
// an error that matches ErrLost or ErrWrong when it answers wrongly. The caller decides
// what the former means: under injected faults it may be what should happen. A batch
// whose step failed is issued and not acknowledged, so that the ledger allows it to be
// there after reopening; Ledger.Withdraw takes it out if it was refused.
type Player struct {
	Setup  Setup
	FS     vfs.FS
	Ops    func() int // file operations so far; nil means that nobody asks
	Ledger *Ledger
	// LosesCache says that a failed sync takes unsynced data with it: after reopening
	// only what was acknowledged as synced must be there.
	LosesCache bool
	// DB is the open store, nil before Open and after Close.
	DB *lsm.DB

	held     []held
	stats    Stats
	follower follower
}

// held is a snapshot and what it must hold.
type held struct {
	snap *lsm.Snapshot
	want contents
}

// Stats say what playing reached.
type Stats struct {
	Batches, Synced, Reopens, Snapshots int
	Flushes, Compactions                int64
	Deleted                             int64 // table files removed
	Retired                             int   // data keys
}

// Play opens the store, plays the steps and closes it.
func (p *Player) Play(steps []Step) error {
	if err := p.Open(); err != nil {
		return err
	}
	for i, s := range steps {
		if err := p.Do(s); err != nil {
			p.Abandon()
			return fmt.Errorf("step %d of %d, %s: %w", i, len(steps), s.Kind, err)
		}
	}
	return p.Close()
}

// Open opens the store.
func (p *Player) Open() (err error) {
	if p.DB, err = lsm.Open(Dir, p.Setup.Options(p.FS)); err != nil {
		return err
	}
	return p.follow()
}

// Close closes the store. Snapshots still held are closed unseen. What it closed
// cleanly is promised as if synced.
func (p *Player) Close() error {
	for _, h := range p.held {
		_ = h.snap.Close() // always nil
	}
	p.held = nil
	p.unfollow()
	m := p.DB.Metrics()
	p.stats.Flushes += m.Flushes
	p.stats.Compactions += m.Compactions + m.TrivialMoves
	p.stats.Deleted += m.DeletedFiles
	err := p.DB.Close()
	p.DB = nil
	if err == nil {
		p.Ledger.Acknowledge(p.Ledger.Acknowledged(), p.ops(), true)
	}
	return err
}

// Abandon closes the store, if it is open, and promises nothing.
func (p *Player) Abandon() {
	if p.DB == nil {
		return
	}
	for _, h := range p.held {
		_ = h.snap.Close() // always nil
	}
	p.held = nil
	p.unfollow()
	_ = p.DB.Close() // nobody relies on what it says
	p.DB = nil
}

// Stats returns what has been reached up to the last Close.
func (p *Player) Stats() Stats { return p.stats }

func (p *Player) ops() int {
	if p.Ops == nil {
		return 0
	}
	return p.Ops()
}

// Do plays one step.
func (p *Player) Do(s Step) error {
	ctx := context.Background()
	switch s.Kind {
	case Apply:
		return p.apply(s)
	case Flush:
		return p.DB.Flush(ctx)
	case Compact:
		if err := p.DB.Compact(ctx, bound(s.Lower), bound(s.Upper)); err != nil {
			return err
		}
		return p.rotate()
	case Reopen:
		return p.reopen()
	case Hold:
		return p.hold()
	case Release:
		return p.release()
	case Validate:
		_, err := p.Ledger.Check(p.DB, p.Ledger.Acknowledged())
		return err
	}
	return fmt.Errorf("fuzz: no step is of kind %d", s.Kind)
}

// rotate has all data keys of an encrypted store leave it, when those that were to leave before
// have: these are retired.
func (p *Player) rotate() error {
	if !p.Setup.Encrypted() {
		return nil
	}
	st, err := p.DB.KeyStatus()
	if err != nil {
		return err
	}
	for _, k := range st.Keys {
		if !k.Leaving {
			continue
		}
		err := p.DB.RetireDataKey(k.ID, nil)
		if errors.Is(err, crypto.ErrInUse) {
			return nil // snapshots do not keep it, but iterators, and jobs that are at work
		}
		if err != nil {
			return err
		}
		p.stats.Retired++
	}
	return p.DB.RotateDataKeys()
}

func bound(key string) []byte {
	if key == "" {
		return nil
	}
	return []byte(key)
}

// apply commits a batch; one of a single operation by Set or Delete where that is the
// same, and every fourth by a transaction.
func (p *Player) apply(s Step) error {
	n, ops := p.Ledger.Issue(s.Ops)
	w := lsm.NoSync
	if s.Sync {
		w = lsm.Sync
	}
	var err error
	switch {
	case len(ops) == 1:
		err = p.DB.Set([]byte(ops[0].Key), []byte(ops[0].Value), w)
	case n%4 == 0:
		err = transact(p.DB, ops, w)
		for try := 0; errors.Is(err, lsm.ErrConflict) && try < 100; try++ { // with the sweep of what has expired
			err = transact(p.DB, ops, w)
		}
	default:
		err = p.DB.Apply(newBatch(p.DB, ops), w)
	}
	if err != nil {
		return err
	}
	p.Ledger.Acknowledge(n, p.ops(), s.Sync)
	p.stats.Batches++
	if s.Sync {
		p.stats.Synced++
	}
	return p.followed(n)
}

func newBatch(db *lsm.DB, ops []Op) *lsm.Batch {
	b := db.NewBatch()
	for _, op := range ops {
		if op.Mortal != 0 {
			b.SetWithExpiry([]byte(op.Key), []byte(op.Value), op.Mortal.expiry())
		} else if op.Upper != "" {
			b.DeleteRange([]byte(op.Key), []byte(op.Upper))
		} else if op.Merge != "" {
			b.Merge(op.Merge, []byte(op.Key), []byte(op.Value))
		} else if op.Delete {
			b.Delete([]byte(op.Key))
		} else {
			b.Set([]byte(op.Key), []byte(op.Value))
		}
	}
	return b
}

// transact does in a transaction what newBatch does, and lets it depend on a key.
func transact(db *lsm.DB, ops []Op, w *lsm.WriteOptions) error {
	return db.Update(func(tx *lsm.Txn) error {
		tx.SetWriteOptions(w)
		if _, err := tx.Has([]byte(ops[0].Key)); err != nil {
			return err
		}
		for _, op := range ops {
			var err error
			switch {
			case op.Mortal != 0:
				err = tx.SetWithExpiry([]byte(op.Key), []byte(op.Value), op.Mortal.expiry())
			case op.Upper != "":
				err = tx.DeleteRange([]byte(op.Key), []byte(op.Upper))
			case op.Merge != "":
				err = tx.Merge(op.Merge, []byte(op.Key), []byte(op.Value))
			case op.Delete:
				err = tx.Delete([]byte(op.Key))
			default:
				err = tx.Set([]byte(op.Key), []byte(op.Value))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// reopen closes and opens; everything must be there.
func (p *Player) reopen() error {
	if err := p.Close(); err != nil {
		return err
	}
	if err := p.Open(); err != nil {
		return err
	}
	p.stats.Reopens++
	return p.checkReopened()
}

// errEnded ends a history whose ledger cannot follow the store any more: several
// batches are gone, as they may be.
var errEnded = errors.New("fuzz: history ended early")

// checkReopened compares a store that was just opened with the ledger.
func (p *Player) checkReopened() error {
	promised := p.Ledger.Acknowledged()
	if p.LosesCache {
		promised, _ = p.Ledger.Promised(math.MaxInt)
	}
	n, err := p.Ledger.Check(p.DB, promised)
	if err != nil {
		return err
	}
	if n < p.Ledger.Issued()-1 {
		return errEnded
	}
	p.Ledger.Settle(n)
	// What an opening has found is synced: a snapshot sees it, whether or not the call that
	// wrote it was answered.
	p.Ledger.Acknowledge(n, p.ops(), true)
	return nil
}

func (p *Player) hold() error {
	snap, err := p.DB.NewSnapshot()
	if err != nil {
		return err
	}
	p.held = append(p.held, held{snap, p.Ledger.contentsAt(p.Ledger.Acknowledged())})
	p.stats.Snapshots++
	return nil
}

// release compares the oldest snapshot with what it held when it was taken.
func (p *Player) release() error {
	if len(p.held) == 0 {
		return nil
	}
	h := p.held[0]
	p.held = p.held[1:]
	got, _, err := read(h.snap)
	if err == nil && got != h.want {
		err = fmt.Errorf("%w: a snapshot holds %d entries instead of %d, or other values",
			ErrWrong, got.entries, h.want.entries)
	}
	return errors.Join(err, h.snap.Close())
}
