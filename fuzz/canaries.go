package fuzz

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// Canaries are keys, values and names of scopes that are looked for wherever a store may show
// them: in each write to a file, whether the file is left or not, in names of files, in what is
// logged, in the errors and panics of all calls, and in figures. Whatever fails, an encrypted store shows
// none, and none shows any in errors and logs.

// canaryTag is in a canary so often that each 16 bytes of one have it whole: parts of keys, such
// as bounds and separators, are found too.
const canaryTag = "KaNaRi"

// canary returns the n-th one.
func canary(n int) string {
	return fmt.Sprintf("%s%04d%[1]s%04[2]d%[1]s", canaryTag, n)
}

// canaryForms are what the tag looks like in a text: as it is, and as bytes that were printed
// in Go's syntax, hexadecimal, decimal or base 64.
var canaryForms = func() []string {
	tag := []byte(canaryTag)
	decimal := strings.Trim(fmt.Sprint(tag), "[]")
	source := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", tag), "[]byte{"), "}")
	forms := []string{canaryTag, source, hex.EncodeToString(tag), strings.ToUpper(hex.EncodeToString(tag)), decimal, strings.ReplaceAll(decimal, " ", ", ")}
	for ahead := range 3 { // bytes before the tag in its group of three
		text := base64.StdEncoding.EncodeToString(append(make([]byte, ahead), tag...))
		forms = append(forms, text[(8*ahead+5)/6:8*(ahead+len(tag))/6])
	}
	return forms
}()

// sightings are where canaries were seen, for any number of goroutines.
type sightings struct {
	mu       sync.Mutex // guards the rest
	places   []string   // where they were seen
	searched int        // how many writes, names and texts were looked through
}

// bytes looks through what goes to a file.
func (s *sightings) bytes(place string, p []byte) {
	found := bytes.Contains(p, []byte(canaryTag))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.searched++
	if found {
		s.places = append(s.places, place)
	}
}

// text looks through what a person may read.
func (s *sightings) text(place, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.searched++
	for _, form := range canaryForms {
		if strings.Contains(text, form) {
			s.places = append(s.places, place+": "+text)
			return
		}
	}
}

// Write implements io.Writer for the log.
func (s *sightings) Write(p []byte) (int, error) {
	s.text("log", string(p))
	return len(p), nil
}

// err looks through an error that a call returned.
func (s *sightings) err(call string, err error) {
	if err != nil {
		s.text("error of "+call, err.Error())
	}
}

// file looks at the name of a file, which must lie in one of the stores' directories.
func (s *sightings) file(name string) {
	s.text("name of a file", name)
	switch path.Dir(name) {
	case Dir, CopyDir, salvagedDir:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places = append(s.places, name+", which is outside of the store")
}

// guard calls f and looks through its error, or through what it panics with.
func (s *sightings) guard(call string, f func() error) {
	defer func() {
		if p := recover(); p != nil {
			s.text("panic of "+call, fmt.Sprintf("%v\n%s", p, debug.Stack()))
		}
	}()
	s.err(call, f())
}

// Err describes what was seen.
func (s *sightings) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.places) == 0 {
		return nil
	}
	return fmt.Errorf("fuzz: %d canaries were seen, the first in %s", len(s.places), s.places[0])
}

// watchedFS looks through all that is written through it.
type watchedFS struct {
	vfs.FS
	seen *sightings
}

// Create implements vfs.FS.
func (w watchedFS) Create(name string) (vfs.File, error) {
	w.seen.file(name)
	f, err := w.FS.Create(name)
	return w.file(name, f, err)
}

// Open implements vfs.FS.
func (w watchedFS) Open(name string, mode vfs.OpenMode) (vfs.File, error) {
	f, err := w.FS.Open(name, mode)
	return w.file(name, f, err)
}

func (w watchedFS) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return watchedFile{f, name, w.seen}, nil
}

// Rename implements vfs.FS.
func (w watchedFS) Rename(oldName, newName string) error {
	w.seen.file(newName)
	return w.FS.Rename(oldName, newName)
}

// Link implements vfs.FS.
func (w watchedFS) Link(oldName, newName string) error {
	w.seen.file(newName)
	return w.FS.Link(oldName, newName)
}

type watchedFile struct {
	vfs.File
	name string
	seen *sightings
}

// WriteAt implements vfs.File.
func (w watchedFile) WriteAt(p []byte, off int64) (int, error) {
	w.seen.bytes(w.name, p)
	return w.File.WriteAt(p, off)
}

// Map implements vfs.File.
func (w watchedFile) Map(size int64, mode vfs.OpenMode) (vfs.Mapped, error) {
	m, err := w.File.Map(size, mode)
	if err != nil {
		return nil, err
	}
	return watchedMapping{m, w}, nil
}

