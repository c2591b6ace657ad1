package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/epoch"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// DB is an open store. All methods may be called from any number of goroutines.
//
// Keys are bytes, ordered as bytes, from empty to 65,535 long; values are bytes up to
// 1 GiB. What a write promises is said at WriteOptions; what a failure leaves, in
// docs/durability.md.
type DB struct {
	// Constant after Open.
	dir       string
	opts      Options
	logger    *slog.Logger
	store     fileid.UID
	mapTables bool
	found     Recovery
	lock      io.Closer
	cache     *cache.Cache
	keyring   *keyring // nil in a store in clear
	vault     vault
	wal       *wal.Log // nil when read-only
	clock     clock
	operators operators

	closing  chan struct{} // closed by Close, before it waits for anything
	ended    chan struct{} // closed by Close, at its end
	replayed *replayed     // of an opening that is under way
	madeDirs int           // directories that this opening has made

	converting *conversion // that this opening begins, or nil

	// Read path: own synchronization.
	readers   epoch.Domain
	state     atomic.Pointer[readState]
	states    readStates
	visible   visibleSeqNum
	closed    atomic.Bool
	snapshots snapshotList
	expires   atomic.Bool // something expires, or may: readers need the time
	holders   holders
	directory directory
	history   history

	// Commit path. mutable, lastSeqNum, groupTime, applier, pace and ring belong to the leader.
	queue      commitQueue
	publisher  publisher
	feed       feed
	turns      turns
	poison     poison
	mutable    *mutableTable
	lastSeqNum keys.SeqNum
	groupTime  int64        // commit time of the group
	committing atomic.Int64 // expirer.go: MaxInt64, or at or before the time of a group on its way
	applier    applier
	pace       pacer
	ring       commitRing
	reserved   atomic.Uint64 // numbers up to here may be given out
	heightSeed uint64        // of memtables: differs from store to store
	room       room
	arenas     arenaPool

	// Installing state: see install.go. Lock order: manifestMu, then stateMu.
	manifestMu  sync.Mutex
	manifestLog *manifest.Log            // manifestMu
	tables      map[fileid.Num]*table    // manifestMu: tables of live versions
	blobs       map[fileid.Num]*blobFile // manifestMu: those that they refer to
	nextFile    atomic.Uint64
	nextRun     atomic.Uint64
	stateMu     sync.Mutex // guards the replacement of state

	background background
	flusher    flusher
	compactor  compactor
	syncer     syncer
	settler    settler
	deleter    deleter
	reaper     reaper
	horizons   horizonKeeper
	scrubber   scrubber
	expirer    expirer
	rotator    rotator
	metrics    counters
}

// holders counts what keeps the store's memory in use: the store itself until Close,
// iterators and snapshots. The last one releases it.
type holders struct {
	mu      sync.Mutex
	n       int
	closing bool
}

// hold registers an iterator or a snapshot.
func (d *DB) hold() error {
	d.holders.mu.Lock()
	defer d.holders.mu.Unlock()
	if d.holders.closing {
		return ErrClosed
	}
	d.holders.n++
	return nil
}

// release ends what hold began.
func (d *DB) release() {
	d.holders.mu.Lock()
	d.holders.n--
	last := d.holders.closing && d.holders.n == 0
	d.holders.mu.Unlock()
	if last {
		d.free()
	}
}

// Set writes value to key. Both are copied. See WriteOptions for when it returns.
func (d *DB) Set(key, value []byte, w *WriteOptions) error {
	return d.write(keys.KindSet, key, value, w)
}

// Delete removes key, which need not exist.
func (d *DB) Delete(key []byte, w *WriteOptions) error {
	return d.write(keys.KindDelete, key, nil, w)
}

// DeleteRange removes every key within [lower, upper); nil means no bound. It takes one
// record, and as long as a Set, whatever it removes; the space comes back by itself. A range
// that ends before it begins is ErrInvalidRange, an empty one removes nothing.
func (d *DB) DeleteRange(lower, upper []byte, w *WriteOptions) error {
	end, err := rangeEnd(rootPrefix, lower, upper)
	if err != nil {
		return err
	}
	if err := d.writable(); err != nil || end == nil {
		return err
	}
	return d.writeOp(keys.KindRangeDelete, lower, end, w)
}

func (d *DB) write(kind keys.Kind, key, value []byte, w *WriteOptions) error {
	if err := checkLimits(key, value); err != nil {
		return err
	}
	if err := d.writable(); err != nil {
		return err
	}
	return d.writeOp(kind, key, value, w)
}

// writeOp commits one operation that has been checked.
func (d *DB) writeOp(kind keys.Kind, key, value []byte, w *WriteOptions) error {
	r := d.queue.newRequest(w)
	if kind == keys.KindSet && len(value) >= longValue && len(key) <= wal.MaxHeadBytes/2 {
		r.payload, r.tail = appendLongOp(r.payload[:0], kind, rootPrefix, key, value), value
	} else {
		r.payload = appendOp(r.payload[:0], kind, rootPrefix, key, value)
	}
	r.ops, r.merges, r.lasting = 1, kind == keys.KindMerge, kind != keys.KindSetWithExpiry
	if kind == keys.KindRangeDelete {
		r.ranges = 1
	}
	r.bytes = int64(len(rootPrefix) + len(key) + len(value))
	err := d.commit(r)
	d.queue.recycle(r)
	return err
}

