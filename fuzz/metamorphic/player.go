package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"syscall"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// player plays a history on a store with one option set. It is used by one goroutine.
type player struct {
	set *Set
	ref *reference
	at  int // the operation that is played
	// durable is the index of the last state that the device is known to have.
	durable int

	disk   string      // directory of the system to play in, "" in memory
	mem    *vfs.Mem    // nil on disk; where files end with the process, what lies beside them
	faults *vfs.Faults // over mem or the system; nil where files end with the process
	dir    string      // of the store
	clock  clock
	opened int // how often a store was opened
	files  int // names given out

	db       *lsm.DB
	handles  map[text]*lsm.Scope
	uses     int // of handles
	snaps    [slots]*held
	iters    [slots]*iterator
	versions [slots]remembered
	holds    [slots]position
	watchers [slots]*watcher
	told     map[told]bool // expiries whose events were acknowledged
	window   int           // as in Model
	trouble  faultWindow   // the last one
	counts   Counts
}

// held is a snapshot with the operation and the hour at which it was taken.
type held struct {
	*lsm.Snapshot
	at, hour int
}

// iterator is an iterator with the slot of its snapshot, 0 for none.
type iterator struct {
	*lsm.Iterator
	snap int
}

// remembered is a key with the version that it had.
type remembered struct {
	set     bool
	in, key text
	version lsm.Version
}

// Counts say what playing histories reached.
type Counts struct {
	// Operations played; Kills and Cuts of the power, Reopened stores that were closed before,
	// Faults of the file system that were met, Repaired stores that had lost something they
	// may lose.
	Operations, Kills, Cuts, Reopened, Faults, Repaired int
	// Flushes, Compactions and Deleted tables, of the stores as long as they lived.
	Flushes, Compactions, Deleted int64
}

// Add adds what others reached.
func (c *Counts) Add(o Counts) {
	c.Operations += o.Operations
	c.Kills += o.Kills
	c.Cuts += o.Cuts
	c.Reopened += o.Reopened
	c.Faults += o.Faults
	c.Repaired += o.Repaired
	c.Flushes += o.Flushes
	c.Compactions += o.Compactions
	c.Deleted += o.Deleted
}

// lasting reports whether the store outlives its process.
func (p *player) lasting() bool { return p.faults != nil }

// fresh returns the path of a file or directory that was not there before.
func (p *player) fresh(what string) string {
	p.files++
	return p.path(fmt.Sprintf("%s-%d", what, p.files))
}

func (p *player) path(name string) string {
	if p.disk != "" {
		return path.Join(p.disk, name)
	}
	return name
}

// open opens the store.
func (p *player) open() (err error) {
	p.db, err = lsm.Open(p.dir, p.options())
	p.opened++
	p.handles = map[text]*lsm.Scope{}
	return err
}

// options are those of the next opening.
func (p *player) options() *lsm.Options {
	if !p.lasting() {
		return p.set.options(nil, p.mem, p.opened, &p.clock)
	}
	return p.set.options(p.faults, nil, p.opened, &p.clock)
}

// outside is the file system of what lies beside the store.
func (p *player) outside() vfs.FS {
	if !p.lasting() {
		return p.mem
	}
	return p.faults
}

// target is a scope of a store, or its root.
type target interface {
	reader
	Has(key []byte) (bool, error)
	Set(key, value []byte, w *lsm.WriteOptions) error
	SetWithTTL(key, value []byte, ttl time.Duration, w *lsm.WriteOptions) error
	SetWithExpiry(key, value []byte, at time.Time, w *lsm.WriteOptions) error
	Merge(op string, key, operand []byte, w *lsm.WriteOptions) error
	Watch(ctx context.Context, o *lsm.WatchOptions) (*lsm.Watcher, error)
	Delete(key []byte, w *lsm.WriteOptions) error
	DeleteRange(lower, upper []byte, w *lsm.WriteOptions) error
}

// reader is a target or what it was in a snapshot.
type reader interface {
	AppendGet(dst, key []byte) ([]byte, error)
	GetWithVersion(key []byte) ([]byte, lsm.Version, error)
	Scan(lower, upper []byte) iter.Seq2[lsm.Entry, error]
	ScanReverse(lower, upper []byte) iter.Seq2[lsm.Entry, error]
	NewIter(o *lsm.IterOptions) (*lsm.Iterator, error)
}

// target returns a scope by its text form, "" being the root.
func (p *player) target(in text) (target, error) {
	if in == "" {
		return p.db, nil
	}
	return p.scope(in)
}

// scope returns a handle, mostly one that was used before and may be stale.
func (p *player) scope(in text) (*lsm.Scope, error) {
	p.uses++
	if sc := p.handles[in]; sc != nil && p.uses%4 != 0 {
		return sc, nil
	}
	name, err := scope.Parse(string(in))
	if err != nil {
		return nil, err
	}
	sc, err := p.db.Scope(name)
	p.handles[in] = sc
	return sc, err
}

// reader returns a scope as it is or as a snapshot shows it; nil if that is not held.
func (p *player) reader(in text, snap int) (reader, error) {
	if snap == 0 {
		return p.target(in)
	}
	s := p.snaps[snap-1]
	if s == nil {
		return nil, nil
	}
	if in == "" {
		return s.Snapshot, nil
	}
	return scopeOf(s.Snapshot, in)
}

// scopeOf returns a scope as a snapshot shows it.
func scopeOf(s *lsm.Snapshot, in text) (*lsm.Scope, error) {
	name, err := scope.Parse(string(in))
	if err != nil {
		return nil, err
	}
	return s.Scope(name)
}

