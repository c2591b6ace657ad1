package lsm

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// ShredRecord is what the store keeps of a Shred, for as long as it lives.
type ShredRecord struct {
	// Scope is the name that the scope had, and At when its key was refused, by the clock of the
	// machine, to the millisecond.
	Scope scope.Scope
	At    time.Time
	// Key is the id of the key that was destroyed. It is no secret.
	Key crypto.ScopeKeyID
}

// ShredReport says what a Shred has done.
type ShredReport struct {
	// ShredRecord is the record; it is zero if nothing had been sealed in the scope.
	ShredRecord
	// Checkpoints are the directories of the checkpoints of the store that have lost the key:
	// there was no copy of the vault, or the key was destroyed in it.
	Checkpoints []string
	// OutOfReach are the checkpoints of which that is not known.
	OutOfReach []OutOfReach
}

// OutOfReach is a checkpoint that a Shred did not reach.
type OutOfReach struct {
	// ID and Dir are those of its record, and Err is why: it is not there any more (ErrNotExist), another store is
	// there (ErrOtherStore), somebody has it open and may have read the key (ErrLocked), or its vault
	// could not be changed.
	ID  CheckpointID
	Dir string
	Err error
}

// Shred makes everything that was sealed in the scope unreadable for ever, by destroying the
// scope's key: for snapshots and transactions that are open, too, and in checkpoints. Such values
// give ErrShredded from then on; all else goes on, what is not sealed in the scope included.
// Nothing can be sealed in the scope any more; a scope that is made after it was dropped has a key
// of its own. The keys of entries are not sealed and stay, until they are deleted or the scope is
// dropped. Shred comes before Drop: a scope that is not there cannot be shredded.
//
// That the key is refused is committed, with a record that Shreds lists, and then the key is
// destroyed in the vault; both are on the device when Shred returns. What a crash interrupts
// after the first the next opening ends. Each checkpoint on record (Checkpoints) is looked at: it has no
// vault unless somebody has put one there, in which the key is destroyed
// likewise. What could not be reached is in the report, a checkpoint that was moved, or in whose place is another,
// among it; called again, Shred tries again. Others seal and shred meanwhile. Copies of
// the vault that nobody has told the store of are out of reach, and not in the report.
//
// Errors: ErrNotFound for a scope that is not there, ErrNotEncrypted, ErrReadOnly, ErrPoisoned,
// ErrClosed, ctx's, and those of the vault's file system. With an error the values may be
// unreadable already, and the key may not be destroyed.
func (s *Scope) Shred(ctx context.Context) (*ShredReport, error) {
	d := s.db
	if err := s.writable(); err != nil {
		return nil, err
	}
	if d.keyring == nil {
		return nil, ErrNotEncrypted
	}
	if err := d.hold(); err != nil {
		return nil, err
	}
	defer d.release()
	report, gone, err := s.destroyKeys(ctx)
	if err != nil || len(gone) == 0 {
		return report, err
	}
	if err := d.shredCheckpoints(ctx, gone, report); err != nil {
		return nil, err
	}
	d.event("scope shredded", "key", report.Key.String(), "at", report.At,
		"checkpoints", len(report.Checkpoints), "out of reach", len(report.OutOfReach))
	return report, nil
}

// destroyKeys refuses the keys of the scope and destroys them in the store's vault. It returns them, none if nothing
// was sealed in the scope, and begins the report.
func (s *Scope) destroyKeys(ctx context.Context) (*ShredReport, []crypto.ScopeKeyID, error) {
	d := s.db
	d.vault.changing.Lock()
	defer d.vault.changing.Unlock()
	report := &ShredReport{}
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, context.Cause(ctx)
		}
		if err := s.writable(); err != nil {
			return nil, nil, err
		}
		r, err := s.current()
		if err == nil && r == nil {
			err = fmt.Errorf("lsm: shred %s: %w", s.name.Kind(), ErrNotFound)
		}
		if err != nil {
			return nil, nil, err
		}
		of, found, err := d.vault.recorded(r.id)
		if err != nil {
			return nil, nil, err
		}
		if !found {
			if d.stillNamed(r) {
				return report, nil, nil
			}
			s.forget(r)
			continue
		}
		report.ShredRecord, err = d.refuse(s, r, of)
		if err == errRedirected { // returned bare
			s.forget(r)
			continue
		}
		if err == nil {
			err = d.vault.destroy(of.all())
		}
		if err != nil {
			return nil, nil, fmt.Errorf("lsm: shred %s: %w", s.name.Kind(), err)
		}
		return report, of.all(), nil
	}
}

// refuse commits that the keys of a scope are refused, and returns the record of its present one. One
// that there is already stays. Called with vault.changing held.
func (d *DB) refuse(s *Scope, r *resolved, of scopeSeal) (ShredRecord, error) {
	record := ShredRecord{Scope: s.name, At: time.UnixMilli(d.opts.seams.Now().UnixMilli()), Key: of.key}
	value, err := d.get(nil, systemKeys.prefix, shredKey(of.key), keys.MaxSeqNum)
	if err == nil {
		return decodeShred(shredKey(of.key), value)
	}
	if err != ErrNotFound { // returned bare
		return record, err
	}
	if mutant.Enabled && mutant.Is(mutant.DestroyFirst) {
		if err := d.vault.destroy(of.all()); err != nil {
			return record, err
		}
	}
	var b dirBatch
	b.claims = append(b.claims, d.claimOn(r))
	b.changes = append(b.changes, dirChange{id: r.id}) // whoever has sealed for the scope is sent back (S2)
	for _, key := range of.all() {
		b.add(keys.KindSet, shredKey(key), shredValue(record))
	}
	d.vault.refuse(true, of.all()...) // before anybody can rely on a directory that has the records
	if _, err = d.commitDirectory(&b, nil); err != nil {
		d.vault.refuse(false, of.all()...)
		return record, err
	}
	s.forget(r)
	return record, nil
}