// Apply commits the batch: all of it or, with an error, none of it. When something that it
// requires does not hold the error is ErrConflict. The batch can be changed and applied
// again afterwards.
func (d *DB) Apply(b *Batch, w *WriteOptions) error {
	if b.err != nil {
		return b.err
	}
	if err := d.writable(); err != nil {
		return err
	}
	if len(b.ttls) > 0 {
		b.startTTLs(d.clock.millis())
	}
	if b.merges.operands > 0 {
		if err := d.joinMerges(b); err != nil {
			return err
		}
	}
	switch {
	case b.ops == 0 && len(b.requires) == 0:
		return nil
	case len(b.scopes) > 0:
		return d.applyScoped(b, w, nil)
	case len(b.requires) > 0:
		return d.applyIf(b, w)
	}
	r := d.queue.newRequest(w)
	own := r.payload
	r.payload, r.ops, r.bytes = b.payload, b.ops, b.bytes
	r.ranges, r.merges = b.ranges, b.merges.operands > 0
	err := d.commit(r)
	r.payload = own
	d.queue.recycle(r)
	return err
}

// writable returns the error of a write that has no chance.
func (d *DB) writable() error {
	switch {
	case d.closed.Load():
		return ErrClosed
	case d.opts.ReadOnly:
		return ErrReadOnly
	}
	return d.poison.err()
}

// path returns the path of a file of the store.
func (d *DB) path(name string) string { return filepath.Join(d.dir, name) }

// Close ends the store. Everything acknowledged is synced, background work is waited
// for. Open iterators, snapshots and transactions make it return ErrInUse: the store is closed
// all the same, they give ErrClosed from then on, and what they hold is released when they
// are closed. A second Close waits for the first and returns nil.
func (d *DB) Close() error {
	if d.closed.Swap(true) {
		<-d.ended
		return nil
	}
	defer close(d.ended)
	var errs []error
	if !d.opts.ReadOnly {
		close(d.closing)
		d.room.wakeAll() // a stopped leader sees that it must give up
		d.queue.close()
		d.publisher.drain() // whoever has written is still to sync
		d.background.stop()
		d.flusher.release() // what it reached is still to be deleted
		errs = append(errs, d.closeFiles()...)
	}
	d.readers.Wait() // nobody is inside a Get
	if err := d.lock.Close(); err != nil {
		errs = append(errs, fmt.Errorf("lsm: close: %w", err))
	}
	d.holders.mu.Lock()
	d.holders.closing = true
	users := d.holders.n
	d.holders.mu.Unlock()
	if users == 0 {
		d.free()
	} else {
		errs = append(errs, fmt.Errorf("%w: %d", ErrInUse, users))
	}
	d.event("closed")
	return errors.Join(errs...)
}

// closeFiles ends the log and the manifest. What a failed store still has is safe; its
// error is returned because unsynced writes may not be.
func (d *DB) closeFiles() (errs []error) {
	err := d.wal.Close()
	if poisoned := d.poison.err(); poisoned != nil {
		err = poisoned
	}
	decrypted := false
	if err == nil {
		var aside error
		decrypted, aside = d.endDecryption()
		err = errors.Join(d.endManifest(decrypted), aside)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("lsm: close: %w", err))
	}
	d.manifestMu.Lock()
	if err := d.manifestLog.Close(); err != nil && d.poison.err() == nil {
		errs = append(errs, fmt.Errorf("lsm: close: %w", err))
	}
	d.manifestMu.Unlock()
	d.deleter.drain(d)
	switch { // without manifestMu: whoever changes the keyring may wait for that
	case d.keyring == nil || err != nil:
	case decrypted:
		d.removeKeyring()
	default:
		if err := d.keyring.ring.Save(); err != nil { // nothing is lost but what was counted
			d.event("keyring not saved", "cause", err)
		}
	}
	return errs
}

// endManifest logs the edit of Close, and makes the manifest one in clear if the store was decrypted.
func (d *DB) endManifest(decrypted bool) error {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	// With this edit a log that ends earlier is known to have lost something.
	err := d.manifestLog.Append(&manifest.Edit{
		Cut:      &manifest.Cut{LastSeqNum: lastLogged(d.manifestLog.State(), d.lastSeqNum)},
		LastTime: d.closingTime(),
	})
	if err == nil && decrypted {
		err = d.manifestLog.Unseal()
	}
	return err
}

// closingTime is what engine time goes on from at the next opening.
func (d *DB) closingTime() int64 {
	if mutant.Enabled && mutant.Is(mutant.DropTime) {
		return 0
	}
	return d.clock.millis()
}

// lastLogged returns the last number that the log or the tables have, given the last
// one that counts as given out: after a crash that is ahead until something is written.
func lastLogged(s *manifest.State, last keys.SeqNum) keys.SeqNum {
	if n := len(s.Lineage); n > 0 && last < s.Lineage[n-1].First && s.Cut != nil {
		return s.Cut.LastSeqNum // as this opening found it
	}
	return last
}

// free gives back the memory and the files. Nobody uses the store any more.
func (d *DB) free() {
	for _, s := range d.flusher.takeRetired() {
		s.unref()
	}
	d.state.Load().unref()
	d.arenas.close()
	d.vault.close()
	d.keyring.close()
	_ = d.cache.Close() // memory only
}

// event logs what happened. Keys and values are never among args.
func (d *DB) event(what string, args ...any) {
	if d.opts.seams.Event != nil {
		d.opts.seams.Event(what)
	}
	d.logger.LogAttrs(context.Background(), slog.LevelInfo, what, toAttrs(args)...)
}

func toAttrs(args []any) []slog.Attr {
	attrs := make([]slog.Attr, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		attrs = append(attrs, slog.Any(args[i].(string), args[i+1]))
	}
	return attrs
}
