package metamorphic

import (
	"errors"
	"fmt"
	"path"
	"syscall"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/wal"
)

func init() {
	register("reopen", 45, func(g *generator) reopen { return reopen{g.oneIn(2), g.oneIn(4)} })
	register("kill", 25, func(*generator) kill { return kill{} })
	register("power-cut", 45, func(g *generator) powerCut { return powerCut{g.rnd.IntN(24)} })
	register("go-on-in-copy", 12, func(g *generator) goOnInCopy { return goOnInCopy{g.oneIn(2)} })
	register("faults", 25, (*generator).faults)
}

// reopen closes the store and opens it again, perhaps to be read only in between.
type reopen struct{ Verify, ReadOnly bool }

func (o *reopen) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.end()
	m.promise()
	return "ok"
}

func (o *reopen) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	if !p.lasting() {
		return "ok", p.end()
	}
	now := p.ref.before(p.at)
	if err := p.restart(closed, 0, now, now); err != nil {
		return "", err
	}
	if !o.Verify && !o.ReadOnly {
		return "ok", nil
	}
	if err := p.db.Close(); err != nil {
		return "", err
	}
	if err := p.look(o); err != nil {
		return "", err
	}
	return "ok", p.open()
}

// look verifies a closed store and reads it.
func (p *player) look(o *reopen) error {
	if o.Verify {
		if err := p.verifyClosed(); err != nil {
			return err
		}
	}
	if !o.ReadOnly {
		return nil
	}
	opts := p.options()
	opts.ReadOnly = true
	db, err := lsm.Open(p.dir, opts)
	if err != nil {
		return err
	}
	d, err := digestOf(db)
	if want := p.state(p.ref.before(p.at)).digest(); err == nil && d != want {
		err = fmt.Errorf("%w: opened to be read it holds %v instead of %v", errWrong, d, want)
	}
	if serr := db.Set([]byte("key"), nil, nil); !errors.Is(serr, lsm.ErrReadOnly) {
		err = errors.Join(err, fmt.Errorf("%w: it was written to: %v", errWrong, serr))
	}
	return errors.Join(err, db.Close())
}

// kill ends the process; another one opens the store.
type kill struct{}

func (*kill) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.end()
	m.promise()
	return "ok"
}

func (*kill) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	if !p.lasting() {
		return "ok", p.end()
	}
	now := p.ref.before(p.at)
	return "ok", p.restart(killed, 0, now, now)
}

// powerCut cuts the power and opens what one of the cuts leaves that are possible there. On
// files that cannot lose anything it is a kill.
type powerCut struct{ Choice int }

func (*powerCut) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.end()
	m.forget()
	m.promise()
	return "ok"
}

func (o *powerCut) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	if p.forget(); !p.lasting() {
		return "ok", p.end()
	}
	now := p.ref.before(p.at)
	return "ok", p.restart(cut, o.Choice, now, now)
}

// forget drops the versions that were remembered.
func (p *player) forget() { p.versions = [slots]remembered{} }

// goOnInCopy goes on in a checkpoint of the store, or in what Salvage makes of it, where
// positions mean nothing any more.
type goOnInCopy struct{ Salvage bool }

func (o *goOnInCopy) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.end()
	m.forget()
	m.promise()
	if o.Salvage {
		for i := range m.holds {
			m.holds[i].diverged = true
		}
	}
	return "ok"
}

func (o *goOnInCopy) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	p.forget()
	err := p.end()
	if o.Salvage {
		p.diverge()
	}
	if err != nil || !p.lasting() {
		return "ok", err
	}
	dir := p.fresh("store")
	if !o.Salvage {
		if err := p.db.Checkpoint(background, dir); err != nil {
			return "", err
		}
	}
	if err := p.db.Close(); err != nil {
		return "", err
	}
	if o.Salvage {
		r, err := lsm.Salvage(background, p.dir, dir, p.options())
		if err == nil && !r.Complete() {
			err = fmt.Errorf("%w: something was lost:\n%s", errWrong, r)
		}
		if err != nil {
			return "", err
		}
	}
	p.removeAll(p.dir)
	p.dir = dir
	if err := p.open(); err != nil {
		return "", err
	}
	now := p.ref.before(p.at)
	found, err := p.judge(now, now)
	p.durable = found
	return "ok", err
}

