package realdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// ErrDiffers: a store does not hold what its source says. The text names the key, never
// a value.
var ErrDiffers = errors.New("store differs from its source")

// verifyGets reads every record of the source again and asks the store for it by its
// key, timing the Gets alone. Of a key that occurs more than once the last counts.
func verifyGets(ctx context.Context, s engine.Session, src *Source, e *expected) (*timing, error) {
	t := &timing{}
	var dst []byte
	err := src.each(ctx, 0, func(n uint64, r engine.Pair) error {
		if winner, ok := e.duplicates[string(r.Key)]; ok && winner != n {
			return nil
		}
		start := clock()
		v, found, err := s.Get(dst[:0], r.Key)
		t.add(clock()-start, len(r.Key)+len(v))
		dst = v
		switch {
		case err != nil:
			return err
		case !found:
			return fmt.Errorf("%w: record %d, key %q, is missing", ErrDiffers, n, clip(r.Key))
		case !bytes.Equal(v, r.Value):
			return fmt.Errorf("%w: record %d, key %q, has another value", ErrDiffers, n, clip(r.Key))
		}
		return nil
	})
	if err == nil && uint64(t.ops) != e.count {
		err = fmt.Errorf("%w: the source has changed since it was loaded", ErrDiffers)
	}
	return t, err
}

// verifyScan walks the whole store and compares every key and value, their order and
// their number with what is expected. The time counts the comparing too.
func verifyScan(ctx context.Context, s engine.Session, e *expected, reverse bool) (t *timing, err error) {
	want, err := openSortedAt(e.path, reverse)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, want.close()) }()
	sc, err := s.NewScanner()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sc.Close()) }()
	t = &timing{}
	var differs error
	start := clock()
	_, err = sc.Scan(nil, reverse, int(e.count)+1, func(key, value []byte) bool {
		if differs = compareNext(want, key, value); differs == nil {
			differs = ctx.Err()
		}
		t.ops++
		t.bytes += int64(len(key) + len(value))
		return differs == nil
	})
	t.elapsed = clock() - start
	if err = errors.Join(err, differs); err != nil {
		return t, err
	}
	more, err := want.next()
	if more {
		err = fmt.Errorf("%w: key %q, and what follows, is missing in a scan", ErrDiffers, clip(want.rec.Key))
	}
	return t, err
}

func compareNext(want *sortedReader, key, value []byte) error {
	ok, err := want.next()
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%w: key %q is beyond the last", ErrDiffers, clip(key))
	case !bytes.Equal(want.rec.Key, key):
		return fmt.Errorf("%w: a scan gives key %q instead of %q", ErrDiffers, clip(key), clip(want.rec.Key))
	case !bytes.Equal(want.rec.Value, value):
		return fmt.Errorf("%w: a scan gives another value for key %q", ErrDiffers, clip(key))
	}
	return nil
}

// clip shortens a key for a message.
func clip(key []byte) []byte {
	const most = 80
	return key[:min(len(key), most)]
}
