package state

import (
	"errors"
	"time"

	"github.com/loamdb/loam/lsm"
)

// commit makes all of the writes or, with an error, none, and takes the telling of expiries away, both in one.
// ErrConflict: a condition does not hold. It returns the version of the last write where it knows it: of
// several, and of one that is conditional or of which somebody is told.
//
// Of spaces of a transaction it only makes the writes part of that, and there are no conditions. A transaction's
// own commit has none: it ends it. ErrConflict then means that nothing was written and another attempt may succeed.
func (e *engine) commit(ws []write, unsynced bool, gone ...expiry) (Version, error) {
	if len(ws) > 0 && ws[0].space.tx != nil {
		return 0, translate(enlist(ws))
	}
	o := syncOf(unsynced)
	if e.root != nil {
		e.root.SetWriteOptions(o)
		if err := e.root.Commit(); err != nil {
			return 0, translate(err)
		}
		return Version(e.root.LastVersion()), nil
	}
	if len(ws) != 1 || len(gone) > 0 {
		return e.apply(ws, o, gone...)
	}
	switch w := &ws[0]; {
	case w.tell != nil && w.value != nil && !w.conditional && w.operator == "" && w.expires == 0 && !w.sealed && !w.plain:
		v, err := w.space.sc.SetVersion(w.key, w.value, o)
		return Version(v), translate(err)
	case w.conditional || w.tell != nil || w.sealed || w.plain:
		return e.apply(ws, o)
	case w.value == nil:
		return 0, translate(w.space.sc.Delete(w.key, o))
	case w.operator != "":
		return 0, translate(w.space.sc.Merge(w.operator, w.key, w.value, o))
	case w.expires != 0:
		return 0, translate(w.space.sc.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires), o))
	default:
		return 0, translate(w.space.sc.Set(w.key, w.value, o))
	}
}

func syncOf(unsynced bool) *lsm.WriteOptions {
	if unsynced {
		return lsm.NoSync
	}
	return lsm.Sync
}

// enlist makes writes part of their spaces' transaction.
func enlist(ws []write) error {
	if err := ws[0].space.tx.alive(); err != nil {
		return err
	}
	for i := range ws {
		if err := ws[i].enlist(); err != nil {
			return err
		}
	}
	return nil
}

// enlist makes the write part of its space's transaction.
func (w *write) enlist() error {
	switch {
	case w.requires:
		return nil
	case w.upper != nil:
		return w.space.txn.DeleteRange(w.key, w.upper)
	case w.value == nil:
		return w.space.txn.Delete(w.key)
	case w.operator != "":
		return w.space.txn.Merge(w.operator, w.key, w.value)
	case w.sealed && w.expires != 0:
		return w.space.txn.SetSealedWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
	case w.sealed:
		return w.space.txn.SetSealed(w.key, w.value)
	case w.expires != 0:
		return w.space.txn.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
	}
	return w.space.txn.Set(w.key, w.value)
}

// apply commits the writes as one batch, in which events of expiries are taken away.
func (e *engine) apply(ws []write, o *lsm.WriteOptions, gone ...expiry) (Version, error) {
	b := e.batches.Get().(*lsm.Batch)
	for i := range ws {
		w := &ws[i]
		b.In(w.space.sc)
		if w.plain {
			b.RequireUnsealed()
		}
		if w.conditional {
			b.RequireAsOf(w.key, lsm.Version(w.version), lsm.Version(w.asOf))
		}
		switch {
		case w.requires:
		case w.upper != nil:
			b.DeleteRange(w.key, w.upper)
		case w.value == nil:
			b.Delete(w.key)
		case w.operator != "":
			b.Merge(w.operator, w.key, w.value)
		case w.sealed && w.expires != 0:
			b.SetSealedWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
		case w.sealed:
			b.SetSealed(w.key, w.value)
		case w.expires != 0:
			b.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
		default:
			b.Set(w.key, w.value)
		}
	}
	if len(gone) > 0 {
		b.AckExpiryEvents(gone...)
	}
	err := e.db.Apply(b, o)
	version := Version(b.LastVersion())
	if b.Bytes() <= maxPooledBytes {
		b.Reset()
		e.batches.Put(b)
	}
	if len(ws) > 0 && ws[0].plain && errors.Is(err, lsm.ErrScopeSealed) {
		return 0, errSealedSince
	}
	return version, translate(err)
}