// nameOf returns the text form of a scope, that of the root being "".
func nameOf(s scope.Scope) string {
	if s == (scope.Scope{}) {
		return ""
	}
	return s.String()
}

// release closes a snapshot, with the iterators over it.
func (p *player) release(slot int) error {
	var errs []error
	for i, it := range p.iters {
		if it != nil && it.snap == slot {
			errs = append(errs, it.Close())
			p.iters[i] = nil
		}
	}
	if s := p.snaps[slot-1]; s != nil {
		errs = append(errs, s.Close())
		p.snaps[slot-1] = nil
	}
	return errors.Join(errs...)
}

// end closes all snapshots, iterators and watchers.
func (p *player) end() error {
	var errs []error
	for _, w := range p.watchers {
		w.leave()
	}
	for slot := range slots {
		if it := p.iters[slot]; it != nil {
			errs = append(errs, it.Close())
			p.iters[slot] = nil
		}
	}
	for slot := range slots {
		errs = append(errs, p.release(slot+1))
	}
	return errors.Join(errs...)
}

// scopeView is a store or a snapshot.
type scopeView interface {
	NewIter(o *lsm.IterOptions) (*lsm.Iterator, error)
	Scope(scope.Scope) (*lsm.Scope, error)
	ListScopes(scope.Kind, string) iter.Seq2[scope.Scope, error]
}

// digestOf sums up what a store or a snapshot shows.
func digestOf(v scopeView) (d digest, err error) {
	if err := d.read("", v); err != nil {
		return d, err
	}
	for name, err := range v.ListScopes(scope.AnyKind, "") {
		if err != nil {
			return d, err
		}
		sc, err := v.Scope(name)
		if err == nil {
			err = d.read(name.String(), sc)
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// read adds a scope.
func (d *digest) read(name string, from interface {
	NewIter(o *lsm.IterOptions) (*lsm.Iterator, error)
}) error {
	it, err := from.NewIter(nil)
	if err != nil {
		return err
	}
	entries, sum := 0, uint64(0)
	for it.Next() {
		entries++
		sum += mortalHash(string(it.Key()), string(it.Value()), hourOf(it.Expiry()))
	}
	d.add(name, entries, sum)
	return errors.Join(it.Err(), it.Close())
}

// errWrong: a store holds or says what it must not.
var errWrong = errors.New("metamorphic: wrong")

// state returns one of the states as it is by now.
func (p *player) state(i int) State { return p.ref.states[i].alive(p.clock.hour()) }

// judge finds out which of the states from lo to hi the store holds: the first of those
// that look like it, since the later ones are made of it by writing again what is known.
func (p *player) judge(lo, hi int) (int, error) {
	got, err := digestOf(p.db)
	if err != nil {
		return 0, err
	}
	for i := lo; i <= hi; i++ {
		if got == p.state(i).digest() {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: %d entries in %d scopes, which was so in none of the states %d to %d of %d", errWrong,
		got.entries, got.spaces, lo, hi, p.ref.after[len(p.ref.after)-1])
}

// repair writes what makes one state of another. To a store that may have lost its last
// commits, or has one that failed, it gives what the history goes on with.
func (p *player) repair(from, to int) error {
	if from == to {
		return nil
	}
	p.counts.Repaired++
	is, want := p.state(from), p.state(to)
	for _, sp := range is.spaces {
		if _, ok := want.find(sp.name); ok {
			continue
		}
		sc, err := p.scope(text(sp.name))
		if err == nil {
			err = sc.Drop(lsm.NoSync)
		}
		if err != nil {
			return err
		}
	}
	b := p.db.NewBatch()
	for _, sp := range want.spaces {
		if b.In(nil); sp.name != "" {
			sc, err := p.scope(text(sp.name))
			if err != nil {
				return err
			}
			b.In(sc)
		}
		keys, ok := is.find(sp.name)
		if !ok && sp.keys == nil {
			b.Set([]byte("made"), nil) // a scope that is there and empty
			b.Delete([]byte("made"))
		}
		for e := range keys.all() {
			if sp.keys.get(e.key) == nil {
				b.Delete([]byte(e.key))
			}
		}
		for e := range sp.keys.all() {
			switch old := keys.get(e.key); {
			case old != nil && old.value == e.value && old.expires == e.expires:
			case e.expires != 0:
				b.SetWithExpiry([]byte(e.key), []byte(e.value), instant(e.expires))
			default:
				b.Set([]byte(e.key), []byte(e.value))
			}
		}
	}
	if err := p.db.Apply(b, lsm.Sync); err != nil {
		return err
	}
	if b.Len() > 0 {
		p.durable = to
	}
	_, err := p.judge(to, to)
	return err
}

// typed reports whether a caller can tell what an error is: one of the engine's, or the
// very one that was injected.
func typed(err error) bool {
	var injected *vfs.Injected
	if errors.As(err, &injected) {
		return true
	}
	for _, known := range []error{
		lsm.ErrCorrupt, lsm.ErrPoisoned, lsm.ErrNoSpace, lsm.ErrLocked, lsm.ErrInvalidTable, syscall.EIO,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// removeAll removes a directory, as far as it can.
func (p *player) removeAll(dir string) {
	files := p.outside()
	names, err := files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // what is left disturbs nobody
	}
	for _, name := range names {
		_ = files.Remove(path.Join(dir, name))
	}
	_ = files.Remove(dir)
}

var background = context.Background()
