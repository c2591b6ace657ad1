package fuzz

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Damaged is a store at rest whose files are changed in every way.
type Damaged struct {
	setup  Setup
	mem    *vfs.Mem
	older  map[string][]byte // files as they were in the middle of the history
	ledger *Ledger
	names  []string // of the files, sorted
	files  map[string][]byte
	clean  bool
	// Batches that a killed store must hold: flushed ones are in tables that the manifest
	// lists, and those below a claim have a later record that says that they were synced.
	flushed, claimed int
	// ever are the values that each key has had.
	ever map[string]map[string]bool
}

// NewDamaged plays a history. With clean the store is then closed, else killed.
func NewDamaged(setup Setup, shape Shape, clean bool) (*Damaged, error) {
	return newDamaged(setup, NewHistory(setup.Seed, shape), clean)
}

func newDamaged(setup Setup, steps []Step, clean bool) (*Damaged, error) {
	d := &Damaged{setup: setup, mem: vfs.NewMem(), ledger: NewLedger(), clean: clean, ever: map[string]map[string]bool{}}
	p := &Player{Setup: setup, FS: d.mem, Ledger: d.ledger}
	if err := p.Open(); err != nil {
		return nil, err
	}
	for i, s := range steps {
		synced, _ := d.ledger.Promised(math.MaxInt)
		if err := p.Do(s); err != nil {
			return nil, err
		}
		switch s.Kind {
		case Flush:
			d.flushed = d.ledger.Acknowledged()
		case Apply:
			d.claimed = synced // by the record of this batch
			d.remember(s.Ops)
		}
		if i == len(steps)/2 {
			// Of a copy: the store's background work removes files meanwhile.
			var err error
			if d.older, err = contentsOf(d.mem.Copy(), Dir); err != nil {
				return nil, err
			}
		}
	}
	if clean {
		if err := p.Close(); err != nil {
			return nil, err
		}
	}
	if !clean {
		if err := waitForFiles(p.DB, d.mem, Dir); err != nil {
			return nil, err
		}
	}
	d.mem = d.mem.Copy()
	p.Abandon()
	var err error
	d.files, err = contentsOf(d.mem, Dir)
	for name := range d.files {
		d.names = append(d.names, name)
	}
	slices.Sort(d.names)
	return d, err
}

// Bytes returns the length of all files together.
func (d *Damaged) Bytes() int {
	n := 0
	for _, p := range d.files {
		n += len(p)
	}
	return n
}

// waitForFiles waits until the store has no table or blob file that it does not use: harm to
// one that is about to be removed, or is not in use yet, would be found by nobody.
func waitForFiles(db *lsm.DB, fs vfs.FS, dir string) error {
	for range patience {
		names, err := fs.List(dir)
		if err != nil {
			return err
		}
		m := db.Metrics()
		unused := -m.BlobFiles
		for _, l := range m.Levels {
			unused -= l.Tables
		}
		for _, name := range names {
			if isTable(name) || strings.HasSuffix(name, ".blob") {
				unused++
			}
		}
		if unused == 0 && m.RunningCompactions == 0 && m.FrozenMemtables == 0 {
			return nil
		}
		runtime.Gosched()
	}
	return errors.New("fuzz: the store does not come to rest")
}

// contentsOf reads every file of the store in dir but its lock.
func contentsOf(fs vfs.FS, dir string) (map[string][]byte, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		f, err := fs.Open(path.Join(dir, name), vfs.ReadOnly)
		if err != nil {
			return nil, err
		}
		size, err := f.Size()
		if err != nil {
			return nil, err
		}
		p := make([]byte, size)
		if _, err := f.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		all[name] = p
	}
	return all, nil
}

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// harm is one way of damaging the store: it changes a copy of its files.
type harm struct {
	what string
	do   func(fs *vfs.Mem) error
	// slight harm leaves either what was claimed, or a claim to what it has damaged.
	slight bool
	tables bool // it changes a byte of a table
}

// EveryByte changes each so many-th byte of every file: all of its bits, or one.
func (d *Damaged) EveryByte(every int) Explored { return d.explore(d.changes(every), d.suffer) }

