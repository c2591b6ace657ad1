package metamorphic

import (
	"errors"
	"fmt"
	"strings"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

func init() {
	register("refused", 40, func(g *generator) refused {
		return refused{[]string{"large key", "table out of order", "second opening", "write to a snapshot"}[g.rnd.IntN(4)], g.slot()}
	})
}

// refused is a call that a store must refuse, and that must leave nothing behind.
type refused struct {
	What string
	Snap int
}

func (o *refused) model(m *Model) string {
	if o.What == "write to a snapshot" && m.state(o.Snap) == nil {
		return "no snapshot"
	}
	return "refused"
}

func (o *refused) apply(p *player) (string, error) {
	var err, want error
	switch o.What {
	case "large key":
		want = lsm.ErrTooLarge
		b := p.db.NewBatch()
		b.Set([]byte("key-0003"), nil)
		b.Set([]byte(strings.Repeat("k", keys.MaxUserKeyLen+1)), nil)
		err = p.db.Apply(b, nil)
	case "table out of order":
		want = lsm.ErrInvalidTable
		file := p.fresh("table")
		w, werr := lsm.NewTableWriter(file, p.options())
		if werr != nil {
			return "", werr
		}
		if err = w.Set([]byte("b"), nil); err == nil {
			err = w.Set([]byte("a"), nil)
		}
		w.Abort()
	case "second opening":
		if !p.lasting() {
			return "refused", nil
		}
		want = lsm.ErrLocked
		var second *lsm.DB
		if second, err = lsm.Open(p.dir, p.options()); err == nil {
			err = errors.Join(errWrong, second.Close())
		}
	default:
		want = lsm.ErrReadOnly
		s := p.snaps[o.Snap-1]
		if s == nil {
			return "no snapshot", nil
		}
		sc, serr := s.Scope(scope.Agent("a1"))
		if serr != nil {
			return "", serr
		}
		err = sc.Set([]byte("key-0003"), nil, nil)
	}
	if errors.Is(err, want) {
		return "refused", nil
	}
	if err == nil {
		return fmt.Sprintf("done: %s", o.What), nil
	}
	return "", err
}
