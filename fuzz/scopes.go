package fuzz

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// ScopeRecording is a history of scopes that are made, filled, dropped, made again, moved
// and copied, on a file system which logged every operation. Each step is one batch, or a
// copy, of which one batch shows: what a power cut leaves must be what the store held after
// some step, at or after the last one that was promised. The ledger's batches are the
// steps; none writes its number, so that equal contents are told apart by nothing.
type ScopeRecording struct {
	history Recording // its own checks do not apply

	// Dropped counts the scopes that were dropped, Forgotten those of which nothing was left
	// when the store was closed at last.
	Dropped, Forgotten int
}

// spaces are the contents of a store by scope, the zero Scope being the root.
type spaces map[scope.Scope]map[string]string

func (s spaces) clone() spaces {
	out := make(spaces, len(s))
	for name, m := range s {
		out[name] = maps.Clone(m)
	}
	return out
}

// contents sums up what the store holds, empty scopes included.
func (s spaces) contents() (c contents) {
	for name, m := range s {
		c.addScope(name)
		for k, v := range m {
			c.addEntry(name, k, v)
		}
	}
	return c
}

func (c *contents) addScope(name scope.Scope) {
	if name != (scope.Scope{}) {
		c.entries++
		c.sum += entryHash("scope "+name.String(), "")
	}
}

func (c *contents) addEntry(name scope.Scope, k, v string) {
	c.entries++
	c.sum += entryHash("entry "+name.String()+"\x00"+k, v)
}

// scopeView is a store, or a snapshot of one.
type scopeView interface {
	view
	Scope(scope.Scope) (*lsm.Scope, error)
	ListScopes(scope.Kind, string) iter.Seq2[scope.Scope, error]
}

// scopePlayer plays a history.
type scopePlayer struct {
	rnd    *rand.Rand
	setup  Setup
	fs     vfs.FS
	mem    *vfs.Mem // under fs
	ledger *Ledger
	db     *lsm.DB
	now    spaces
	old    map[scope.Scope]*lsm.Scope // handles, some of them stale
	held   *lsm.Snapshot
	want   contents // of held

	dropped, left int // scopes dropped; of those, not forgotten when the store was closed
}

// RecordScopes plays a history of so many steps. An error is a failure of the store:
// nothing was injected.
func RecordScopes(setup Setup, steps int) (*ScopeRecording, error) {
	mem := vfs.NewCrashMem()
	p := newScopePlayer(setup, mem, mem)
	err := p.open()
	for i := 0; err == nil && i < steps; i++ {
		if err = p.step(); err != nil {
			err = fmt.Errorf("seed %d, %s, step %d: %w", setup.Seed, modeName(setup.Mode), i, err)
		}
	}
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, err
	}
	return &ScopeRecording{
		history: Recording{Setup: setup, Mem: p.mem, Ledger: p.ledger}, Dropped: p.dropped, Forgotten: p.dropped - p.left,
	}, nil
}

func newScopePlayer(setup Setup, fs vfs.FS, mem *vfs.Mem) *scopePlayer {
	return &scopePlayer{
		rnd: rand.New(rand.NewPCG(setup.Seed, 3)), setup: setup, fs: fs, mem: mem, ledger: NewLedger(),
		now: spaces{scope.Scope{}: {}},
	}
}

func (p *scopePlayer) open() (err error) {
	p.db, err = lsm.Open(Dir, p.setup.Options(p.fs))
	p.old = map[scope.Scope]*lsm.Scope{}
	return err
}

func (p *scopePlayer) close() error {
	if err := p.release(); err != nil {
		return err
	}
	p.left = p.db.Metrics().DeadScopes
	err := p.db.Close()
	p.db = nil
	if err == nil {
		p.ledger.Acknowledge(p.ledger.Issued(), p.mem.Ops(), true)
	}
	return err
}

func (p *scopePlayer) name() scope.Scope {
	n := p.rnd.IntN(8)
	if n%3 == 0 {
		return scope.Step("w", fmt.Sprint(n))
	}
	return scope.Agent(fmt.Sprint(n))
}