func (d *Damaged) changes(every int) iter.Seq[harm] {
	return func(yield func(harm) bool) {
		for _, name := range d.names {
			for off := 0; off < len(d.files[name]); off += every {
				mask := byte(0xff)
				if off/every%2 == 1 {
					mask = 1 << (off % 8)
				}
				h := harm{what: fmt.Sprintf("%s: byte %d ^ %#x", name, off, mask), do: func(fs *vfs.Mem) error {
					return overwrite(fs, name, int64(off), []byte{d.files[name][off] ^ mask})
				}, slight: true, tables: isTable(name)}
				if !yield(h) {
					return
				}
			}
		}
	}
}

// EveryCut truncates every file at each so many-th length, extends it by zeros and by
// rubbish, removes it, replaces it by what it was earlier, and by each other file.
func (d *Damaged) EveryCut(every int) Explored { return d.explore(d.allCuts(every), d.suffer) }

func (d *Damaged) allCuts(every int) iter.Seq[harm] {
	return func(yield func(harm) bool) {
		for _, name := range d.names {
			for _, h := range d.cuts(name, every) {
				if !yield(h) {
					return
				}
			}
		}
	}
}

func (d *Damaged) cuts(name string, every int) []harm {
	p := d.files[name]
	var all []harm
	add := func(what string, content []byte) {
		all = append(all, harm{
			what: name + ": " + what, do: func(fs *vfs.Mem) error { return replace(fs, name, content) },
			slight: len(content) < len(p), tables: isTable(name),
		})
	}
	for n := 0; n < len(p); n += every {
		add(fmt.Sprintf("cut at %d", n), p[:n])
	}
	rnd := rand.New(rand.NewPCG(d.setup.Seed, 3))
	for _, n := range []int{1, 7, 100, 4096} {
		rubbish := make([]byte, n)
		for i := range rubbish {
			rubbish[i] = byte(rnd.Uint32())
		}
		add(fmt.Sprintf("%d zeros behind", n), append(slices.Clone(p), make([]byte, n)...))
		add(fmt.Sprintf("%d rubbish bytes behind", n), append(slices.Clone(p), rubbish...))
	}
	all = append(all, harm{
		what: name + ": removed", do: func(fs *vfs.Mem) error { return fs.Remove(path.Join(Dir, name)) }, tables: isTable(name),
	})
	if old, ok := d.older[name]; ok && !slices.Equal(old, p) {
		add("as it was earlier", old)
	}
	for _, other := range d.names {
		if other != name && path.Ext(other) == path.Ext(name) {
			add("replaced by "+other, d.files[other])
		}
	}
	return all
}

func overwrite(fs *vfs.Mem, name string, off int64, p []byte) error {
	f, err := fs.Open(path.Join(Dir, name), vfs.ReadWrite)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, off)
	return errors.Join(err, f.Close())
}

func replace(fs *vfs.Mem, name string, content []byte) error {
	f, err := fs.Open(path.Join(Dir, name), vfs.ReadWrite)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(content, 0)
	}
	return errors.Join(err, f.Close())
}

// explore lets a copy of the files suffer each harm. Explored.Points counts those that were
// detected.
func (d *Damaged) explore(harms iter.Seq[harm], suffer func(harm) (detected bool, err error)) Explored {
	var x Explored
	var mu sync.Mutex // guards x
	work := make(chan harm, 64)
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			for h := range work {
				detected, err := suffer(h)
				mu.Lock()
				x.States++
				if detected {
					x.Points++
				}
				if err != nil {
					x.fail(fmt.Errorf("seed %d, clean %v, %s: %w", d.setup.Seed, d.clean, h.what, err))
				}
				mu.Unlock()
			}
		})
	}
	for h := range harms {
		if x.hopeless(&mu) {
			break
		}
		work <- h
	}
	close(work)
	wg.Wait()
	return x
}

// suffer does the harm and opens the store: the answer is an error that says corruption, or
// exactly what was there. A killed store may have lost its tail, whose records nothing later
// vouches for; what it holds must be a prefix.
func (d *Damaged) suffer(h harm) (detected bool, err error) {
	fs := d.mem.Copy()
	if err := h.do(fs); err != nil {
		return false, err
	}
	atLeast := d.flushed
	switch {
	case d.clean:
		atLeast = d.ledger.Issued()
	case h.slight:
		atLeast = max(atLeast, d.claimed)
	}
	_, err = reopen(d.setup, fs, d.ledger, atLeast)
	if errors.Is(err, lsm.ErrCorrupt) || errors.Is(err, lsm.ErrTooNew) {
		return true, nil
	}
	return false, err
}