// destroy destroys keys in the store's vault.
func (v *vault) destroy(keys []crypto.ScopeKeyID) error {
	own := v.is.Load()
	if own == nil || mutant.Enabled && mutant.Is(mutant.OnlyRefuse) {
		return nil // they are of the store that this one is a copy of, or of a vault that is gone
	}
	return vaultError(own.Destroy(keys...))
}

// Shreds yields the records of all Shreds, in no order, those of scopes that are gone too. An error
// is yielded once, with a zero ShredRecord, and ends the loop.
func (d *DB) Shreds() iter.Seq2[ShredRecord, error] {
	return recordsOf(d, recordShred, decodeShred)
}

// recordsOf yields the records of a kind in the directory. An error is yielded once, and ends the loop.
func recordsOf[R any](d *DB, kind recordKind, decode func(key, value []byte) (R, error)) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var none R
		it, err := d.newIter(systemKeys, recordBounds(kind), keys.MaxSeqNum)
		if err != nil {
			yield(none, err)
			return
		}
		defer it.Close() // its error is yielded
		for ok := it.First(); ok; ok = it.Next() {
			r, err := decode(it.Key(), it.Value())
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if it.err != nil {
			yield(none, it.err)
		}
	}
}

// shredCheckpoints destroys keys in the checkpoints that were registered. It may take as long as their devices do:
// the keys are refused and gone, so that nobody has to wait for it but other Shreds, who
// need the same locks.
func (d *DB) shredCheckpoints(ctx context.Context, keys []crypto.ScopeKeyID, report *ShredReport) error {
	select {
	case d.vault.visiting <- struct{}{}:
		defer func() { <-d.vault.visiting }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var made []CheckpointRecord
	for r, err := range d.Checkpoints() {
		if err != nil {
			return err
		}
		if r.ID != CheckpointID(d.store) { // of its own record a checkpoint may have a copy
			made = append(made, r)
		}
	}
	slices.SortFunc(made, func(a, b CheckpointRecord) int { return strings.Compare(a.Dir, b.Dir) })
	for i := range made {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r := &made[i]
		if err := d.shredIn(r, keys); err != nil {
			report.OutOfReach = append(report.OutOfReach, OutOfReach{r.ID, r.Dir, err})
		} else {
			report.Checkpoints = append(report.Checkpoints, r.Dir)
		}
	}
	return nil
}

// shredIn destroys keys in the vault that a checkpoint may have. Nobody else may have it open.
func (d *DB) shredIn(r *CheckpointRecord, keys []crypto.ScopeKeyID) error {
	fs, dir := d.opts.outside(), r.Dir
	names, err := d.visit(r)
	if err != nil {
		return err
	}
	if !slices.Contains(names, manifest.CurrentName) {
		return ErrNotExist
	}
	lock, err := fs.Lock(filepath.Join(dir, manifest.LockName), true, vfs.ProcessName())
	if err != nil {
		return lockError(err)
	}
	defer lock.Close() // nothing is lost with an error
	if !slices.Contains(names, crypto.VaultName) {
		return nil
	}
	v, err := d.openVaultOf(fs, dir, false)
	if err != nil {
		return err
	}
	defer v.Close() // always nil
	return vaultError(v.Destroy(keys...))
}

// The records of scope keys in the directory: docs/formats/directory.md is canonical.

func scopeKeyValue(of scopeSeal) []byte {
	version := byte(recordVersion)
	if of.whole {
		version = recordWhole
	}
	value := []byte{version}
	for _, key := range of.all() {
		value = append(value, key[:]...)
	}
	return value
}

func decodeScopeKey(value []byte) (of scopeSeal, err error) {
	if of.whole = len(value) > 0 && value[0] == recordWhole; of.whole {
		value = append([]byte{recordVersion}, value[1:]...)
	}
	rest, err := checkRecord(value)
	if err == nil && (len(rest) == 0 || len(rest)%len(of.key) != 0) {
		err = directoryError(codec.ErrMalformed)
	}
	if err != nil {
		return of, err
	}
	of.key = crypto.ScopeKeyID(rest[:len(of.key)])
	for rest = rest[len(of.key):]; len(rest) > 0; rest = rest[len(of.key):] {
		of.former = append(of.former, crypto.ScopeKeyID(rest[:len(of.key)]))
	}
	return of, nil
}

// recordWhole is the version of the record of the key of a scope that is sealed as a whole: who knows
// nothing of it must not write there.
const recordWhole = 2

func shredKey(key crypto.ScopeKeyID) []byte { return append([]byte{byte(recordShred)}, key[:]...) }

func shredValue(r ShredRecord) []byte {
	p := binary.LittleEndian.AppendUint64([]byte{recordVersion}, uint64(r.At.UnixMilli()))
	return scope.AppendKey(p, r.Scope)
}

func decodeShred(key, value []byte) (r ShredRecord, err error) {
	rest, err := checkRecord(value)
	if err != nil {
		return r, err
	}
	if len(key) != 1+len(r.Key) || len(rest) < 8 {
		return r, directoryError(codec.ErrMalformed)
	}
	copy(r.Key[:], key[1:])
	r.At = time.UnixMilli(int64(binary.LittleEndian.Uint64(rest)))
	if r.Scope, err = scope.ParseKey(rest[8:]); err != nil {
		return ShredRecord{}, directoryError(err)
	}
	return r, nil
}
