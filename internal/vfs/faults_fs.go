package vfs

import "io"

// get runs a call that returns something.
func get[T any](f *Faults, c Call, call func() (T, error)) (T, error) {
	var out T
	err := f.do(c, func() error {
		var err error
		out, err = call()
		return err
	})
	return out, err
}

// open runs a call that opens something; what a failed one has opened is closed.
func open[T io.Closer](f *Faults, c Call, call func() (T, error)) (T, error) {
	var none T
	opened := false
	out, err := get(f, c, func() (T, error) {
		t, err := call()
		opened = err == nil
		return t, err
	})
	if err != nil {
		if opened {
			_ = out.Close() // nobody has it; the injected error is what counts
		}
		return none, err
	}
	return out, nil
}

// Create implements FS.
func (f *Faults) Create(name string) (File, error) {
	file, err := open(f, Call{Kind: OpCreate, Path: name}, func() (File, error) { return f.inner.Create(name) })
	return f.file(file, name, err)
}

// Open implements FS.
func (f *Faults) Open(name string, mode OpenMode) (File, error) {
	file, err := open(f, Call{Kind: OpOpen, Path: name}, func() (File, error) { return f.inner.Open(name, mode) })
	return f.file(file, name, err)
}

func (f *Faults) file(inner File, name string, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &faultsFile{fs: f, inner: inner, name: name}, nil
}

// Remove implements FS.
func (f *Faults) Remove(name string) error {
	return f.do(Call{Kind: OpRemove, Path: name}, func() error { return f.inner.Remove(name) })
}

// Rename implements FS.
func (f *Faults) Rename(oldName, newName string) error {
	return f.do(Call{Kind: OpRename, Path: oldName, To: newName}, func() error { return f.inner.Rename(oldName, newName) })
}

// Link implements FS.
func (f *Faults) Link(oldName, newName string) error {
	return f.do(Call{Kind: OpLink, Path: oldName, To: newName}, func() error { return f.inner.Link(oldName, newName) })
}

// MkdirAll implements FS.
func (f *Faults) MkdirAll(dir string) error {
	return f.do(Call{Kind: OpMkdir, Path: dir}, func() error { return f.inner.MkdirAll(dir) })
}

// List implements FS.
func (f *Faults) List(dir string) ([]string, error) {
	names, err := get(f, Call{Kind: OpList, Path: dir}, func() ([]string, error) { return f.inner.List(dir) })
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Size implements FS.
func (f *Faults) Size(name string) (int64, error) {
	return get(f, Call{Kind: OpSize, Path: name}, func() (int64, error) { return f.inner.Size(name) })
}

// SyncDir implements FS.
func (f *Faults) SyncDir(dir string) error {
	return f.do(Call{Kind: OpSyncDir, Path: dir}, func() error { return f.inner.SyncDir(dir) })
}

// Lock implements FS.
func (f *Faults) Lock(name string, exclusive bool, holder string) (io.Closer, error) {
	lock, err := open(f, Call{Kind: OpLock, Path: name}, func() (io.Closer, error) {
		return f.inner.Lock(name, exclusive, holder)
	})
	if err != nil {
		return nil, err
	}
	return &faultsLock{fs: f, inner: lock, name: name}, nil
}

// Traits implements FS.
func (f *Faults) Traits(dir string) (Traits, error) {
	return get(f, Call{Kind: OpTraits, Path: dir}, func() (Traits, error) { return f.inner.Traits(dir) })
}

// faultsLock is a lock taken through a Faults.
type faultsLock struct {
	fs    *Faults
	inner io.Closer
	name  string
}

// Close implements io.Closer.
func (l *faultsLock) Close() error {
	return l.fs.do(Call{Kind: OpClose, Path: l.name}, l.inner.Close)
}
