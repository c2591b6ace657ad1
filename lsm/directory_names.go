package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// The names of ids: the directory read the other way, for whoever finds keys and must say
// whose they are, at the cost of a Get instead of all entries. Each is written and deleted
// with the entry (D5).

// nameValue returns the value of the name of the id that the entry of that key is for.
func nameValue(entry []byte) []byte { return append([]byte{recordVersion}, entry[1:]...) }

// decodeName returns the scope of a name.
func decodeName(value []byte) (scope.Scope, error) {
	form, err := checkRecord(value)
	if err != nil {
		return scope.Scope{}, err
	}
	s, err := scope.ParseKey(form)
	if err != nil {
		return scope.Scope{}, directoryError(err)
	}
	return s, nil
}

// nameOf returns the scope that has the id at seq, the zero Scope if none has.
func (d *DB) nameOf(id scope.ID, seq keys.SeqNum) (scope.Scope, error) {
	value, err := d.get(nil, systemKeys.prefix, idKey(recordName, id), seq)
	if err == ErrNotFound { // returned bare
		return scope.Scope{}, nil
	}
	if err != nil {
		return scope.Scope{}, err
	}
	return decodeName(value)
}

// errSides: what Verify finds where an entry has no name of its id, or a name no entry (D5).
var errSides = errors.New("the entries of scopes and the names of their ids differ")

// side is a sum over the entries or over the names, the same for both whatever the order: to
// compare a million scopes takes no memory and reads either side once.
type side struct{ n, sum uint64 }

func (s *side) add(id scope.ID, form []byte) {
	s.n++
	s.sum += keys.Hash(append(scope.AppendID(make([]byte, 0, scope.MaxEncodedLen+scope.MaxKeyLen), id), form...))
}

// checkDirectory compares the entries with the names, as of now. A *CorruptionError says that
// they differ.
func (d *DB) checkDirectory(ctx context.Context) error {
	snap, err := d.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	var entries, names side
	for kind, s := range map[recordKind]*side{recordEntry: &entries, recordName: &names} {
		err := d.eachNamed(ctx, kind, snap.seq, func(id scope.ID, form []byte) error {
			s.add(id, form)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if entries != names {
		return directoryError(fmt.Errorf("%w: %d and %d", errSides, entries.n, names.n))
	}
	return nil
}

// eachNamed calls f with each id that has an entry, or a name, at seq, and the key form that
// it has there. f must not keep it.
func (d *DB) eachNamed(ctx context.Context, kind recordKind, seq keys.SeqNum, f func(id scope.ID, form []byte) error) (err error) {
	it, err := d.newIter(systemKeys, recordBounds(kind), seq)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for n := 0; it.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		id, form, err := decodeNamed(kind, it.Key(), it.Value())
		if err == nil {
			err = f(id, form)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeNamed returns what an entry or a name says.
func decodeNamed(kind recordKind, key, value []byte) (id scope.ID, form []byte, err error) {
	if kind == recordEntry {
		id, err = decodeEntry(value)
		form = key[1:]
	} else if id, err = decodeWholeID(key[1:]); err == nil {
		form, err = checkRecord(value)
	}
	if err != nil {
		return 0, nil, err
	}
	if _, err := scope.ParseKey(form); err != nil {
		return 0, nil, directoryError(err)
	}
	return id, form, nil
}

// mendDirectory makes entries and names say the same again in a store of which something was
// lost. What is dead stays so. A name without its entry gives it back, unless the scope has
// another id that says the same of itself; an entry without a name gets that; and of the
// entries of one id the one that has its name stays.
func (d *DB) mendDirectory(ctx context.Context) error {
	for _, kind := range []recordKind{recordName, recordEntry} {
		snap, err := d.NewSnapshot()
		if err != nil {
			return err
		}
		err = d.eachNamed(ctx, kind, snap.seq, func(id scope.ID, form []byte) error {
			var b dirBatch
			err := d.mend(&b, kind, id, append([]byte{byte(recordEntry)}, form...))
			if err == nil && b.ops > 0 {
				_, err = d.commitDirectory(&b, NoSync)
			}
			return err
		})
		_ = snap.Close() // always nil
		if err != nil {
			return err
		}
	}
	return nil
}

// mend adds to b what makes the entry and the name of an id say the same, of which one was met.
func (d *DB) mend(b *dirBatch, met recordKind, id scope.ID, entry []byte) error {
	_, err := d.get(nil, systemKeys.prefix, idKey(recordDeath, id), keys.MaxSeqNum)
	if err != nil && err != ErrNotFound { // returned bare
		return err
	}
	dead := err == nil
	now := id // that has the entry
	if met == recordName {
		if now, err = d.lookUp(entry, keys.MaxSeqNum); err != nil || now == id && !dead {
			return err
		}
	}
	name, err := d.nameOf(now, keys.MaxSeqNum)
	if err != nil {
		return err
	}
	unnamed, same := name == scope.Scope{}, bytes.Equal(entryKey(name), entry)
	switch {
	case met == recordEntry && (dead || !unnamed && !same):
		b.add(keys.KindDelete, entry, nil)
	case met == recordEntry && unnamed:
		b.name(entry, id)
	case met == recordEntry: // they agree
	case dead, now != 0 && (unnamed || same):
		b.unname(id)
	default:
		b.name(entry, id)
	}
	return nil
}
