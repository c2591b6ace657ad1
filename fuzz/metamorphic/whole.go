package metamorphic

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("flush", 130, func(*generator) flush { return flush{} })
	register("compact", 50, func(g *generator) compact {
		if g.oneIn(3) {
			return compact{}
		}
		lower, upper := g.bounds()
		return compact{lower, upper}
	})
	register("verify", 15, func(*generator) verify { return verify{} })
	register("metrics", 60, func(*generator) metrics { return metrics{} })
	register("ingest", 70, (*generator).ingest)
	register("checkpoint", 30, func(*generator) checkpoint { return checkpoint{} })
}

// flush flushes the memtables.
type flush struct{}

func (*flush) model(m *Model) string {
	m.promise()
	return "ok"
}

func (*flush) apply(p *player) (string, error) { return outcome(p.db.Flush(background)) }

// compact compacts a range of the root, or everything.
type compact struct {
	Lower text `json:",omitempty"`
	Upper text `json:",omitempty"`
}

func (*compact) model(*Model) string { return "ok" }

func (o *compact) apply(p *player) (string, error) {
	return outcome(p.db.Compact(background, o.Lower.bound(), o.Upper.bound()))
}

// verify has the open store verify itself.
type verify struct{}

func (*verify) model(*Model) string { return "ok" }

func (*verify) apply(p *player) (string, error) { return outcome(p.db.Verify(background)) }

// metrics asks how many snapshots and iterators are open: ours, and perhaps some of background
// work.
type metrics struct{}

func (*metrics) model(*Model) string { return "ok" }

func (*metrics) apply(p *player) (string, error) {
	snaps, iters := 0, 0
	for i := range slots {
		if p.snaps[i] != nil {
			snaps++
		}
		if p.iters[i] != nil {
			iters++
		}
	}
	if m := p.db.Metrics(); m.Snapshots < snaps || m.Iterators < iters {
		return fmt.Sprintf("%d and %d instead of %d and %d", m.Snapshots, m.Iterators, snaps, iters), nil
	}
	return "ok", nil
}

// ingest adds tables that were written outside of the store. No key is in two of them.
type ingest struct{ Tables [][]act }

func (g *generator) ingest() ingest {
	var all []act
	for range 1 + g.rnd.IntN(30) {
		all = append(all, act{Do: "set", Key: g.key(), Value: g.value()})
	}
	byKey := func(a, b act) int { return strings.Compare(string(a.Key), string(b.Key)) }
	slices.SortFunc(all, byKey)
	all = slices.CompactFunc(all, func(a, b act) bool { return a.Key == b.Key })
	cut := g.rnd.IntN(len(all))
	if cut == 0 {
		return ingest{[][]act{all}}
	}
	return ingest{[][]act{all[cut:], all[:cut]}}
}

func (o *ingest) model(m *Model) string {
	s, id := m.now, m.write()
	for _, table := range o.Tables {
		for i := range table {
			s, _ = table[i].in(m, s, id)
		}
	}
	m.commit(s, true)
	return "ok"
}

func (o *ingest) apply(p *player) (string, error) {
	var files []string
	defer func() {
		for _, file := range files {
			_ = p.outside().Remove(file) // it is a link, or was copied
		}
	}()
	for _, table := range o.Tables {
		files = append(files, p.fresh("table"))
		w, err := lsm.NewTableWriter(files[len(files)-1], p.options())
		if err != nil {
			return "", err
		}
		for _, a := range table {
			if err := w.Set([]byte(a.Key), []byte(a.text())); err != nil {
				w.Abort()
				return "", err
			}
		}
		if err := w.Finish(); err != nil {
			return "", err
		}
	}
	return outcome(p.db.Ingest(background, files...))
}

// checkpoint makes a checkpoint, opens it, writes to it and removes it.
type checkpoint struct{}

func (*checkpoint) model(m *Model) string {
	s := m.now
	was := fmt.Sprint(s.digest())
	s, _ = (&act{Do: "set", Key: "key-0003"}).in(m, s, 0)
	return was + fmt.Sprint(s.digest())
}

func (*checkpoint) apply(p *player) (string, error) {
	dir := p.fresh("copy")
	defer p.removeAll(dir)
	if err := p.db.Checkpoint(background, dir); err != nil {
		return "", err
	}
	o := p.set.options(p.outside(), nil, p.opened, &p.clock)
	o.MustExist = true
	db, err := lsm.Open(dir, o)
	if err != nil {
		return "", err
	}
	was, err := digestOf(db)
	if err == nil {
		err = db.Set([]byte("key-0003"), []byte((value{}).text()), nil)
	}
	is, derr := digestOf(db)
	return fmt.Sprint(was) + fmt.Sprint(is), errors.Join(err, derr, db.Close())
}