func (p *scopePlayer) handle(name scope.Scope) (*lsm.Scope, error) {
	if sc := p.old[name]; sc != nil && p.rnd.IntN(2) == 0 {
		return sc, nil
	}
	sc, err := p.db.Scope(name)
	p.old[name] = sc
	return sc, err
}

func (p *scopePlayer) step() error {
	switch n := p.rnd.IntN(100); {
	case n < 8:
		return p.db.Flush(context.Background())
	case n < 12:
		return p.hold()
	case n < 14:
		if err := p.close(); err != nil {
			return err
		}
		if err := p.open(); err != nil {
			return err
		}
		return checkScopes(p.db, p.now.contents())
	case n < 16:
		return checkScopes(p.db, p.now.contents())
	}
	return p.change()
}

// change does one step that changes something, and keeps the ledger.
func (p *scopePlayer) change() error {
	name, to := p.name(), p.name()
	sc, err := p.handle(name)
	if err != nil {
		return err
	}
	after := p.now.clone()
	w := lsm.NoSync
	sync := p.rnd.IntN(3) == 0
	if sync {
		w = lsm.Sync
	}
	var do func() error
	switch n := p.rnd.IntN(100); {
	case n < 20 && after[name] != nil:
		delete(after, name)
		do = func() error {
			p.dropped++
			return sc.Drop(w)
		}
	case n < 28 && after[name] != nil && after[to] == nil:
		after[to] = after[name]
		delete(after, name)
		do = func() error { return sc.Move(to, w) }
	case n < 36 && after[name] != nil && after[to] == nil:
		after[to] = maps.Clone(after[name])
		do = func() error {
			_, err := sc.Copy(context.Background(), to, w)
			return err
		}
	default:
		b, err := p.batch(after, name)
		if err != nil {
			return err
		}
		do = func() error { return p.db.Apply(b, w) }
	}
	p.ledger.mu.Lock()
	p.ledger.states = append(p.ledger.states, after.contents())
	p.ledger.mu.Unlock()
	if err := do(); err != nil {
		if !errors.Is(err, lsm.ErrPoisoned) {
			p.ledger.Withdraw() // refused: it must not be there
		}
		return err
	}
	p.now = after
	p.ledger.Acknowledge(p.ledger.Issued(), p.mem.Ops(), sync)
	return nil
}

// batch makes a batch that sets, merges, and deletes keys and ranges, in a scope and in others.
func (p *scopePlayer) batch(after spaces, name scope.Scope) (*lsm.Batch, error) {
	b := p.db.NewBatch()
	for range 1 + p.rnd.IntN(8) {
		sc, err := p.handle(name)
		if err != nil {
			return nil, err
		}
		k := fmt.Sprintf("key-%02d", p.rnd.IntN(20))
		switch b.In(sc); p.rnd.IntN(8) {
		case 0:
			upper := k + "\xff" // one key, or from it on
			if p.rnd.IntN(2) == 0 {
				upper = "key-99"
			}
			b.DeleteRange([]byte(k), []byte(upper))
			maps.DeleteFunc(after[name], func(key, _ string) bool { return key >= k && key < upper })
		case 1:
			b.Delete([]byte(k))
			delete(after[name], k)
		case 2:
			v := fmt.Sprint(p.ledger.Issued()) + string(make([]byte, p.rnd.IntN(200)))
			b.Merge(lsm.BytesAppend, []byte(k), []byte(v))
			if after[name] == nil {
				after[name] = map[string]string{}
			}
			after[name][k] += v
		default:
			v := fmt.Sprint(p.ledger.Issued()) + string(make([]byte, p.rnd.IntN(200)))
			b.Set([]byte(k), []byte(v))
			if after[name] == nil {
				after[name] = map[string]string{}
			}
			after[name][k] = v
		}
		if p.rnd.IntN(4) == 0 {
			name = p.name()
		}
	}
	v := fmt.Sprint(p.ledger.Issued())
	b.In(nil).Set([]byte("root"), []byte(v))
	after[scope.Scope{}]["root"] = v
	return b, nil
}

