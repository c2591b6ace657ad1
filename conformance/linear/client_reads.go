package linear

import (
	"iter"

	"github.com/loamdb/loam/lsm"
)

// readSpan reads neighbouring keys, all at one moment.
func (c *client) readSpan(lo, hi int) error {
	how := c.rnd.IntN(4)
	return c.perform(&input{verb: read, reads: spanSet(lo, hi)}, func(out *output) error {
		switch {
		case how == 0:
			return scan(out, c.verbs.Scan(name(lo), name(hi)))
		case how == 1:
			return scan(out, c.verbs.ScanReverse(name(lo), name(hi)))
		case how == 2 && c.sc == nil:
			return c.db.View(func(tx *lsm.Txn) error { return gets(out, lo, hi, tx.Get) })
		}
		return c.readSnapshot(out, lo, hi)
	})
}

func (c *client) readSnapshot(out *output, lo, hi int) error {
	s, err := c.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer s.Close() // never fails
	get := s.Get
	if c.sc != nil {
		sc, err := s.Scope(c.sc.Name())
		if err != nil {
			return err
		}
		get = sc.Get
	}
	return gets(out, lo, hi, get)
}

// readAll reads all keys as histories of one key or of several do.
func (c *client) readAll() error {
	if !c.h.Single {
		return c.readSpan(0, keys)
	}
	for key := range keys {
		if err := c.get(key); err != nil {
			return err
		}
	}
	return nil
}

func scan(out *output, entries iter.Seq2[lsm.Entry, error]) error {
	for e, err := range entries {
		if err != nil {
			return err
		}
		out.seen[e.Key[len(e.Key)-1]-'0'] = string(e.Value)
	}
	return nil
}

func gets(out *output, lo, hi int, get func([]byte) ([]byte, error)) (err error) {
	for key := lo; key < hi && err == nil; key++ {
		out.seen[key], err = present(get(name(key)))
	}
	return err
}

// transact reads keys and writes keys, if those read have not changed: in a transaction, or,
// since these act in the root, in a batch with requirements.
func (c *client) transact() error {
	lo, hi := c.span()
	in := input{verb: txn, reads: spanSet(lo, hi), writes: c.changes()}
	if c.h.Single {
		in.writes = [keys]change{}
		in.writes[lo] = change{token: c.token()}
	}
	w, ranged := c.durability(), c.rnd.IntN(2) == 0
	return c.perform(&in, func(out *output) error {
		if c.sc != nil {
			return c.requireSpan(&in, out, lo, hi, w)
		}
		read := false
		err := c.db.Update(func(tx *lsm.Txn) (err error) {
			tx.SetWriteOptions(w)
			if ranged {
				err = scan(out, tx.Scan(name(lo), name(hi)))
			} else {
				err = gets(out, lo, hi, tx.Get)
			}
			if read = err == nil; !read {
				return err
			}
			return fillTxn(tx, &in)
		})
		if !read {
			in.verb = verbOfNothing
		}
		return err
	})
}

// verbOfNothing makes an operation that ended before it wrote, with an unknown outcome, one
// that says nothing.
const verbOfNothing = read

func fillTxn(tx *lsm.Txn, in *input) (err error) {
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	fill(writer{
		set:    func(key, value []byte) { note(tx.Set(key, value)) },
		merge:  func(key, value []byte) { note(tx.Merge(lsm.BytesAppend, key, value)) },
		remove: func(key []byte) { note(tx.Delete(key)) },
	}, in)
	return err
}

func (c *client) requireSpan(in *input, out *output, lo, hi int, w *lsm.WriteOptions) error {
	b := c.verbs.NewBatch()
	for key := lo; key < hi; key++ {
		value, version, err := c.verbs.GetWithVersion(name(key))
		if out.seen[key], err = present(value, err); err != nil {
			in.verb = verbOfNothing
			return err
		}
		b.Require(name(key), version)
	}
	c.fill(b, in)
	return c.verbs.Apply(b, w)
}
