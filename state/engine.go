package state

import (
	"context"
	"iter"

	"github.com/loamdb/loam/crypto"
)

// Engine is what the storage engine does for whoever runs a store, beside its reads and writes: copies, keys and
// checks. Nothing is read or written through it past hooks, rules and indexes, but a checkpoint has all that the
// store has, whoever may see it. It is therefore the program's: a View has none. It asks for no verb and runs no
// hooks.
//
// It costs nothing and need not be closed. Its methods may be called from any number of goroutines, also on a store
// that is being read and written. Every error is a *Error; besides those that the comments name they are
// ErrClosed, ErrReadOnly, ErrPoisoned, ErrNoSpace, the context's, and those of the file system.
type Engine struct{ does operations }

// Engine returns the storage engine, for whoever runs the store.
func (s *Store) Engine() Engine { return Engine{operationsOf(s.engine)} }

// Checkpoint makes a second store in dir, which must be missing or empty, with everything that was committed before the call,
// and of what is committed meanwhile a first part; the rules of access, the audit and the timeline included. Where the
// file system can it links tables, which takes no space at first; a store in memory is written to a directory of the
// system. Values of class Ephemeral are not in it. Open opens it as any store, with the options of this one.
//
// What is sealed is read there with the keys of this store: Encryption.Vault. A checkpoint that is opened in the place of this store,
// or beside it, gives out fencing tokens of leases that this store has given out after it (Token).
//
// Errors: ErrNotEmpty, ErrLocked, ErrCorrupt for a table that had to be copied and is damaged.
func (e Engine) Checkpoint(ctx context.Context, dir string) error {
	return operated("checkpoint", e.does.Checkpoint(ctx, dir))
}

// Checkpoints yields the records of the checkpoints that an encrypted store has made, in no order, those of directories that
// are gone too. A store in clear keeps none. An error is yielded once, with a zero CheckpointRecord, and ends
// the loop.
func (e Engine) Checkpoints() iter.Seq2[CheckpointRecord, error] {
	return func(yield func(CheckpointRecord, error) bool) {
		for r, err := range e.does.Checkpoints() {
			if !yield(r, operated("list checkpoints", err)) {
				return
			}
		}
	}
}

// ForgetCheckpoint removes the record of a checkpoint, for one that is gone or somebody else's: Scope.Shred does not look into
// it any more, it keeps no data key from being retired, and no key of a dropped scope. Nothing is done to the checkpoint. ErrNotFound:
// there is no such record.
func (e Engine) ForgetCheckpoint(id CheckpointID) error {
	return operated("forget checkpoint", e.does.ForgetCheckpoint(id))
}

// MoveCheckpoint records that a checkpoint is in another directory now, where it must be found. Errors: ErrNotFound if there is
// no such record, ErrNotExist if no store is there, ErrOtherStore.
func (e Engine) MoveCheckpoint(id CheckpointID, dir string) error {
	return operated("move checkpoint", e.does.MoveCheckpoint(id, dir))
}

// Anchor returns the anchor of an encrypted store as it is on the device. Kept where nobody who can change the store can
// change it, it is what Encryption.MinAnchor wants. ErrNotEncrypted: the store is in clear.
func (e Engine) Anchor() (Anchor, error) {
	a, err := e.does.Anchor()
	return a, operated("anchor", err)
}

// KeyStatus returns the data keys of the store, what is under each, and how much is still to be written anew.
// ErrNotEncrypted: the store is in clear.
func (e Engine) KeyStatus() (KeyStatus, error) {
	st, err := e.does.KeyStatus()
	return st, operated("key status", err)
}

// RotateMasterKey puts the store's keys under another master key, that of a provider: from then on the store opens
// with it alone. One small file is written; checkpoints keep the key that they were made under. With
// crypto.ErrUncertain either key may open the store, until a later change succeeds: keep both. ErrNotEncrypted:
// the store is in clear. Others are the provider's.
func (e Engine) RotateMasterKey(ctx context.Context, p crypto.KeyProvider) error {
	return operated("rotate master key", e.does.RotateMasterKey(ctx, p))
}

// RotateDataKeys makes a new data key, which everything that is written from now on takes, and has all that is under older
// ones written anew in the background, which goes on after an opening if it must: KeyStatus tells how far it is.
// ErrNotEncrypted: the store is in clear. Others are those of lsm.DB.RotateDataKeys.
func (e Engine) RotateDataKeys() error {
	return operated("rotate data keys", e.does.RotateDataKeys())
}

// RetireDataKey removes a data key for ever. It is refused, as *crypto.InUseError, while anything needs it: a file of the
// store, a checkpoint on record, or what others names, as copies elsewhere, which is called while no key changes; nil means
// nothing. Errors: crypto.ErrActive, crypto.ErrNoKey, crypto.ErrRetired, ErrNotEncrypted, that of others.
func (e Engine) RetireDataKey(id crypto.KeyID, others func() ([]string, error)) error {
	return operated("retire data key", e.does.RetireDataKey(id, others))
}

// Verify reads every table and blob file and checks all that they can tell, beside reads and writes. It goes on after
// damage: the error, which matches ErrCorrupt then, holds a *lsm.CorruptionError for each damaged table.
func (e Engine) Verify(ctx context.Context) error {
	return operated("verify", e.does.Verify(ctx))
}

// Flush writes what was committed before the call to tables, for instance before the machine takes a copy of the
// disk, or before an Anchor, which knows nothing of what is in the log alone. The store does it by itself as need arises.
func (e Engine) Flush(ctx context.Context) error {
	return operated("flush", e.does.Flush(ctx))
}

// SetHorizon keeps deletions behind a position from being forgotten, over openings too, so that Scope.Diff can go on from
// there; or moves the horizon of that name there. It takes the space of what is deleted. From the Position of a
// Snapshot that is open it always succeeds. EngineOptions.HorizonMaxAge and HorizonMaxBytes bound how long it stands. Errors:
// ErrHistoryGone, ErrDiverged, ErrInvalidPosition, scope.ErrInvalid for a name that cannot be.
func (e Engine) SetHorizon(name string, at Position) error {
	return operated("set horizon", e.does.SetHorizon(name, at))
}

// RemoveHorizon removes a horizon. ErrNotFound: there is none of the name.
func (e Engine) RemoveHorizon(name string) error {
	return operated("remove horizon", e.does.RemoveHorizon(name))
}

// Horizons returns the horizons by name, those included that hold nothing any more.
func (e Engine) Horizons() ([]Horizon, error) {
	all, err := e.does.Horizons()
	return all, operated("list horizons", err)
}

// operated returns the error of an operation of Engine.
func operated(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Err: translate(err)}
}