type watchedMapping struct {
	vfs.Mapped
	file watchedFile
}

// Store implements vfs.Mapped.
func (w watchedMapping) Store(off int64, p []byte) error {
	w.file.seen.bytes(w.file.name, p)
	return w.Mapped.Store(off, p)
}

// keeper plays canaries on a store.
type keeper struct {
	setup Setup
	fs    vfs.FS
	seen  *sightings
	db    *lsm.DB
}

// watched looks through what is written to files where it must show nothing.
func (k *keeper) watched(inner vfs.FS) vfs.FS {
	if !k.setup.Encrypted() {
		return inner
	}
	return watchedFS{inner, k.seen}
}

func (k *keeper) options() *lsm.Options {
	o := k.setup.Options(k.fs)
	o.Compression = lsm.NoCompression // which would hide what is not encrypted
	o.BlobThreshold = 512
	o.Operators = []lsm.Operator{panics}
	o.Logger = slog.New(slog.NewTextHandler(k.seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return o
}

// open opens the store and reports whether it could.
func (k *keeper) open() bool {
	var err error
	k.db, err = lsm.Open(Dir, k.options())
	k.seen.err("open", err)
	return err == nil
}

func (k *keeper) close() {
	k.seen.err("close", k.db.Close())
	k.db = nil
}

// play stores so many canaries in every way and goes on whatever fails.
func (k *keeper) play(canaries int) {
	if !k.open() {
		return
	}
	const each = 25 // canaries in a batch
	for first := 0; first < canaries; first += each {
		k.batch(first, min(each, canaries-first))
		switch first / each % 4 {
		case 1:
			k.scope(first)
		case 2:
			k.seen.err("flush", k.db.Flush(context.Background()))
			k.read(first)
		case 3:
			k.conflict(first)
			k.panic(first)
		}
		if first/each%10 == 5 && !k.again() {
			return
		}
	}
	k.whole()
	if k.again() {
		k.read(0)
		k.close()
	}
}

// again closes the store and opens it.
func (k *keeper) again() bool {
	k.seen.text("metrics", fmt.Sprintf("%+v", k.db.Metrics()))
	k.close()
	return k.open()
}

// batch commits canaries as keys and values of every kind, some of them long.
func (k *keeper) batch(first, n int) {
	b := k.db.NewBatch()
	for i := first; i < first+n; i++ {
		key, value := []byte(canary(i)), []byte(canary(i))
		switch i % 8 {
		case 1:
			value = bytes.Repeat(value, 20)
		case 2:
			b.Merge(lsm.BytesAppend, key, value)
		case 3:
			b.SetWithExpiry(key, value, time.UnixMilli(2e12))
		case 4:
			b.Delete([]byte(canary(i - 4)))
		case 5:
			b.DeleteRange(key, []byte(canary(i)+"~"))
		}
		b.Set(key, value)
	}
	w := lsm.NoSync
	if first%2 == 1 {
		w = lsm.Sync
	}
	k.seen.err("apply", k.db.Apply(b, w))
}

// scope makes, copies, moves and drops a scope that is called as a canary.
func (k *keeper) scope(n int) {
	name := scope.Agent(canary(n))
	s, err := k.db.Scope(name)
	if err != nil {
		k.seen.err("scope", err)
		return
	}
	k.seen.err("set in a scope", s.Set([]byte(canary(n)), []byte(canary(n)), lsm.Sync))
	k.seen.err("sealed value", s.SetSealed([]byte(canary(n+1)), []byte(canary(n)), lsm.NoSync))
	_, err = s.Copy(context.Background(), scope.User(canary(n)), lsm.NoSync)
	k.seen.err("copy", err)
	k.seen.err("move", s.Move(scope.Session(canary(n)), lsm.NoSync))
	moved, err := k.db.Scope(scope.Session(canary(n)))
	if err != nil {
		k.seen.err("scope", err)
		return
	}
	if n%2 == 0 {
		k.seen.err("drop", moved.Drop(lsm.NoSync))
		return
	}
	_, err = moved.Shred(context.Background())
	k.seen.err("shred", err)
}

// conflict asks for what does not hold, and for what cannot be.
func (k *keeper) conflict(n int) {
	b := k.db.NewBatch()
	b.Require([]byte(canary(n)), 1)
	b.Set([]byte(canary(n)), nil)
	k.seen.err("apply with a requirement", k.db.Apply(b, lsm.NoSync))
	_, err := k.db.Get([]byte(canary(n) + "absent"))
	k.seen.err("get", err)
	k.seen.err("merge by an unknown operator", k.db.Merge("unknown", []byte(canary(n)), nil, lsm.NoSync))
	k.seen.err("delete of an empty range", k.db.DeleteRange([]byte(canary(n+1)), []byte(canary(n)), lsm.NoSync))
	k.seen.err("transaction", k.db.Update(func(tx *lsm.Txn) error {
		if _, err := tx.Get([]byte(canary(n))); err != nil {
			return err
		}
		return tx.Set([]byte(canary(n)), []byte(strings.Repeat(canary(n), 9)))
	}))
}

// panics is an operator that refuses canaries in its own way, and folds nothing.
var panics = lsm.Operator{
	Name: "panics",
	Fold: func([]byte, []byte, [][]byte) ([]byte, error) { panic("Fold") },
	Check: func(operand []byte) error {
		if bytes.Contains(operand, []byte(canaryTag)) {
			panic("Check")
		}
		return nil
	},
}

// panic has the functions of the caller's panic that are called on the caller's goroutine. What they have
// written is not committed: a background job would meet it as well.
func (k *keeper) panic(n int) {
	key, value := []byte(canary(n)), []byte(canary(n))
	k.seen.guard("merge", func() error { return k.db.Merge(panics.Name, key, value, lsm.NoSync) })
	k.seen.guard("read of an operand", func() error {
		return k.db.Update(func(tx *lsm.Txn) error {
			err := errors.Join(tx.Set(key, value), tx.Merge(panics.Name, key, nil))
			if err == nil {
				_, err = tx.Get(key)
			}
			return errors.Join(err, errNotCommitted)
		})
	})
	k.seen.guard("update", func() error {
		return k.db.Update(func(tx *lsm.Txn) error {
			k.seen.err("set in a transaction", tx.Set(key, value))
			panic("update")
		})
	})
}

var errNotCommitted = errors.New("not to be committed")

// read reads on: damage and faults are met, and say where.
func (k *keeper) read(n int) {
	_, err := k.db.Get([]byte(canary(n)))
	k.seen.err("get", err)
	for _, err := range k.db.Scan(nil, nil) {
		k.seen.err("scan", err)
	}
}

// whole calls what works on the whole store.
func (k *keeper) whole() {
	ctx := context.Background()
	k.seen.err("compact", k.db.Compact(ctx, []byte(canary(0)), []byte(canary(9999))))
	k.seen.err("rotation of keys", k.db.RotateDataKeys())
	k.seen.err("checkpoint", k.db.Checkpoint(ctx, CopyDir))
	k.seen.err("verify", k.db.Verify(ctx))
}

// SweepCanaries plays canaries, so many, and then plays them again for each call of the file
// system that f lets go wrong. After each of them the files are looked through, verified, and
// salvaged after a byte of each table and blob file was changed. Where the setup is not encrypted
// only texts must show nothing.
//
// Explored.States counts the runs, Points the faults that were met; searched is how many
// writes, names and texts were looked through.
func SweepCanaries(setup Setup, canaries int, f Faulty) (x Explored, searched int, err error) {
	goroutines := runtime.NumGoroutine()
	var mu sync.Mutex // guards searched
	run := func(faults *vfs.Faults, mem *vfs.Mem) error {
		k := &keeper{setup: setup, seen: &sightings{}}
		k.fs = k.watched(faults)
		k.play(canaries)
		if err := k.remains(mem.Copy()); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		searched += k.seen.searched
		return k.seen.Err()
	}
	mem := vfs.NewMem()
	counter := vfs.NewFaults(mem)
	if err := run(counter, mem); err != nil {
		return x, searched, err
	}
	x = f.sweep(setup, counter, goroutines, func(r vfs.Rule) (bool, error) {
		mem := vfs.NewMem()
		faults := vfs.NewFaults(mem, r)
		err := run(faults, mem)
		return len(faults.Fired()) > 0, err
	})
	return x, searched, nil
}

// remains looks through what is left of a store, damages its tables and blob files, and has it
// verified, salvaged and read.
func (k *keeper) remains(mem *vfs.Mem) error {
	for _, dir := range []string{Dir, CopyDir} {
		files, err := contentsOf(mem, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for name, content := range files {
			if k.setup.Encrypted() {
				k.seen.bytes(dir+"/"+name, content)
			}
			if at := len(content) / 3; dir == Dir && isData(name) && at > 0 {
				if err := overwrite(mem, name, int64(at), []byte{content[at] ^ 0x55}); err != nil {
					return err
				}
			}
		}
	}
	ctx := context.Background()
	k.fs = k.watched(mem)
	if v, err := lsm.Verify(ctx, Dir, k.options()); err != nil {
		k.seen.err("verify", err)
	} else {
		k.seen.err("what verify finds", v.Err())
	}
	_, err := lsm.Salvage(ctx, Dir, salvagedDir, k.options())
	k.seen.err("salvage", err)
	if k.open() {
		k.read(0)
		k.close()
	}
	return nil
}

func isData(name string) bool { return isTable(name) || strings.HasSuffix(name, ".blob") }