// faultWindow makes calls to the file system go wrong during the next operations. None of
// those may keep anything that a failure would end.
type faultWindow struct {
	Calls   string // any, writes, reads, syncs, tables, blobs or growing
	Effect  string // fail, fail after, short, flip, drop, gone
	Skip    int    // calls that pass first
	Err     int    // among vfs.FaultErrors
	Forever bool
	For     int // operations
	// Cut and Choice are of gone: whether the process ends with the power, and as in
	// powerCut.
	Cut    bool
	Choice int
}

func (g *generator) faults() faultWindow {
	o := faultWindow{
		Calls: []string{"any", "writes", "reads", "syncs", "tables", "blobs", "growing"}[g.rnd.IntN(7)],
		Skip:  g.rnd.IntN(40), Err: g.rnd.IntN(len(vfs.FaultErrors())), Forever: g.oneIn(2),
		For: 10 + g.rnd.IntN(30), Cut: g.oneIn(2), Choice: g.rnd.IntN(24),
	}
	o.Effect = []string{"fail", "fail", "fail after", "short", "gone", "drop"}[g.rnd.IntN(6)]
	switch o.Calls {
	case "reads":
		o.Skip /= 10
	case "tables", "blobs":
		o.Effect, o.Skip = "flip", o.Skip/10
	case "growing":
		o.Effect, o.Skip, o.Forever = "fail", 0, true
	}
	return o
}

// ends reports whether the process has ended with the fault.
func (o *faultWindow) ends() bool { return o.Effect == "gone" }

func (o *faultWindow) ending() ending {
	if o.Cut {
		return cut
	}
	return killed
}

// lossy reports whether the fault has taken away what was not synced.
func (o *faultWindow) lossy() bool { return o.Effect == "drop" }

// rule returns the fault as the file system takes it.
func (o *faultWindow) rule() vfs.Rule {
	r := vfs.Rule{Skip: o.Skip, Forever: o.Forever || o.ends(), Bit: 7 * o.Choice}
	switch o.Effect {
	case "fail":
		r.Effect = vfs.Fail
	case "fail after":
		r.Effect = vfs.FailAfter
	case "short":
		r.Effect = vfs.Short
	case "flip":
		r.Effect = vfs.Flip
	case "drop":
		r.Effect = vfs.Drop
	default:
		r.Effect = vfs.Gone
	}
	if r.Effect != vfs.Short && r.Effect != vfs.Flip {
		r.Err = vfs.FaultErrors()[o.Err]
	}
	switch o.Calls {
	case "any":
		r.Kinds = vfs.OpAll &^ vfs.OpClose
	case "writes":
		r.Kinds = vfs.OpWrites
	case "reads":
		r.Kinds = vfs.OpReads
	case "syncs":
		r.Kinds = vfs.OpSync | vfs.OpSyncDir
	case "tables": // in a log's tail a flipped bit is what a torn write looks like
		r.Kinds, r.Glob = vfs.OpReads, "*.sst"
	case "blobs":
		r.Kinds, r.Glob = vfs.OpReads, "*.blob"
	default: // the log's segments have the space that they need
		r.Kinds, r.Err = vfs.OpWrite|vfs.OpCreate|vfs.OpPreallocate, syscall.ENOSPC
		r.When = func(c vfs.Call) bool {
			_, slot := wal.ParseSlotName(path.Base(c.Path))
			return c.Kind != vfs.OpWrite || !slot
		}
	}
	return r
}

func (o *faultWindow) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.end()
	m.forget()
	m.window = o.For + 1
	return "ok"
}

func (o *faultWindow) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	err := p.end()
	p.forget()
	if p.window, p.trouble = o.For+1, *o; err == nil && p.lasting() {
		p.faults.Add(o.rule())
	}
	return "ok", err
}