// hold takes a snapshot, or compares the one that is held with what it must hold.
func (p *scopePlayer) hold() (err error) {
	if p.held != nil {
		return p.release()
	}
	p.want = p.now.contents()
	p.held, err = p.db.NewSnapshot()
	return err
}

func (p *scopePlayer) release() error {
	if p.held == nil {
		return nil
	}
	err := checkScopes(p.held, p.want)
	err = errors.Join(err, p.held.Close())
	p.held = nil
	return err
}

// readScopes sums up what a store or a snapshot shows.
func readScopes(v scopeView) (c contents, err error) {
	for e, err := range v.Scan(nil, nil) {
		if err != nil {
			return c, err
		}
		c.addEntry(scope.Scope{}, string(e.Key), string(e.Value))
	}
	for name, err := range v.ListScopes(scope.AnyKind, "") {
		if err != nil {
			return c, err
		}
		c.addScope(name)
		sc, err := v.Scope(name)
		if err != nil {
			return c, err
		}
		for e, err := range sc.Scan(nil, nil) {
			if err != nil {
				return c, err
			}
			c.addEntry(name, string(e.Key), string(e.Value))
		}
	}
	return c, nil
}

func checkScopes(v scopeView, want contents) error {
	got, err := readScopes(v)
	if err == nil && got != want {
		err = fmt.Errorf("%w: %d entries and scopes instead of %d, or other values", ErrWrong, got.entries, want.entries)
	}
	return err
}

// CutEverywhere opens what a power cut may leave at each operation: the store must hold
// what it held after some step, with everything that was promised as synced, and dropped
// scopes that are made again must be empty.
func (r *ScopeRecording) CutEverywhere(c Cuts) Explored {
	var x Explored
	r.explore(&x, cuts(r.history.Mem, r.history.Ledger, c, 0, &x.Points), c.Limit)
	return x
}

// KillEverywhere opens what a killed process leaves at each operation: the store must hold
// everything acknowledged in any way.
func (r *ScopeRecording) KillEverywhere(c Cuts) Explored {
	var x Explored
	r.explore(&x, r.history.kills(c, &x.Points), c.Limit)
	return x
}

func (r *ScopeRecording) explore(x *Explored, states iter.Seq[demand], limit int) {
	r.history.explore(x, states, limit, func(d demand) error {
		return reopenScopes(r.history.Setup, d.state.Mem(), r.history.Ledger, d.atLeast)
	})
}

func reopenScopes(setup Setup, fs vfs.FS, l *Ledger, atLeast int) error {
	db, err := lsm.Open(Dir, setup.Options(fs))
	if err != nil {
		return err
	}
	err = checkScopePrefix(db, l, atLeast)
	if cerr := db.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close: %w", cerr)
	}
	return err
}

// checkScopePrefix reports a store that does not hold what it held after one of the steps
// from atLeast on, or in which scopes that are made again are not empty.
func checkScopePrefix(db *lsm.DB, l *Ledger, atLeast int) error {
	got, err := readScopes(db)
	if err != nil {
		return err
	}
	found := false
	for n := atLeast; n <= l.Issued(); n++ {
		found = found || got == l.contentsAt(n)
	}
	if !found {
		return fmt.Errorf("%w: %d entries and scopes, which was so after no step from %d on", ErrWrong, got.entries, atLeast)
	}
	after := spaces{}
	for n := range 8 {
		for _, name := range []scope.Scope{scope.Agent(fmt.Sprint(n)), scope.Step("w", fmt.Sprint(n))} {
			sc, err := db.Scope(name)
			if err == nil {
				err = sc.Drop(lsm.NoSync)
			}
			if err == nil {
				err = sc.Set([]byte("again"), nil, lsm.NoSync)
			}
			if err != nil {
				return err
			}
			after[name] = map[string]string{"again": ""}
		}
	}
	if err := db.Delete([]byte("root"), nil); err != nil {
		return err
	}
	return checkScopes(db, after.contents())
}
