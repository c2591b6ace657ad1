package lsm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// rotator brings the manifest, the log and the vault out of keys that are to leave. Compactions bring
// out tables and blob files. It is woken when keys begin to leave, and at each opening, for those
// that began to before. It also ends the conversion of a store to an encrypted one (convert.go).
type rotator struct {
	db    *DB
	alarm alarm

	// Of the compactions that were run for keys: what they have read, and how long that took.
	bytes, nanos atomic.Int64
}

func (r *rotator) loop() {
	d := r.db
	ctx := d.background.ctx
	if d.keyring == nil {
		return
	}
	var retry backoff
	var rest time.Duration
	for r.alarm.wait(ctx, rest) {
		rest = 0
		err := d.leaveManifest()
		if err == nil {
			err = d.leaveLog(ctx)
		}
		if err == nil {
			err = d.leaveVault()
		}
		if err == nil {
			err = d.endEncryption()
		}
		switch {
		case err == nil:
			retry = 0
		case ctx.Err() != nil, d.closed.Load(), d.poison.err() != nil:
			return
		default:
			d.event("a data key is kept, or a conversion does not end", "cause", err)
			rest = retry.next()
		}
	}
}

// stepped wakes the rotator when a file was replaced or removed, of which the end of a conversion depends.
func (r *rotator) stepped() {
	if k := r.db.keyring; k != nil && k.conversion != nil {
		r.alarm.wake()
	}
}

// leaveManifest begins a new manifest file if the one there is under a key that is to leave.
func (d *DB) leaveManifest() error {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	if err := d.poison.err(); err != nil {
		return err
	}
	retires := retiring(d.manifestLog.State())
	if retires == nil || d.keyring.decrypting() || !retires(d.manifestLog.Key()) {
		return nil
	}
	err := d.manifestLog.Roll()
	if err == nil || errors.Is(err, ErrNoSpace) {
		return err
	}
	return d.fail(fmt.Errorf("manifest: %w", err))
}

// leaveLog goes on in a segment under a key that stays, and has what the others hold flushed. A
// segment that was prepared under an old key meanwhile is left by another round.
func (d *DB) leaveLog(ctx context.Context) error {
	for {
		last := wal.SegmentNum(d.lastRetiring())
		if last == 0 {
			return nil
		}
		if err := d.freezeBehind(ctx, last); err != nil {
			return err
		}
		if err := d.room.wait(ctx, d, flushing, func() bool { return d.oldestSegment() > last }); err != nil {
			return err
		}
		if left := wal.SegmentNum(d.lastRetiring()); left == 0 || left > last {
			continue // a flush has dropped them
		}
		if err := d.dropLog(d.oldestSegment()); err != nil {
			return err
		}
	}
}

// leaveVault seals the vault under the vault key that came with the last data key, and drops the one before: each is
// durable before the next, and the keyring has both in between.
func (d *DB) leaveVault() error {
	v := &d.vault
	v.changing.Lock()
	defer v.changing.Unlock()
	st, err := d.keyring.ring.Status()
	if err != nil || !st.VaultKeyStays || d.keyring.decrypting() {
		return keyError(err)
	}
	drop := func() error {
		return d.changeKeyring("drop vault key", &manifest.Edit{}, (*crypto.Ring).DropVaultKey)
	}
	if mutant.Enabled && mutant.Is(mutant.DropVaultKeyFirst) {
		if err := drop(); err != nil {
			return err
		}
	}
	if own := v.is.Load(); own != nil {
		secret, before, err := d.keyring.ring.VaultKeys()
		if err != nil {
			return keyError(err)
		}
		before.Wipe()
		defer secret.Wipe()
		if err := own.Reseal(secret); err != nil {
			return vaultError(err)
		}
	}
	return drop()
}

// lastRetiring returns the last segment that is under a key which is to leave, 0 if there is none.
func (d *DB) lastRetiring() uint64 {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	s := d.manifestLog.State()
	retires := retiring(s)
	if retires == nil {
		return 0
	}
	return compaction.LastRetiring(s.Segments, retires)
}

// freezeBehind has the log go on behind a segment, and a memtable with it.
func (d *DB) freezeBehind(ctx context.Context, last wal.SegmentNum) error {
	if err := d.queue.acquire(ctx); err != nil {
		return err
	}
	defer d.queue.passLead()
	if err := d.writable(); err != nil {
		return err
	}
	if err := d.wal.Leave(last); err != nil {
		return d.logSpaceError(err)
	}
	if d.mutable.firstSegment > last {
		return nil
	}
	return d.freeze(ctx, d.sameMutableBytes())
}

// oldestSegment returns the first segment that has anything of a memtable.
func (d *DB) oldestSegment() wal.SegmentNum {
	s := d.state.Load()
	if n := len(s.frozen); n > 0 {
		return s.frozen[n-1].firstSegment
	}
	return s.mutable.firstSegment
}

// dropLog takes the segments before the given one off the list, of which nothing is in a memtable.
// A flush does so too, but there is none where there was nothing to flush.
func (d *DB) dropLog(first wal.SegmentNum) error {
	err := d.install(func(*manifest.Version) (*manifest.Edit, error) {
		return &manifest.Edit{MinSegment: uint64(first)}, nil
	}, nil)
	if err != nil {
		return fmt.Errorf("drop segments of the log: %w", err)
	}
	d.wal.Obsolete(first)
	return nil
}

// timed begins a compaction. What it returns notes how much was done, if it is one for keys.
func (r *rotator) timed(job *compaction.Job) (done func(*compaction.Stats)) {
	if job.Reason != compaction.ReasonKey {
		return func(*compaction.Stats) {}
	}
	now := r.db.opts.seams.Now
	begun := now()
	return func(s *compaction.Stats) {
		r.bytes.Add(s.BytesRead + s.BlobBytes)
		r.nanos.Add(int64(now().Sub(begun)))
	}
}

// estimate returns how long compactions take to write so many bytes anew, at the pace of those
// that were run for keys since the store was opened; zero if there were none.
func (r *rotator) estimate(bytes int64) time.Duration {
	done := r.bytes.Load()
	if done == 0 {
		return 0
	}
	return time.Duration(float64(bytes) / float64(done) * float64(r.nanos.Load()))
}
